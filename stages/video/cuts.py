"""Shot cuts in a stream of small frames.

A cut is told from fast motion by three tests that must all pass:

| test | what it rules out |
| --- | --- |
| frames still differ after optical flow has moved one onto the other | pans, dolly moves |
| that difference stands out among those of the frames around | whip pans, low frame rates, drawing on twos or threes |
| frames across the place differ more than frames on one side of it | fast dancing, flashes, broken frames |

The common detectors threshold the plain difference of neighbouring frames, which MMD footage defeats both ways: a fast
dance before a textured stage differs more from frame to frame than many a cut between two views of it. A run of black
frames (a fade out and in) ends a shot as well. Dissolves from one picture into another are not found.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from pydantic import Field

from schemas.config import FrozenConfig

SIZE = 128
"""Width and height of the frames that are compared; the aspect ratio does not matter to the tests."""
_SIDE = 4  # frames compared on each side of a place: one more than the longest flash
_LAG = 2  # frames apart on one side that the difference across a place must exceed
_BLACK = 40  # every pixel of a black frame is below this luma (0-255), which leaves room for noise


class CutConfig(FrozenConfig):
    """Thresholds of the cut detector."""

    enabled: bool = Field(True, description="Look for cuts; off takes every source as one shot.")
    min_difference: float = Field(
        6.0, ge=0, description="Mean difference (0-255) that must remain after motion compensation."
    )
    min_ratio: float = Field(1.6, ge=1, description="How far the difference must stand out among those around it.")
    min_contrast: float = Field(
        1.25, ge=0, description="Least difference across a cut over the greatest between frames on one side of it."
    )
    neighbours: int = Field(7, ge=4, description="Frames on each side that a difference is compared with.")
    repeat_difference: float = Field(
        1.0, ge=0, description="Largest block difference (0-255) between a frame and its repetition."
    )


@dataclass(frozen=True)
class CutResult:
    """Frames counted, the first frames of all shots after the first with their scores, and which frames repeat.

    scores: by cut, its difference over those around it; 0 where black frames begin or end. repeated: bool [frames].
    """

    count: int
    cuts: tuple[int, ...]
    scores: tuple[float, ...]
    repeated: np.ndarray

    def head(self, count: int) -> "CutResult":
        """The result for the first `count` frames alone."""
        kept = sum(cut < count for cut in self.cuts)
        return CutResult(min(count, self.count), self.cuts[:kept], self.scores[:kept], self.repeated[:count])


def detect(frames: Iterator[np.ndarray], config: CutConfig) -> CutResult:
    """Cuts in a stream of frames uint8 [SIZE, SIZE, 3] (BGR). A few pictures are held at a time."""
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    recent: deque[np.ndarray] = deque(maxlen=config.neighbours + _SIDE + 1)
    residuals: list[float] = []
    repeated: list[bool] = []
    black: list[bool] = []
    found: dict[int, float] = {}

    def judge(place: int) -> None:
        ratio = standing_out(residuals, place, config.neighbours)
        # At the ends of a source one side is too short to tell what its motion is like.
        edge = min(place, len(residuals) - place) <= _LAG
        if residuals[place] >= config.min_difference and ratio >= config.min_ratio * (2 if edge else 1):
            index = place - (len(residuals) - len(recent))
            held = list(recent)
            if _breaks(held[max(0, index - _SIDE) : index], held[index : index + _SIDE], config, flow):
                found[place] = ratio

    for frame in frames:
        before = recent[-1] if recent else None
        recent.append(frame)
        black.append(is_black(frame))
        repeated.append(before is not None and is_repeat(before, frame, config.repeat_difference))
        if before is None or repeated[-1]:
            residuals.append(0.0)
        else:
            residuals.append(compensated_difference(before, frame, flow))
        if len(residuals) > config.neighbours + 1:
            judge(len(residuals) - 1 - config.neighbours)
    for place in range(max(1, len(residuals) - config.neighbours), len(residuals)):
        judge(place)
    for start, end in _runs(black):
        if end - start >= _SIDE:  # fewer are a flash
            found |= {place: 0.0 for place in (start, end) if 0 < place < len(black) and place not in found}
    chosen = sorted(found) if config.enabled else []
    return CutResult(
        count=len(residuals),
        cuts=tuple(chosen),
        scores=tuple(found[place] for place in chosen),
        repeated=np.asarray(repeated, bool),
    )


def _runs(flags: Sequence[bool]) -> list[tuple[int, int]]:
    """(start, end) of every run of true flags."""
    edges = np.flatnonzero(np.diff(np.asarray([False, *flags, False], np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def standing_out(residuals: Sequence[float], place: int, neighbours: int) -> float:
    """A difference over the second largest of those around it (the largest may be another cut)."""
    around = sorted(
        [*residuals[max(1, place - neighbours) : place], *residuals[place + 1 : place + 1 + neighbours]], reverse=True
    )
    return residuals[place] / max(around[1] if len(around) > 1 else 0.0, 1.0)


def _breaks(
    before: Sequence[np.ndarray], after: Sequence[np.ndarray], config: CutConfig, flow: "cv2.DISOpticalFlow"
) -> bool:
    """Whether every frame before differs from every frame after, and more than frames on one side do."""
    inside = [
        compensated_difference(side[i], side[i + _LAG], flow)
        for side, i in ((before, len(before) - 1 - _LAG), (after, 0))
        if len(side) > _LAG
    ]
    least = max(config.min_difference, config.min_contrast * max(inside, default=0.0))
    return all(compensated_difference(b, a, flow) >= least for b in before for a in after)


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
    blocks = cv2.resize(cv2.absdiff(before, after), (16, 16), interpolation=cv2.INTER_AREA)
    return bool(blocks.max() <= threshold)


def is_black(frame: np.ndarray) -> bool:
    """Whether nothing is to be seen in a frame."""
    return bool(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY).max() < _BLACK)
