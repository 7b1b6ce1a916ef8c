"""Whether the camera of a clip stands still: the simplest model, tried first."""

from dataclasses import dataclass

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


def stillness(tracks: Tracks) -> Stillness:
    """Counts tracks that last (a third of the clip, at least 4 frames) and stay where they began."""
    seen = tracks.seen
    length = len(seen)
    lasting = seen.sum(axis=0) >= max(4, length // 3)
    if not lasting.any():
        return Stillness(0.0, 0.0, linked=False)
    seen, xy = seen[:, lasting], tracks.xy[:, lasting]
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
