"""What a long loop says of itself on the console."""

import datetime
import logging
import time

PAUSE_S = 10.0


class Progress:
    """A line every ten seconds: `step 300 of 4,800, 0:12:30 left: loss 0.5`.

    done: steps that an earlier run has taken; the time left goes by the steps of this one.
    """

    def __init__(self, *, log: logging.Logger, done: int, total: int) -> None:
        self._log = log
        self._done = done
        self._total = total
        self._began = self._spoke = time.monotonic()

    def report(self, step: int, values: dict[str, float]) -> None:
        """To be called after each step (counted from 1), with its figures."""
        now = time.monotonic()
        if now - self._spoke < PAUSE_S:
            return
        self._spoke = now
        seconds = (now - self._began) * (self._total - step) / max(1, step - self._done)
        left = datetime.timedelta(seconds=round(seconds))
        figures = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
        self._log.info("step %s of %s, %s left: %s", f"{step:,}", f"{self._total:,}", left, figures)
