"""The Delta catalog: append, read, delete, and two writers at once."""

import multiprocessing
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from deltalake.exceptions import CommitFailedError

from bench.synthetic_catalog import make_catalog
from pipeline.catalog import COMPACT_ABOVE_FILES, BusyError, Catalog
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


def names(catalog: Catalog) -> list[str]:
    """The runs in the order in which `read` gives them; `batches` and `select` have to agree."""
    found = [row["run_id"] for row in catalog.rows("runs", ["run_id"])]
    assert [name for part in catalog.batches("runs") for name in part.column("run_id").to_pylist()] == found
    assert [row["run_id"] for row in catalog.select("runs", "run_id", found)] == found
    return found


def test_rows_keep_the_order_of_their_commits(tmp_path: Path) -> None:
    """Beyond a checkpoint of the log (every 100 commits), and through merging and deleting."""
    catalog = Catalog(Storage(str(tmp_path)))
    expected = []
    for number in range(60):
        catalog.append("runs", [run_row(f"{number}a"), run_row(f"{number}b")])
        expected += [f"{number}a", f"{number}b"]
    assert names(catalog) == expected
    catalog.forget("runs", "run_id", ["3a", "40b"])
    expected = [name for name in expected if name not in ("3a", "40b")]
    assert names(catalog) == expected
    for number in range(60, 130):
        catalog.append("runs", [run_row(str(number))])
        expected.append(str(number))
    assert names(catalog) == expected
    catalog.tidy()
    assert len(catalog.delta("runs").file_uris()) == 1
    catalog.append("runs", [run_row("last")])
    assert names(catalog) == [*expected, "last"]


def test_the_last_row_of_a_name_wins_also_between_commits(tmp_path: Path) -> None:
    catalog = Catalog(Storage(str(tmp_path)))
    for state in ("started", "interrupted", "finished"):
        catalog.append("runs", [run_row("a", state)])
    assert {row["run_id"]: row["state"] for row in catalog.rows("runs")} == {"a": "finished"}


def test_selecting_goes_on_after_rows_were_deleted_or_merged(tmp_path: Path) -> None:
    catalog = Catalog(Storage(str(tmp_path)))
    for number in range(6):
        catalog.append("runs", [run_row(f"a{number}"), run_row(f"b{number}")])
    catalog.forget("runs", "run_id", ["a1", "b4"])
    catalog.delta("runs").optimize.compact()  # as another program may
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


def _tidy(root: str, start: Any) -> None:
    catalog = Catalog(Storage(root))
    catalog.exists("runs")
    start.wait()
    catalog.tidy()


def test_drivers_that_finish_at_once_merge_without_doubling_rows(tmp_path: Path) -> None:
    catalog, context = Catalog(Storage(str(tmp_path))), multiprocessing.get_context("spawn")
    expected = [f"{number}" for number in range(COMPACT_ABOVE_FILES + 2)]
    for name in expected:
        catalog.append("runs", [run_row(name)])
    start = context.Barrier(2)
    drivers = [context.Process(target=_tidy, args=(str(tmp_path), start)) for _ in range(2)]
    for driver in drivers:
        driver.start()
    for driver in drivers:
        driver.join(120)
        assert driver.exitcode == 0
    assert names(catalog) == expected
    assert len(catalog.delta("runs").file_uris()) == 1


@pytest.mark.parametrize("meanwhile", ["append", "forget", "tidy"])
@pytest.mark.parametrize("action", ["forget", "tidy"])
def test_a_commit_in_between_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: str, meanwhile: str
) -> None:
    """Another writer commits after this one has opened the table: nothing comes back, is lost or doubled."""
    catalog, other = Catalog(Storage(str(tmp_path))), Catalog(Storage(str(tmp_path)))
    expected = [f"r{number}" for number in range(COMPACT_ABOVE_FILES + 2)]
    for name in expected:
        catalog.append("runs", [run_row(name)])
    opened = Catalog.delta

    def delta_and_then(self: Catalog, table: str) -> Any:
        table_then = opened(self, table)
        if self is catalog and not done:
            done.append(True)
            act(other, meanwhile, "r1")
        return table_then

    def act(by: Catalog, what: str, name: str) -> None:
        if what == "append":
            by.append("runs", [run_row("late")])
        elif what == "forget":
            by.forget("runs", "run_id", [name])
        else:
            by.tidy()

    done: list[bool] = []
    monkeypatch.setattr(Catalog, "delta", delta_and_then)
    act(catalog, action, "r2")
    assert done
    gone = {"r1"} if meanwhile == "forget" else set()
    gone |= {"r2"} if action == "forget" else set()
    late = ["late"] if meanwhile == "append" else []
    assert names(catalog) == [name for name in expected if name not in gone] + late


def test_a_table_without_pause_for_a_commit_is_said_to_be_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = Catalog(Storage(str(tmp_path)))
    catalog.append("runs", [run_row("a")])
    refuse = lambda *_, **__: (_ for _ in ()).throw(CommitFailedError("version 1 is taken"))  # noqa: E731
    monkeypatch.setattr("deltalake.DeltaTable.create_write_transaction", refuse)
    monkeypatch.setattr("pipeline.catalog.time.sleep", lambda _: None)
    with pytest.raises(BusyError, match="run the same command again") as caught:
        catalog.forget("runs", "run_id", ["a"])
    assert "free space" not in str(caught.value)
    monkeypatch.setattr("pipeline.catalog.COMPACT_ABOVE_FILES", 0)
    catalog.tidy()  # can wait for another run


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
