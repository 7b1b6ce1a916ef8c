"""What a run shows: plain lines where nobody watches, a bar a stage on a terminal."""

import io
import re

import pytest
from rich.console import Console

from pipeline import progress
from pipeline.progress import PLAIN_EVERY_S, ProgressView


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def test_plain_lines_say_rate_time_left_and_failures_now_and_then(clock: Clock) -> None:
    shown = io.StringIO()
    with ProgressView(Console(file=shown, width=200)) as view:
        view.started({"decode": 8, "pose": 8, "pack": 1})
        clock.now += PLAIN_EVERY_S
        view.tick()
        for _ in range(3):
            view.done("decode")
        view.done("pose")
        view.failed("decode", "clip_a", "no [red]frames[/red] in it\nand more")
        view.retried("pose", "clip_b", "", 1)
        clock.now += PLAIN_EVERY_S - 0.1
        view.tick()  # too soon
        clock.now += 0.1
        view.tick()
        view.tick()
        for _ in range(4):
            view.done("decode")
        clock.now += PLAIN_EVERY_S
        view.tick()
    assert shown.getvalue().splitlines() == [
        "to do: decode 8, pose 8, pack 1",
        "working on the first items",
        "decode clip_a quarantined: no [red]frames[/red] in it",
        "pose clip_b failed (try 1), will be tried again: no message",
        "decode 3/8 (0.1/s, 40 s left, 1 failed); pose 1/8 (0.033/s, 210 s left)",
        "pose 1/8 (0.022/s, 315 s left)",
    ]


def test_a_second_phase_counts_anew(clock: Clock) -> None:
    shown = io.StringIO()
    with ProgressView(Console(file=shown, width=200)) as view:
        view.started({"ingest": 2})
        view.done("ingest")
        view.started({"decode": 4})
        view.done("decode")
        clock.now += PLAIN_EVERY_S
        view.tick()
    assert shown.getvalue().splitlines()[1:] == ["to do: decode 4", "decode 1/4 (0.067/s, 45 s left)"]


def test_a_terminal_shows_a_bar_a_stage_and_long_errors_are_cut(clock: Clock) -> None:
    shown = io.StringIO()
    console = Console(file=shown, width=400, force_terminal=True, color_system=None, legacy_windows=False)
    with ProgressView(console) as view:
        view.started({"decode": 8, "pose": 8})
        clock.now += 2
        for _ in range(3):
            view.done("decode")
        view.failed("decode", "clip_a", "x" * 500)
        view.tick()
        view.line("a word in between")
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.getvalue())
    lines = [line.strip() for part in text.split("\n") for line in part.split("\r")]
    last = [line for line in lines if re.match(r"(decode|pose) +\S+ +\d", line)][-2:]
    assert re.search(r"^decode .* 4/8 +1\.5/s .*1 failed$", last[0])
    assert re.search(r"^pose .* 0/8 ", last[1])
    assert "failed" not in last[1]
    assert "a word in between" in lines
    (failure,) = {line for line in lines if line.startswith("decode clip_a quarantined")}
    assert failure.endswith("x…")
    assert len(failure.partition(": ")[2]) == 238
