"""Memory against length, through the animator and the writer, each measured in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def grown(checkpoint: Path, output: Path, short: int, long: int) -> dict[str, float]:
    """By how many MiB the peaks of the process and of its ffmpeg grow from the short to the long animation."""
    peaks = []
    for length in (short, long):
        command = [sys.executable, "-m", "tests.pipeline.animation.long", str(length), str(output), str(checkpoint)]
        text = subprocess.run(command, cwd=ROOT, check=True, timeout=3000, capture_output=True, text=True).stdout
        peaks.append(json.loads(text.splitlines()[-1]))
        assert peaks[-1]["frames"] == length
    return {name: peaks[1][name] - peaks[0][name] for name in ("own", "child")}


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("suffix", [".gif", ".mp4"])
def test_a_thousand_frames_in_bounded_memory(checkpoint: Path, tmp_path: Path, suffix: str) -> None:
    """900 more frames: their JPEGs would take 340 MiB here, their pictures 280 MiB in ffmpeg."""
    more = grown(checkpoint, tmp_path / f"a{suffix}", 100, 1000)
    assert more["own"] < 100
    assert more["child"] < 20
