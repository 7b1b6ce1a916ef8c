"""What a run commits and when: clips before the artifact that cut them, in batches, and not without pause."""

import io
from typing import Any

import pytest
from rich.console import Console

from pipeline import record
from pipeline.config import RunConfig
from pipeline.executor.worker import ItemDone, ItemFailed
from pipeline.progress import ProgressView
from pipeline.record import Recorder
from pipeline.work import SourceWork, WorkItem
from schemas.artifacts.header import Header


class Clock:
    """Stands still unless told; a commit takes `commit_s`."""

    def __init__(self) -> None:
        self.now, self.commit_s = 100.0, 0.0
        self.commits: list[tuple[str, list[dict[str, Any]]]] = []

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now

    def append(self, table: str, rows: list[dict[str, Any]]) -> None:
        if rows:
            self.commits.append((table, rows))
            self.now += self.commit_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(record, "time", clock)
    return clock


def recorder(clock: Clock, **config: float) -> Recorder:
    made: Recorder

    def on_done(item: WorkItem, outcome: ItemDone) -> None:
        made.clips([{"clip_id": f"{item.item_id}_{number}"} for number in range(2)])

    made = Recorder(
        catalog=clock,  # type: ignore[arg-type]
        graph={},
        view=ProgressView(Console(file=io.StringIO())),
        config=RunConfig(**config),  # type: ignore[arg-type]
        run_id="run",
        on_done=on_done,
        on_quarantined=lambda item: None,
    )
    return made


def item(number: int) -> WorkItem:
    return WorkItem("ingest", f"key{number}", f"source{number}", f"source{number}", SourceWork("s", "v"))


DONE = ItemDone("p", "s", 1, Header("ingest", "c"), 1.0, "host")


def test_clips_are_committed_with_their_artifact_and_before_it(clock: Clock) -> None:
    of = recorder(clock, commit_rows=3)
    for number in range(3):
        of.done(item(number), DONE)
    of.quarantined(item(3), ItemFailed("raised", "why"), 3)
    of.flush()
    assert [(table, len(rows)) for table, rows in clock.commits] == [("clips", 6), ("artifacts", 3), ("failures", 1)]
    cut = {row["clip_id"].partition("_")[0] for row in clock.commits[0][1]}
    assert cut == {row["item_id"] for row in clock.commits[1][1]}


def test_a_row_waits_no_longer_than_commit_seconds(clock: Clock) -> None:
    of = recorder(clock, commit_rows=100, commit_seconds=5.0)
    of.done(item(0), DONE)
    clock.now += 4.9
    of.tick()
    assert not clock.commits
    clock.now += 0.2
    of.tick()
    assert [table for table, _ in clock.commits] == ["clips", "artifacts"]


def test_slow_commits_take_a_tenth_of_the_time(clock: Clock) -> None:
    of = recorder(clock, commit_rows=1, commit_seconds=0.1)
    clock.commit_s, started = 2.0, clock.now
    for number in range(2000):
        clock.now += 0.1
        of.done(item(number), DONE)
    assert clock.commit_s * len(clock.commits) <= 0.1 * (clock.now - started) + 2 * clock.commit_s
    of.flush()
    assert sum(len(rows) for table, rows in clock.commits if table == "artifacts") == 2000
