"""Whether an ffmpeg binary does what is asked of it here: a short video through every option and filter in use.

Old builds have other options, write other reports and lack filters, and would then refuse every video.
"""

import tempfile
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from stages.video.command import COLOURS, frames_command
from stages.video.ffmpeg import Limits, RunReport, VideoError, frames
from stages.video.fit import FitPlan, Window
from stages.video.probe import probe

_SIDE, _FRAMES, _FPS = 32, 100, 60
_FIRST, _COUNT = 40, 5  # of a timeline of half the rate: far enough from the start for a seek


@lru_cache(maxsize=8)
def failure(binary: str) -> str:
    """Why a binary cannot be used, in a few words; "" where it can."""
    limits, report = Limits(timeout_s=60, stall_s=30), RunReport()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trial.avi"
        _write(path)
        # Marked as interlaced HDR, so that it passes through every filter.
        found = probe(path, fps=_FPS / 2, limits=limits)
        found = replace(found, interlaced=True, transfer="smpte2084", untagged=tuple(COLOURS))
        whole = (0, 0, _SIDE, _SIDE)
        fit = FitPlan(whole, (_SIDE, _SIDE // 2), (0, _SIDE // 4), (_SIDE, _SIDE), Window(*whole))
        command = frames_command(
            path,
            found,
            fps=found.fps,
            start_s=found.start_s,
            first=_FIRST,
            count=_COUNT,
            fit=fit,
            scaler="bicubic",
            limits=limits,
            binary=binary,
        )
        try:
            count = sum(1 for _ in frames(command, shape=(_SIDE, _SIDE, 3), limits=limits, report=report))
        except (OSError, VideoError) as error:
            return f"it does not run ({error})"
    if count != _COUNT:
        why = report.messages[0] if report.messages else "silently"
        return f"it gave {count} of {_COUNT} frames of a trial ({why})"
    if not (report.packets and report.decoded and report.dropped):
        return "its report of a trial is not understood: it is too old, or too new"
    return ""


def _write(path: Path) -> None:
    # Written by OpenCV itself, so that the trial does not depend on the binary's encoders.
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), _FPS, (_SIDE, _SIDE))
    if not writer.isOpened():
        raise VideoError(f"OpenCV could not write a trial video into {path.parent}")
    for number in range(_FRAMES):
        writer.write(np.full((_SIDE, _SIDE, 3), 2 * number, np.uint8))
    writer.release()
