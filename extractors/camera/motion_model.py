"""Whether the camera of a clip stands still: the simplest model, tried first."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from extractors.camera.tracks import Tracks

CELLS = 8
STILL_PIXELS = 0.35
"""Distance, in pixels of a picture 512 wide, within which a track counts as not moving (noise of compressed video)."""


@dataclass(frozen=True)
class Stillness:
    """share: of the observations of lasting tracks, those of tracks that never move. coverage: of the picture's cells
    (8 × 8) that hold lasting tracks, those that hold a still one. linked: still tracks join every frame to the next.
    """

    share: float
    coverage: float
    linked: bool

    @property
    def static(self) -> bool:
        """A moving camera moves everything but what is stuck to the picture (captions, logos), which is little of it.
        A still one may have much that moves before it, but nothing stands still by chance all over the picture.
        """
        return self.linked and self.coverage >= 0.4 and self.share >= 0.3


def lasting(tracks: Tracks) -> Tracks:
    """The tracks that are seen in 5 frames at least (in all of a shorter clip): those that models are fitted to."""
    return tracks.select(tracks.seen.sum(axis=0) >= min(5, len(tracks.xy)))


def without_model(tracks: Tracks, still: Stillness) -> Literal["static", "unsolved"] | None:
    """How a clip ends to which no moving camera need be fitted: it stands still, or some frame has too few tracks to
    say anything of it; None where models are to be tried. still: `stillness` of the same tracks.
    """
    if len(tracks.xy) == 1 or still.static:
        return "static"
    return "unsolved" if tracks.seen.sum(axis=1).min() < 8 else None


def stillness(tracks: Tracks) -> Stillness:
    """Counts tracks that last (a third of the clip, at least 4 frames) and stay where they began."""
    seen = tracks.seen
    length = len(seen)
    long = seen.sum(axis=0) >= max(4, length // 3)
    if not long.any():
        return Stillness(0.0, 0.0, linked=False)
    seen, xy = seen[:, long], tracks.xy[:, long]
    start = xy[seen.argmax(axis=0), np.arange(xy.shape[1])]
    moved = np.where(seen, np.linalg.norm(xy - start, axis=-1), 0.0)
    # One bad frame (a compression artefact) must not unsettle a track; a slow drift shows at the end of it.
    limit = STILL_PIXELS * max(tracks.size) / 512
    last = length - 1 - seen[::-1].argmax(axis=0)
    still = (np.quantile(moved, 0.98, axis=0) < limit) & (moved[last, np.arange(xy.shape[1])] < limit)
    cell = np.clip(start / np.array(tracks.size) * CELLS, 0, CELLS - 1).astype(int) @ np.array([1, CELLS])
    held = seen & still
    return Stillness(
        share=float(held.sum() / seen.sum()),
        coverage=len(np.unique(cell[still])) / len(np.unique(cell)),
        linked=bool(((held[1:] & held[:-1]).sum(axis=1) >= 12).all()),
    )
