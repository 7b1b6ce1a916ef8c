"""Styling both halves of a pair in one picture without one bleeding into the other."""

from collections.abc import Callable

import cv2
import numpy as np

GUTTER = 32
"""Pixels mirrored between the halves before styling, so that nothing draws an edge where the two frames meet."""


def check_pair(pair: np.ndarray) -> None:
    """Raises ValueError unless `pair` is uint8 RGB [H, 2·W, 3]."""
    if pair.dtype != np.uint8 or pair.ndim != 3 or pair.shape[2] != 3 or pair.shape[1] % 2:
        raise ValueError(f"a pair is uint8 [height, 2·width, 3], not {pair.dtype} {list(pair.shape)}")


def with_gutter(pair: np.ndarray, style: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """`style` (a picture in, one of the same size out) of a pair whose halves have mirrored borders, cut back."""
    check_pair(pair)
    height, width = pair.shape[0], pair.shape[1] // 2
    gutter = min(GUTTER, width - 1, height - 1)
    halves = [
        cv2.copyMakeBorder(half, gutter, gutter, gutter, gutter, cv2.BORDER_REFLECT_101)
        for half in (pair[:, :width], pair[:, width:])
    ]
    styled = style(np.hstack(halves))[gutter : gutter + height]
    second = width + 3 * gutter
    return np.hstack([styled[:, gutter : gutter + width], styled[:, second : second + width]])
