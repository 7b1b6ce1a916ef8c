"""The open sky, where stereo has nothing to match and smoothness would give it the depth of the roofs below."""

import cv2
import numpy as np

_TEXTURE = 3.0 * 4.0**2
"""Grey-value variance of a 5 × 5 window that counts as untextured."""
_BRIGHT = 110.0
_FAR = 0.6
"""Of the scene's median inverse depth: what the smoothness made of a region must not be nearer than that."""


def find_sky(inverse_depth: np.ndarray, free: np.ndarray, grey: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Where the sky is, bool [h, w]: bright untextured regions at the upper border without any reconstructed point.

    inverse_depth: float32 [h, w]. free: bool [h, w], no character. grey: float32 [h, w], 0–255. points: int
    [N, 2], cells (x, y) of the camera's sparse points. A region whose filled-in depth is near is left alone: a blank
    wall beside the camera takes its depth from its textured parts.
    """
    mean = cv2.blur(grey, (5, 5))
    plain = (cv2.blur(grey * grey, (5, 5)) - mean * mean < _TEXTURE) & free
    count, labels = cv2.connectedComponents(plain.astype(np.uint8), connectivity=4)
    if count == 1 or not (free & ~plain).any():
        return np.zeros(grey.shape, bool)
    with_points = set(labels[points[:, 1], points[:, 0]].tolist())
    limit = _FAR * float(np.median(inverse_depth[free & ~plain]))
    sky = np.zeros(grey.shape, bool)
    for label in sorted(set(labels[0].tolist()) - with_points - {0}):
        region = labels == label
        if np.median(grey[region]) > _BRIGHT and np.median(inverse_depth[region]) < limit:
            sky |= region
    return sky
