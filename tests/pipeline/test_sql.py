"""Questions in SQL are read from the catalog's files by one thread, with filters, also after rows were deleted."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.catalog import Catalog
from pipeline.sql import Unthreaded, connect
from pipeline.storage import Storage


def clip(number: int, source: str) -> dict[str, Any]:
    return {
        "clip_id": f"{source}_{number:06d}_0085", "source_id": source, "kind": "character", "split": "train",
        "first_frame": number, "frame_count": 85, "fps_numerator": 30, "fps_denominator": 1, "start_s": 0.0,
        "ingest_key": "k", "run_id": "r",
    }  # fmt: skip


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    made = Catalog(Storage(str(tmp_path)))
    for source in ("a" * 16, "b" * 16, "c" * 16):
        made.append("clips", [clip(number, source) for number in range(50)])
    return made


def answer(catalog: Catalog, text: str) -> list[tuple[Any, ...]]:
    with connect(SimpleNamespace(catalog=catalog)) as connection:  # type: ignore[arg-type]
        return connection.sql(text).fetchall()


def test_duckdb_scans_a_table_s_files_by_the_unthreaded_scanner_alone(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, asked = Unthreaded.scanner, []

    def scanner(self: Unthreaded, **options: Any) -> Any:
        asked.append(options)
        return real(self, **options)

    monkeypatch.setattr(Unthreaded, "scanner", scanner)
    assert answer(catalog, "SELECT count(*) FROM clips WHERE first_frame >= 40") == [(30,)]
    assert len(asked) == 1


def test_a_filter_on_text_finds_what_is_left_after_rows_were_deleted(catalog: Catalog) -> None:
    catalog.forget("clips", "source_id", ["a" * 16])
    question = "SELECT count(*) FROM clips WHERE source_id = '{}'"
    assert answer(catalog, question.format("b" * 16)) == [(50,)]
    assert answer(catalog, question.format("a" * 16)) == [(0,)]
