"""Style backend "opencv": one of a set of filter styles, chosen by the seed. The default; needs no weights."""

from typing import Literal, get_args

import cv2
import numpy as np
from pydantic import Field

from extractors.style.filters import StyleName, apply
from schemas.config import BackendConfig

GUTTER = 32
"""Pixels mirrored between the halves before filtering, so that no filter draws an edge where the two frames meet."""


class OpencvStyleConfig(BackendConfig):
    """Filter styles of OpenCV on the CPU."""

    backend: Literal["opencv"] = "opencv"
    styles: tuple[StyleName, ...] = Field(
        get_args(StyleName), min_length=1, description="Styles to choose from, each equally likely."
    )

    def build(self) -> "OpencvStylizer":
        return OpencvStylizer(styles=self.styles)


class OpencvStylizer:
    """Fits `extractors.protocols.Stylizer`."""

    def __init__(self, *, styles: tuple[StyleName, ...]) -> None:
        self._styles = styles

    def __call__(self, pair: np.ndarray, *, seed: int) -> tuple[np.ndarray, str]:
        """A pair uint8 RGB [H, 2·W, 3] in one seeded style, and the style's name.

        Raises ValueError for a picture of another type or of odd width.
        """
        if pair.dtype != np.uint8 or pair.ndim != 3 or pair.shape[2] != 3 or pair.shape[1] % 2:
            raise ValueError(f"a pair is uint8 [height, 2·width, 3], not {pair.dtype} {list(pair.shape)}")
        rng = np.random.default_rng(seed)
        style = self._styles[int(rng.integers(len(self._styles)))]
        height, width = pair.shape[0], pair.shape[1] // 2
        gutter = min(GUTTER, width - 1, height - 1)
        halves = [
            cv2.copyMakeBorder(half, gutter, gutter, gutter, gutter, cv2.BORDER_REFLECT_101)
            for half in (pair[:, :width], pair[:, width:])
        ]
        styled = apply(style, np.hstack(halves), rng)[gutter : gutter + height]
        second = width + 3 * gutter
        return np.hstack([styled[:, gutter : gutter + width], styled[:, second : second + width]]), style
