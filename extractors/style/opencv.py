"""Style backend "opencv": one of a set of filter styles, chosen by the seed. The default; needs no weights."""

from typing import Literal, get_args

import numpy as np
from pydantic import Field

from extractors.style.filters import StyleName, apply
from extractors.style.pairs import with_gutter
from schemas.config import BackendConfig


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
        rng = np.random.default_rng(seed)
        style = self._styles[int(rng.integers(len(self._styles)))]
        return with_gutter(pair, lambda picture: apply(style, picture, rng)), style
