"""Point tracks through a clip: pyramidal Lucas–Kanade flow, checked forward and backward, the characters left out."""

from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np

CORNER_QUALITY = 0.01
"""Of the best corner's strength: weaker ones slide along edges."""
RETURN_PIXELS = 0.25
FLOW_CRITERIA = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 0.01)


@dataclass(frozen=True)
class Tracks:
    """N points followed through L frames of a clip.

    xy: float64 [L, N, 2] in pixels of a picture of `size` (width, height), pixel (0, 0) the centre of the first one;
    NaN where the point is not seen. A point is seen in one unbroken run of frames. principal: where the lens's axis
    meets the picture, (x, y) in its pixels, which may lie outside of it; None: in the middle.
    """

    xy: np.ndarray
    size: tuple[int, int]
    principal: tuple[float, float] | None = None

    @property
    def seen(self) -> np.ndarray:
        """bool [L, N]."""
        return np.isfinite(self.xy[..., 0])

    @property
    def centre(self) -> np.ndarray:
        """The principal point, float64 [2]."""
        return np.asarray(self.principal if self.principal is not None else (np.array(self.size) - 1) / 2, np.float64)

    def select(self, columns: np.ndarray) -> "Tracks":
        """The tracks of a boolean [N] or index array."""
        return replace(self, xy=self.xy[:, columns])


def working_pictures(frames: np.ndarray, mask: np.ndarray, limit: int) -> tuple[list[np.ndarray], np.ndarray, float]:
    """Grey pictures (uint8 [h, w]) no larger than `limit` pixels a side, the masks at their size (bool [L, h, w],
    grown by 1.5 % of the width, since outlines of masks are rough), and the scale (working over original pixels).
    """
    height, width = frames.shape[1:3]
    scale = min(1.0, limit / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    radius = max(1, round(0.015 * size[0]))
    kernel = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    greys, masks = [], np.zeros((len(frames), size[1], size[0]), bool)
    for i, frame in enumerate(frames):
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        greys.append(cv2.resize(grey, size, interpolation=cv2.INTER_AREA) if scale < 1 else grey)
        if mask[i].any():
            grown = cv2.resize(mask[i].astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
            masks[i] = cv2.dilate(grown, kernel) > 0
    return greys, masks, size[0] / width


def track_points(greys: list[np.ndarray], masks: np.ndarray, *, live: int, window: int = 13, anchor: int = 8) -> Tracks:
    """Follows about `live` corners from frame to frame; lost ones are replaced in the emptiest places.

    greys: L pictures uint8 [h, w]. masks: bool [L, h, w], True where no point may be. A step counts if tracking it
    back returns within RETURN_PIXELS. The step is then repeated from the last frame whose number is a multiple of
    `anchor`, so that errors add up once in `anchor` frames and not in each. Deterministic with one OpenCV thread.
    """
    height, width = greys[0].shape
    distance = max(3.0, 0.6 * np.sqrt(width * height / live))
    xy = np.full((len(greys), 0, 2), np.nan, np.float32)
    for i, grey in enumerate(greys):
        if i:
            ids = np.flatnonzero(np.isfinite(xy[i - 1, :, 0]))
            moved, good = _flow(greys[i - 1], grey, xy[i - 1, ids], None, window)
            ids, moved = ids[good], moved[good]
            base = (i - 1) // anchor * anchor
            old = np.flatnonzero(np.isfinite(xy[base, ids, 0])) if base < i - 1 else np.zeros(0, int)
            template, starts = _warped(greys[base], xy[base, ids[old]], moved[old])
            refined, good = _flow(template, grey, starts, moved[old], window)
            good &= np.linalg.norm(refined - moved[old], axis=1) < 0.5 * (i - base) ** 0.5
            moved[old[good]] = refined[good]
            free = _free(moved, masks[i])
            xy[i, ids[free]] = moved[free]
        missing = live - int(np.isfinite(xy[i, :, 0]).sum())
        if missing > 0:
            new = _corners(grey, masks[i], xy[i, np.isfinite(xy[i, :, 0])], distance, missing)
            columns = np.full((len(greys), len(new), 2), np.nan, np.float32)
            columns[i] = new
            xy = np.concatenate([xy, columns], axis=1)
    return Tracks(xy.astype(np.float64), (width, height))


def _warped(picture: np.ndarray, points: np.ndarray, now: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A picture and its `points` [n, 2] moved by the homography that brings most of them to where they are `now`.

    Flow compares upright squares: turned and scaled like the later picture, the earlier one looks the same in them.
    """
    if len(points) < 12:
        return picture, points
    homography, _ = cv2.findHomography(points, now, cv2.RANSAC, 3.0)
    if homography is None or abs(np.log(abs(np.linalg.det(homography[:2, :2])) + 1e-9)) > 1.5:
        return picture, points
    height, width = picture.shape
    moved = cv2.perspectiveTransform(points[:, None], homography)[:, 0]
    return cv2.warpPerspective(picture, homography, (width, height), borderMode=cv2.BORDER_REPLICATE), moved


def _flow(
    before: np.ndarray, after: np.ndarray, points: np.ndarray, guess: np.ndarray | None, window: int
) -> tuple[np.ndarray, np.ndarray]:
    """Where `points` [n, 2] of one picture are in another, and which of them come back when tracked back."""
    if not len(points):
        return np.zeros((0, 2), np.float32), np.zeros(0, bool)
    flags, levels = (0, 4) if guess is None else (cv2.OPTFLOW_USE_INITIAL_FLOW, 0)
    flow = partial(
        cv2.calcOpticalFlowPyrLK,
        winSize=(window, window),
        maxLevel=levels,
        criteria=FLOW_CRITERIA,
        flags=flags,
        minEigThreshold=1e-4,
    )
    moved, ok, _ = flow(before, after, points, None if guess is None else guess.copy())
    back, ok_back, _ = flow(after, before, moved, None if guess is None else points.copy())
    return moved, (ok[:, 0] > 0) & (ok_back[:, 0] > 0) & (np.linalg.norm(back - points, axis=1) < RETURN_PIXELS)


def _free(points: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """True for points inside the picture and off the mask."""
    height, width = mask.shape
    x, y = np.rint(points[:, 0]), np.rint(points[:, 1])
    inside = (x >= 2) & (y >= 2) & (x < width - 2) & (y < height - 2)
    column, row = np.clip(x, 0, width - 1).astype(int), np.clip(y, 0, height - 1).astype(int)
    return inside & ~mask[row, column]


def _corners(grey: np.ndarray, mask: np.ndarray, points: np.ndarray, distance: float, count: int) -> np.ndarray:
    """Up to `count` new corners [n, 2] away from `points` and the mask."""
    free = np.where(mask, 0, 255).astype(np.uint8)
    for x, y in points:
        cv2.circle(free, (round(float(x)), round(float(y))), int(distance), 0, -1)
    found = cv2.goodFeaturesToTrack(grey, count, CORNER_QUALITY, distance, mask=free, blockSize=5)
    if found is None:
        return np.zeros((0, 2), np.float32)
    found = cv2.cornerSubPix(
        grey, found.reshape(-1, 1, 2), (3, 3), (-1, -1), (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 20, 0.02)
    ).reshape(-1, 2)
    return found[_free(found, mask)]
