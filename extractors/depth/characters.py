"""Depth of moving characters, which stereo between moments cannot see: where they stand, or are on the whole."""

import cv2
import numpy as np

_SMALL_SHARE = 0.25
"""A region below this share of the largest one is taken as part of it (a hand, a lock of hair), not as a person."""
_LEAST_SPREAD = np.sin(np.radians(8.0)) ** 2
"""Mean squared sine of the angle between the viewing rays from which a dancer's place can be told from its dancing."""


def fill_characters(inverse_depth: np.ndarray, free: np.ndarray, place: float | None) -> tuple[np.ndarray, str]:
    """Gives every region that is not free one inverse depth. Returns the map and how the largest region got its value.

    inverse_depth: float32 [h, w], right where `free` (bool [h, w]). place: inverse depth of the character from other
    evidence (`triangulate_place`), or None. In this order: "ground", the scene just below the region's lowest part, if
    the picture shows it; "place"; "surroundings", the nearer part (90th percentile) of a ring around it; "none", where
    no scene is left to see. A character is never put behind the median of its ring.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats((~free).astype(np.uint8), connectivity=8)
    result = inverse_depth.copy()
    if count == 1 or not free.any():
        return result, "none"
    order = sorted(range(1, count), key=lambda n: (-stats[n, cv2.CC_STAT_AREA], n))
    largest = stats[order[0], cv2.CC_STAT_AREA]
    main_value, main_source = _value(inverse_depth, free, labels == order[0], place)
    for number in order:
        region = labels == number
        if number == order[0]:
            value = main_value
        elif stats[number, cv2.CC_STAT_AREA] < _SMALL_SHARE * largest:
            value = max(main_value, _ring(inverse_depth, free, region, 50))
        else:
            value, _ = _value(inverse_depth, free, region, None)
        result[region] = value
    return result, main_source


def _value(inverse_depth: np.ndarray, free: np.ndarray, region: np.ndarray, place: float | None) -> tuple[float, str]:
    height = len(region)
    behind = _ring(inverse_depth, free, region, 50)
    rows = np.flatnonzero(region.any(1))
    margin = max(2, round(0.02 * height))
    if rows[-1] < height - margin:
        sole = np.zeros_like(region)
        low = max(rows[-1] - margin, rows[0])
        sole[low : rows[-1] + 1] = region[low : rows[-1] + 1]
        below = np.zeros_like(region)
        below[margin:] = sole[:-margin]
        below &= free
        if below.any():
            return max(float(np.median(inverse_depth[below])), behind), "ground"
    if place is not None:
        return max(place, behind), "place"
    return _ring(inverse_depth, free, region, 90), "surroundings"


def _ring(inverse_depth: np.ndarray, free: np.ndarray, region: np.ndarray, percentile: float) -> float:
    """A percentile of the scene within a twelfth of the picture of the region (of the whole scene if none is there)."""
    reach = max(3, max(region.shape) // 6) | 1
    ring = cv2.dilate(region.astype(np.uint8), np.ones((reach, reach))).astype(bool) & free
    return float(np.percentile(inverse_depth[ring if ring.any() else free], percentile))


def triangulate_place(mask: np.ndarray, rays: np.ndarray, cam_to_world: np.ndarray) -> np.ndarray | None:
    """Where the character is on the whole, world position [3]: nearest to the rays through its masks' middles.

    mask: bool [L, h, w]. rays: float64 [h, w, 3] or [L, h, w, 3], directions of the mask's cells, z = 1, camera axes.
    None where the cameras see it from too much the same side for a dancer to be told from a moving camera.
    """
    frames = np.flatnonzero(mask.reshape(len(mask), -1).mean(1) > 0.002)
    if len(frames) < 5:
        return None
    directions, centres = [], cam_to_world[frames, :3, 3]
    for frame in frames:
        cells = rays if rays.ndim == 3 else rays[frame]
        middle = np.median(cells[mask[frame]], axis=0)
        directions.append(cam_to_world[frame, :3, :3] @ (middle / np.linalg.norm(middle)))
    across = np.eye(3) - np.einsum("ni,nj->nij", directions, directions)
    weights = np.ones(len(frames))
    point = np.zeros(3)
    for _ in range(10):
        system = np.einsum("n,nij->ij", weights, across)
        if np.linalg.eigvalsh(system)[0] < _LEAST_SPREAD * weights.sum():
            return None
        point = np.linalg.solve(system, np.einsum("n,nij,nj->i", weights, across, centres))
        misses = np.linalg.norm(np.einsum("nij,nj->ni", across, point - centres), axis=1)
        weights = 1 / np.maximum(misses, 0.2 * np.median(misses) + 1e-12)
    return point
