"""Shot cuts in a stream of small frames.

A cut is told from fast motion by three tests that must all pass:

| test | rules out |
| --- | --- |
| the picture still differs after optical flow has moved it into place | pans, dolly moves, dancing |
| that difference stands out among the frames around it | whip pans, low frame rates, drawing on twos or threes |
| frames before and after the place stay different for some frames | flashes, single broken frames |

The common detectors threshold the plain difference of neighbouring frames, which MMD footage defeats both ways: a fast
dance before a textured stage differs more from frame to frame than many a cut.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from pydantic import Field

from schemas.config import FrozenConfig

SIZE = 128
"""Width and height of the frames that are compared; the aspect ratio does not matter to the tests."""


class CutConfig(FrozenConfig):
    """Thresholds of the cut detector."""

    enabled: bool = Field(True, description="Look for cuts; off takes every source as one shot.")
    min_difference: float = Field(
        6.0, ge=0, description="Mean difference (0-255) that must remain after motion compensation."
    )
    min_ratio: float = Field(2.2, ge=1, description="How far the difference must stand out among those around it.")
    neighbours: int = Field(7, ge=2, description="Frames on each side that a difference is compared with.")
    flash_frames: int = Field(4, ge=1, description="Longest disturbance, frames, after which the shot goes on.")
    repeat_difference: float = Field(
        1.0, ge=0, description="Largest block difference (0-255) between a frame and its repetition."
    )


@dataclass(frozen=True)
class CutResult:
    """Frames counted, the first frames of all shots after the first with their scores, and which frames repeat.

    repeated: bool [frames]. residual: float32 [frames], the motion-compensated difference to the frame before (0–255).
    """

    count: int
    cuts: tuple[int, ...]
    scores: tuple[float, ...]
    repeated: np.ndarray
    residual: np.ndarray


def detect(frames: Iterator[np.ndarray], config: CutConfig) -> CutResult:
    """Cuts in a stream of frames uint8 [SIZE, SIZE, 3] (BGR). A few pictures are held at a time."""
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    residuals: list[float] = []
    persists: list[float] = []
    repeated: list[bool] = []
    recent: deque[np.ndarray] = deque(maxlen=2 * config.flash_frames + 1)
    for frame in frames:
        before = recent[-1] if recent else None
        recent.append(frame)
        if before is None:
            residuals.append(0.0)
            repeated.append(False)
            persists.append(0.0)
            continue
        repeated.append(is_repeat(before, frame, config.repeat_difference))
        residuals.append(0.0 if repeated[-1] else compensated_difference(before, frame, flow))
        persists.append(float("inf"))
        _settle(residuals, persists, recent, config, flow, late=config.flash_frames)
    for late in range(config.flash_frames - 1, 0, -1):
        _settle(residuals, persists, recent, config, flow, late=late)
    residual = np.asarray(residuals, np.float32)
    ratios = standing_out(residual, config.neighbours)
    chosen = [
        n
        for n in range(1, len(residual))
        if config.enabled
        and residual[n] >= config.min_difference
        and ratios[n] >= config.min_ratio
        and persists[n] >= config.min_difference
    ]
    return CutResult(
        count=len(residual),
        cuts=tuple(chosen),
        scores=tuple(float(min(ratios[n], 999.0)) for n in chosen),
        repeated=np.asarray(repeated, bool),
        residual=residual,
    )


def _settle(
    residuals: list[float],
    persists: list[float],
    recent: "deque[np.ndarray]",
    config: CutConfig,
    flow: "cv2.DISOpticalFlow",
    *,
    late: int,
) -> None:
    """Judge the place `late` frames back, whose frames after it are now known: the least difference across it."""
    place = len(residuals) - late
    if place < 1 or residuals[place] < config.min_difference:
        return
    held = list(recent)
    after = held[-late:]
    before = held[:-late][-config.flash_frames :]
    persists[place] = min(compensated_difference(b, a, flow) for b in before for a in after)


def standing_out(residual: np.ndarray, neighbours: int) -> np.ndarray:
    """Each difference over the second largest of its neighbours' (the largest may be another cut). float [N]."""
    ratios = np.zeros(len(residual))
    for n in range(1, len(residual)):
        around = np.concatenate([residual[max(1, n - neighbours) : n], residual[n + 1 : n + 1 + neighbours]])
        usual = float(np.sort(around)[-2]) if len(around) > 1 else 0.0
        ratios[n] = residual[n] / max(usual, 1.0)
    return ratios


def compensated_difference(before: np.ndarray, after: np.ndarray, flow: "cv2.DISOpticalFlow") -> float:
    """Mean absolute difference (0–255) of two frames once `after` is moved along the optical flow onto `before`."""
    grey = [cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY) for picture in (before, after)]
    motion = flow.calc(grey[0], grey[1], None)
    rows, columns = before.shape[:2]
    x, y = np.meshgrid(np.arange(columns, dtype=np.float32), np.arange(rows, dtype=np.float32))
    moved = cv2.remap(after, x + motion[..., 0], y + motion[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return float(cv2.absdiff(moved, before).mean())


def is_repeat(before: np.ndarray, after: np.ndarray, threshold: float) -> bool:
    """Whether a frame shows what the one before shows: no block of 1/16 of the width differs on average by more than
    `threshold` (0–255), which lossy coding of a held picture stays below.
    """
    difference = cv2.absdiff(before, after)
    blocks = cv2.resize(difference, (16, 16), interpolation=cv2.INTER_AREA)
    return bool(blocks.max() <= threshold)
