"""The Delta catalog: append, read, delete, and two writers at once."""

import multiprocessing
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from bench.synthetic_catalog import make_catalog
from pipeline.catalog import COMPACT_ABOVE_FILES, Catalog
from pipeline.storage import Storage


def run_row(name: str, state: str = "started") -> dict[str, Any]:
    return {
        "run_id": name, "command": "build", "state": state, "config_digest": "c", "code_version": "v", "host": "h",
        "python": "3", "created_s": 1.0, "seconds": 0.0, "counts": "{}",
    }  # fmt: skip


def test_rows_come_back_and_absent_tables_are_empty(tmp_path: Path) -> None:
    catalog = Catalog(Storage(str(tmp_path)))
    assert catalog.rows("runs") == []
    assert not catalog.exists("runs")
    catalog.append("runs", [])
    assert not catalog.exists("runs")
    catalog.append("runs", [run_row("a"), run_row("b")])
    catalog.append("runs", [run_row("c")])
    assert sorted(row["run_id"] for row in catalog.rows("runs", ["run_id"])) == ["a", "b", "c"]
    catalog.forget("runs", "run_id", ["a", "c"])
    assert catalog.rows("runs") == [run_row("b")]


def test_selecting_goes_on_after_rows_were_deleted_or_merged(tmp_path: Path) -> None:
    catalog = Catalog(Storage(str(tmp_path)))
    for number in range(6):
        catalog.append("runs", [run_row(f"a{number}"), run_row(f"b{number}")])
    catalog.forget("runs", "run_id", ["a1", "b4"])
    catalog.delta("runs").optimize.compact()
    catalog.append("runs", [run_row("late")])
    catalog.forget("runs", "run_id", ["a2"])
    found = catalog.select("runs", "run_id", ["a0", "a1", "b5", "late"], ["run_id", "state"])
    assert sorted(row["run_id"] for row in found) == ["a0", "b5", "late"]
    assert len(catalog.rows("runs")) == 10


def test_whole_rows_are_selected_as_they_are_read_also_after_deletions(tmp_path: Path) -> None:
    catalog = make_catalog(tmp_path, clips=20, sources=4).catalog
    for deletion in ([], [catalog.rows("sources", ["source_id"])[0]["source_id"]]):
        catalog.forget("artifacts", "source_id", deletion)
        wanted = [row for row in catalog.rows("artifacts") if row["stage"] in ("camera", "pose")]
        assert len(wanted) == 40 - 10 * len(deletion)
        assert catalog.select("artifacts", "stage", ["pose", "camera"]) == wanted
        assert [part.num_rows for part in catalog.batches("artifacts", ["key"])]
    assert list(Catalog(Storage(str(tmp_path / "none"))).batches("artifacts")) == []


def _append(root: str, name: str) -> None:
    catalog = Catalog(Storage(root))
    for number in range(20):
        catalog.append("runs", [run_row(f"{name}{number}")])


def test_two_writers_lose_and_duplicate_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_append, args=(str(tmp_path), name)) for name in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)
        assert writer.exitcode == 0
    rows = Catalog(Storage(str(tmp_path))).rows("runs", ["run_id"])
    assert sorted(row["run_id"] for row in rows) == sorted(f"{name}{n}" for name in "ab" for n in range(20))


def test_duckdb_and_polars_read_it_as_documented(tmp_path: Path) -> None:
    catalog = Catalog(Storage(str(tmp_path)))
    for number in range(COMPACT_ABOVE_FILES + 2):
        catalog.append("runs", [run_row(str(number))])
    catalog.tidy()
    polars_count = pl.read_delta(catalog.uri("runs")).height
    runs = catalog.read("runs")
    duckdb_count = duckdb.sql("SELECT count(*) FROM runs").fetchall()
    assert runs.num_rows == polars_count == COMPACT_ABOVE_FILES + 2
    assert duckdb_count == [(COMPACT_ABOVE_FILES + 2,)]
