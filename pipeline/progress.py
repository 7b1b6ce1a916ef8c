"""Shows a run: a bar a stage on a terminal, plain lines elsewhere. Each line can be read without the others."""

import time
from collections import Counter
from collections.abc import Mapping

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

PLAIN_EVERY_S = 15.0


class ProgressView:
    """Rate, time left and failures of every stage. Use as a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._totals: dict[str, int] = {}
        self._done: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()
        self._since = 0.0
        self._next_line = 0.0

    def __enter__(self) -> "ProgressView":
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def started(self, totals: Mapping[str, int]) -> None:
        """A phase begins: `totals` items by stage."""
        self._close()
        self._totals, self._done, self._failed = dict(totals), Counter(), Counter()
        self._since = time.monotonic()
        self._next_line = self._since + PLAIN_EVERY_S
        if self._console.is_terminal:
            self._bars = Progress(
                TextColumn("{task.description:<13}"),
                BarColumn(bar_width=None),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]:>10}"),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("[red]{task.fields[failed]}[/red]"),
                console=self._console,
            )
            self._bars.start()
            self._tasks = {
                name: self._bars.add_task(name, total=total, rate="", failed="") for name, total in totals.items()
            }
        else:
            self.line("to do: " + ", ".join(f"{name} {total}" for name, total in totals.items()))

    def done(self, stage: str) -> None:
        self._done[stage] += 1
        self._update(stage)

    def failed(self, stage: str, item_id: str, error: str) -> None:
        """An item went into quarantine."""
        self._failed[stage] += 1
        self._update(stage)
        self.line(f"{stage} {item_id} quarantined: {_first_line(error)}", style="red")

    def retried(self, stage: str, item_id: str, error: str, attempt: int) -> None:
        self.line(
            f"{stage} {item_id} failed (try {attempt}), will be tried again: {_first_line(error)}", style="yellow"
        )

    def tick(self) -> None:
        """Called often; prints a line now and then where there are no bars."""
        if self._bars is None and time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + PLAIN_EVERY_S
            under_way = [self._summary(name) for name in self._totals if self._open(name)]
            self.line("; ".join(under_way) or "working on the first items")

    def line(self, text: str, style: str | None = None) -> None:
        (self._bars.console if self._bars else self._console).print(text, style=style, markup=False, highlight=False)

    def _update(self, stage: str) -> None:
        if self._bars is not None:
            failed = self._failed[stage]
            self._bars.update(
                self._tasks[stage],
                completed=self._done[stage] + failed,
                rate=f"{self._rate(stage):.2g}/s",
                failed=f"{failed} failed" if failed else "",
            )

    def _rate(self, stage: str) -> float:
        return self._done[stage] / max(time.monotonic() - self._since, 1e-3)

    def _open(self, stage: str) -> bool:
        return 0 < self._done[stage] + self._failed[stage] < self._totals[stage]

    def _summary(self, stage: str) -> str:
        rate = self._rate(stage)
        left = self._totals[stage] - self._done[stage] - self._failed[stage]
        failed = f", {self._failed[stage]} failed" if self._failed[stage] else ""
        progress = f"{self._done[stage]}/{self._totals[stage]}"
        return f"{stage} {progress} ({rate:.2g}/s, {left / max(rate, 1e-9):.0f} s left{failed})"

    def _close(self) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None


def _first_line(text: str) -> str:
    line = text.strip().splitlines()[0] if text.strip() else "no message"
    return line if len(line) <= 240 else line[:237] + "…"
