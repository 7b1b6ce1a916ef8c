"""The filter styles are deterministic, clearly different, and treat both halves of a pair alike."""

from itertools import combinations
from typing import get_args

import cv2
import numpy as np
import pytest

from extractors.style.filters import FILTERS, StyleName
from extractors.style.opencv import OpencvStyleConfig, OpencvStylizer

STYLES = get_args(StyleName)


def scene(shift: int, size: int = 192) -> np.ndarray:
    """A coloured scene with a figure that moves by `shift` pixels, uint8 RGB [size, size, 3]."""
    y, x = np.mgrid[:size, :size]
    image = np.stack([90 + x // 3, 160 - y // 3, 140 + (x + y) // 8], -1).astype(np.uint8)
    cv2.rectangle(image, (10, 110), (80, 180), (200, 80, 60), -1)
    cv2.circle(image, (90 + shift, 70), 30, (250, 220, 180), -1)
    cv2.rectangle(image, (75 + shift, 95), (105 + shift, 160), (30, 50, 120), -1)
    return image


def test_every_named_style_has_a_filter() -> None:
    assert set(FILTERS) == set(STYLES)
    assert len(STYLES) >= 10


@pytest.mark.parametrize("style", STYLES)
def test_style_keeps_size_is_deterministic_and_changes_the_picture(style: StyleName) -> None:
    pair = np.hstack([scene(0), scene(25)])
    stylizer = OpencvStylizer(styles=(style,))
    before = pair.copy()
    styled, name = stylizer(pair, seed=5)
    assert name == style
    assert styled.shape == pair.shape
    assert styled.dtype == np.uint8
    np.testing.assert_array_equal(pair, before)
    np.testing.assert_array_equal(stylizer(pair, seed=5)[0], styled)
    assert np.abs(styled.astype(float) - pair).mean() > 5
    assert styled.std() > 8  # still a picture, not a flat colour


@pytest.mark.parametrize("style", STYLES)
def test_equal_frames_get_equal_halves(style: StyleName) -> None:
    frame = scene(10)
    styled, _ = OpencvStylizer(styles=(style,))(np.hstack([frame, frame]), seed=3)
    # Blurred, because hatches and dots keep their own phase on the canvas.
    left, right = (cv2.blur(half.astype(np.float32), (15, 15)) for half in np.hsplit(styled, 2))
    assert np.abs(left - right).mean() < 3


@pytest.mark.parametrize("style", STYLES)
def test_no_filter_draws_the_seam(style: StyleName) -> None:
    """A frame's last columns must not depend on the frame beside it."""
    dark, light = np.full((128, 128, 3), 40, np.uint8), np.full((128, 128, 3), 215, np.uint8)
    styled, _ = OpencvStylizer(styles=(style,))(np.hstack([dark, light]), seed=1)
    rows = cv2.blur(styled.astype(np.float32), (1, 25))
    for half in np.hsplit(rows, 2):
        inner = half[40:90, 40:90].reshape(-1, 3)
        for edge in (half[40:90, :6], half[40:90, -6:]):
            assert np.abs(edge.mean((0, 1)) - inner.mean(0)).max() < 30


def test_styles_differ_from_each_other() -> None:
    pair = np.hstack([scene(0), scene(25)])
    looks = {style: OpencvStylizer(styles=(style,))(pair, seed=11)[0].astype(float) for style in STYLES}
    for one, other in combinations(STYLES, 2):
        assert np.abs(looks[one] - looks[other]).mean() > 6, (one, other)


def test_seed_chooses_among_all_configured_styles() -> None:
    stylizer = OpencvStyleConfig(styles=("pixel_art", "duotone", "pencil")).build()
    pair = np.hstack([scene(0, 48), scene(5, 48)])
    assert {stylizer(pair, seed=seed)[1] for seed in range(40)} == {"pixel_art", "duotone", "pencil"}


@pytest.mark.parametrize(
    "pair",
    [np.zeros((8, 7, 3), np.uint8), np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3), np.float32)],
    ids=["odd width", "grey", "float"],
)
def test_a_picture_that_is_no_pair_is_refused(pair: np.ndarray) -> None:
    with pytest.raises(ValueError, match="a pair is uint8"):
        OpencvStyleConfig().build()(pair, seed=0)


def test_configuration_refuses_unknown_styles_and_none() -> None:
    with pytest.raises(ValueError, match="crayon"):
        OpencvStyleConfig.model_validate({"styles": ["crayon"]})
    with pytest.raises(ValueError, match="styles"):
        OpencvStyleConfig(styles=())
