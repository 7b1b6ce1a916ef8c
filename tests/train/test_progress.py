import logging
from itertools import count

import pytest

import train.progress
from train.progress import Progress


def test_a_line_every_ten_seconds_with_the_time_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Steps of four seconds, gone on with after step 1,000: lines at the third, sixth … step of this run."""
    clock = count(0, 4)
    monkeypatch.setattr(train.progress.time, "monotonic", lambda: float(next(clock)))
    with caplog.at_level(logging.INFO, logger="somewhere"):
        progress = Progress(log=logging.getLogger("somewhere"), done=1000, total=2000)
        for step in range(1001, 1008):
            progress.report(step, {"loss": 0.25})
    assert caplog.messages == [
        "step 1,003 of 2,000, 1:06:28 left: loss 0.25",
        "step 1,006 of 2,000, 1:06:16 left: loss 0.25",
    ]
