"""Metrics of a run: one JSON object a line, and TensorBoard."""

import json
import logging
import math
import time
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

log = logging.getLogger("train")


class MetricsWriter:
    """Writes `metrics.jsonl` and TensorBoard files of one run; made on rank 0 alone.

    first_step: steps from here on are written by this process; lines of them that a killed run left behind are dropped,
    so that every step stands in the file once.
    """

    def __init__(self, *, folder: Path, first_step: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "metrics.jsonl"
        kept = [line for line in read_metrics(self._path) if line["step"] < first_step]
        part = self._path.with_suffix(".tmp")
        part.write_text("".join(json.dumps(line) + "\n" for line in kept))
        part.rename(self._path)
        self._file = self._path.open("a", buffering=1)
        self._spoke = -math.inf
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=first_step)

    def write(self, step: int, values: dict[str, float]) -> None:
        """One line of values for a step; every ten seconds one on the console too.

        Full precision, so that a resumed run can be compared bit by bit.
        """
        if time.monotonic() - self._spoke > 10:
            self._spoke = time.monotonic()
            log.info("step %d: %s", step, ", ".join(f"{name} {value:.4g}" for name, value in values.items()))
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
