"""How blurred a clip's frames are."""

import cv2
import numpy as np

EVERY = 4  # a clip that is blurred for fewer frames loses nothing by it
_WINDOW = 11


def blur_figures(frames: np.ndarray) -> dict[str, float]:
    """blur: median over every fourth frame of `blur_effect`; blur_worst: the largest. frames: uint8 RGB [L, H, W, 3].
    Frames without any structure count for nothing; empty where no other is left.
    """
    values = [blur_effect(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)) for frame in frames[::EVERY]]
    known = [value for value in values if value is not None]
    return {"blur": float(np.median(known)), "blur_worst": max(known)} if known else {}


def blur_effect(grey: np.ndarray) -> float | None:
    """0 (sharp) to 1 (blurred) of a picture uint8 [H, W], by how much of its edges a further blur takes away; None
    where it has none (Crété et al. 2007, "The blur effect"; as scikit-image has it, with its window of 11 pixels).
    """
    picture = grey.astype(np.float32) / 255
    inside = (slice(2, -1), slice(2, -1))
    found = []
    for x, y in ((1, 0), (0, 1)):
        again = cv2.blur(picture, (_WINDOW, 1) if x else (1, _WINDOW), borderType=cv2.BORDER_REFLECT)
        edges = np.abs(cv2.Sobel(picture, cv2.CV_32F, x, y))[inside]
        lost = np.maximum(edges - np.abs(cv2.Sobel(again, cv2.CV_32F, x, y))[inside], 0)
        total = float(edges.sum())
        if total > 0:
            found.append(1 - float(lost.sum()) / total)
    return max(found, default=None)
