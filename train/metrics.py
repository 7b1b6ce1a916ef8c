"""Metrics of a run: one JSON object a line, and TensorBoard."""

import json
import logging
import math
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from train.progress import Progress

log = logging.getLogger("train")


class MetricsWriter:
    """Writes `metrics.jsonl` and TensorBoard files of one run; made on rank 0 alone.

    first_step: steps from here on are written by this process; lines of them that a killed run left behind are dropped,
    so that every step stands in the file once. last_step: where the run ends.
    """

    def __init__(self, *, folder: Path, first_step: int, last_step: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "metrics.jsonl"
        kept = [line for line in read_metrics(self._path) if line["step"] < first_step]
        part = self._path.with_suffix(".tmp")
        part.write_text("".join(json.dumps(line) + "\n" for line in kept))
        part.rename(self._path)
        self._file = self._path.open("a", buffering=1)
        self._progress = Progress(log=log, done=first_step - 1, total=last_step)
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=first_step)

    def write(self, step: int, values: dict[str, float]) -> None:
        """One line of values for a step; every ten seconds one on the console too, with the time left.

        Full precision, so that a resumed run can be compared bit by bit.
        """
        self._progress.report(step, values)
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        for name, value in values.items():
            if math.isfinite(value):
                self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """Flushes both files."""
        self._file.close()
        self._board.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Lines of a metrics file; a last line that was cut off by a kill is left out. Empty where there is no file."""
    if not path.is_file():
        return []
    lines: list[dict[str, Any]] = []
    for text in path.read_text().splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return lines
