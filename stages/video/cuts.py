"""Shot cuts in a stream of small frames.

A cut is told from fast motion by four tests that must all pass:

| test | what it rules out |
| --- | --- |
| frames still differ after optical flow has moved one onto the other | pans, dolly moves |
| that difference stands out among those of the frames around | whip pans, low frame rates, drawing on twos or threes |
| the difference covers much of the picture | a character that leaps |
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
_FLASH = 3  # frames of the longest disturbance after which a shot goes on
_SIDE = _FLASH + 1  # frames compared on each side of a place
_LAG = 2  # frames apart on one side that the difference across a place must exceed
_TEXTURE = 3.0  # standard deviation of luma (0-255) from which a block has something to show
_BLACK = 40  # every pixel of a black frame is below this luma (0-255), which leaves room for noise


class CutConfig(FrozenConfig):
    """Thresholds of the cut detector."""

    enabled: bool = Field(True, description="Look for cuts; off takes every source as one shot.")
    min_difference: float = Field(
        6.0, ge=0, description="Mean difference (0-255) that must remain after motion compensation."
    )
    min_ratio: float = Field(1.6, ge=1, description="How far the difference must stand out among those around it.")
    min_area: float = Field(
        0.45, ge=0, le=1, description="Least share of the picture's textured parts that a cut must change."
    )
    min_contrast: float = Field(
        1.25, ge=0, description="Least difference across a cut over the greatest between frames on one side of it."
    )
    neighbours: int = Field(
        8, ge=4, description="Frames on each side that a difference is compared with; shots of fewer may be missed."
    )
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
    search = _Search(config)
    black: list[bool] = []
    for frame in frames:
        black.append(is_black(frame))
        search.add(frame)
    search.finish()
    found = search.found
    for start, end in _runs(black):
        if end - start > _FLASH:
            found |= {place: 0.0 for place in (start, end) if 0 < place < len(black) and place not in found}
    chosen = sorted(found) if config.enabled else []
    return CutResult(
        count=len(black),
        cuts=tuple(chosen),
        scores=tuple(found[place] for place in chosen),
        repeated=np.asarray(search.repeated, bool),
    )


class _Search:
    """The state of a search: differences so far, and the last pictures that differ from the one before.

    Repetitions are left out of every comparison but the count of frames: drawn on threes, a motion is one of bigger
    steps, not two still frames and a jump.
    """

    def __init__(self, config: CutConfig) -> None:
        self.config = config
        self.residuals: list[float] = []
        self.repeated: list[bool] = []
        self.found: dict[int, float] = {}
        self._recent: deque[tuple[int, np.ndarray]] = deque(maxlen=2 * config.neighbours + _FLASH + 2)
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)

    def add(self, frame: np.ndarray) -> None:
        """Take the next frame, and judge the place whose surroundings are now known."""
        index = len(self.residuals)
        before = self._recent[-1][1] if self._recent else None
        repeats = before is not None and is_repeat(before, frame, self.config.repeat_difference)
        self.repeated.append(repeats)
        self.residuals.append(0.0 if before is None or repeats else self._difference(before, frame))
        if not repeats:
            self._recent.append((index, frame))
        if index > self.config.neighbours:
            self._judge(index - self.config.neighbours)

    def finish(self) -> None:
        """Judge the places near the end."""
        count = len(self.residuals)
        for place in range(max(1, count - self.config.neighbours), count):
            self._judge(place)

    def _judge(self, place: int) -> None:
        config = self.config
        ratio = self._ratio(place)
        if self.residuals[place] < config.min_difference or ratio < config.min_ratio:
            return
        before = self._shown_before(place)
        after = [frame for index, frame in self._recent if place <= index < place + config.neighbours]
        # At the ends of a source one side may be too short to tell what its motion is like.
        starts = place < config.neighbours and len(before) < _SIDE
        ends = len(self.residuals) - place < config.neighbours and len(after) < _SIDE
        if (starts or ends) and ratio < 2 * config.min_ratio:
            return
        begun = next((p for p in range(max(1, place - _FLASH), place) if p in self.found), None)
        if begun is not None:
            # Two breaks so close are a flash where the picture returns, else one cut with a flash upon it.
            calm = self._shown_before(begun)
            usual = max(config.min_difference, 2 * max(self._motion(calm[-_SIDE:]), self._motion(after[:_SIDE])))
            if self._difference(calm[-1], after[0]) < usual:
                del self.found[begun]
            return
        flash = max((n for n in range(1, _FLASH + 1) if self._flash_ends(place, place + n)), default=0)
        inside = max(self._motion(before[-_SIDE:]), self._motion(after[flash : flash + _SIDE]))
        least = max(config.min_difference, config.min_contrast * inside)
        if changed_area(before[-1], after[0], config.min_difference, self._flow) >= config.min_area and all(
            self._difference(b, a) >= least for b in before[-_SIDE:] for a in after[:_SIDE]
        ):
            self.found[place] = ratio

    def _shown_before(self, place: int) -> list[np.ndarray]:
        """Different pictures shown in the frames just before a place; the first may have begun earlier."""
        earlier = [(index, frame) for index, frame in self._recent if index < place]
        return [
            frame
            for i, (_, frame) in enumerate(earlier)
            if i + 1 == len(earlier) or earlier[i + 1][0] > place - self.config.neighbours
        ]

    def _flash_ends(self, place: int, end: int) -> bool:
        """Whether a flash that may have begun at `place` ends at `end`: the break there is as great."""
        return (
            end < len(self.residuals)
            and self.residuals[end] >= 0.5 * self.residuals[place]
            and self._ratio(end) >= self.config.min_ratio
        )

    def _ratio(self, place: int) -> float:
        return standing_out(self.residuals, place, self.config.neighbours)

    def _motion(self, side: Sequence[np.ndarray]) -> float:
        """The greatest difference of frames _LAG apart: what motion alone makes."""
        return max((self._difference(side[i], side[i + _LAG]) for i in range(len(side) - _LAG)), default=0.0)

    def _difference(self, before: np.ndarray, after: np.ndarray) -> float:
        return compensated_difference(before, after, self._flow)


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


def compensated_difference(before: np.ndarray, after: np.ndarray, flow: "cv2.DISOpticalFlow") -> float:
    """Mean absolute difference (0–255) of two frames uint8 BGR [H, W, 3] once `after` is moved along the optical flow
    onto `before`.
    """
    return float(_compensated(before, after, flow).mean())


def changed_area(before: np.ndarray, after: np.ndarray, threshold: float, flow: "cv2.DISOpticalFlow") -> float:
    """Share (0–1) of 16 × 16 blocks whose compensated difference is at least `threshold`, among those with texture in
    either frame, uint8 BGR [H, W, 3]: a dark void around a character cannot change.
    """
    changed = cv2.resize(_compensated(before, after, flow), (16, 16), interpolation=cv2.INTER_AREA).mean(axis=-1)
    textured = np.zeros(changed.shape, bool)
    for picture in (before, after):
        grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY).astype(np.float32)
        mean, square = (cv2.resize(g, (16, 16), interpolation=cv2.INTER_AREA) for g in (grey, grey * grey))
        textured |= square - mean * mean > _TEXTURE**2
    considered = textured | (changed >= threshold)
    return float((changed >= threshold).sum() / max(1, considered.sum()))


def _compensated(before: np.ndarray, after: np.ndarray, flow: "cv2.DISOpticalFlow") -> np.ndarray:
    grey = [cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY) for picture in (before, after)]
    motion = flow.calc(grey[0], grey[1], None)
    rows, columns = before.shape[:2]
    x, y = np.meshgrid(np.arange(columns, dtype=np.float32), np.arange(rows, dtype=np.float32))
    moved = cv2.remap(after, x + motion[..., 0], y + motion[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return cv2.absdiff(moved, before)


def is_repeat(before: np.ndarray, after: np.ndarray, threshold: float) -> bool:
    """Whether a frame uint8 [H, W, 3] shows what the one before shows: no block of 1/16 of the width differs on average
    by more than `threshold` (0–255), which lossy coding of a held picture stays below.
    """
    blocks = cv2.resize(cv2.absdiff(before, after), (16, 16), interpolation=cv2.INTER_AREA)
    return bool(blocks.max() <= threshold)


def is_black(frame: np.ndarray) -> bool:
    """Whether nothing is to be seen in a frame uint8 BGR [H, W, 3]."""
    return bool(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY).max() < _BLACK)
