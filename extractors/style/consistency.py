"""How well the two halves of a styled pair agree: the same place must get the same look in both."""

import cv2
import numpy as np

WORKING_SIDE = 384
"""Longer side in pixels of the pictures that are compared."""
RETURN_LIMIT = 1.0
"""Pixels that flow forth and back may miss its start by, for the pixel to count."""
GREY_LIMIT = 24.0
"""Grey levels that the original frames may differ by along the flow, for the pixel to count."""
LEAST_SHARE = 0.1
"""Unrelated pictures reached 3 to 7 %, pairs of real shots 23 to 92 %."""


def pair_disagreement(reference: np.ndarray, target: np.ndarray, styled: tuple[np.ndarray, np.ndarray]) -> float | None:
    """Root mean square colour difference (Lab, 8 bit) between the styled target, warped onto the reference by the
    optical flow of the *original* frames, and the styled reference; over the same figure for two unrelated places.

    0 is full agreement, about 1 none at all. reference, target and both `styled`: uint8 RGB [H, W, 3]. Only pixels
    whose flow returns, and ends where the original looks alike, count. None where fewer than 10 % of the pixels do.
    """
    frames = [_working(image) for image in (reference, target, *styled)]
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames[:2]]
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    forth, back = flow.calc(grey[0], grey[1], None), flow.calc(grey[1], grey[0], None)
    height, width = grey[0].shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    at_x, at_y = x + forth[..., 0], y + forth[..., 1]
    returned = forth + cv2.remap(back, at_x, at_y, cv2.INTER_LINEAR)
    inside = (at_x >= 0) & (at_x <= width - 1) & (at_y >= 0) & (at_y <= height - 1)
    moved = np.abs(cv2.remap(grey[1], at_x, at_y, cv2.INTER_LINEAR).astype(np.float32) - grey[0])
    same = inside & (np.linalg.norm(returned, axis=-1) < RETURN_LIMIT) & (moved < GREY_LIMIT)
    if same.mean() < LEAST_SHARE:
        return None
    lab = [cv2.cvtColor(frame, cv2.COLOR_RGB2LAB).astype(np.float32) for frame in frames[2:]]
    warped = cv2.remap(lab[1], at_x, at_y, cv2.INTER_LINEAR)[same]
    here = lab[0][same]
    unrelated = here[::-1]
    apart = float(np.sqrt(((here - unrelated) ** 2).sum(-1).mean()))
    return float(np.sqrt(((here - warped) ** 2).sum(-1).mean())) / max(apart, 1e-3)


def _working(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    scale = min(1.0, WORKING_SIDE / max(height, width))
    size = (max(16, round(width * scale)), max(16, round(height * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
