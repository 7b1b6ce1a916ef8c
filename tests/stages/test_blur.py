"""The blur figure against scikit-image's, and on pictures that get blurrier."""

import cv2
import numpy as np
import pytest

from stages.blur import EVERY, blur_effect, blur_figures
from tests.extractors.camera.test_tracks import texture


def grey(sigma: float) -> np.ndarray:
    picture = cv2.cvtColor(texture(160), cv2.COLOR_RGB2GRAY)[:, :120]
    return cv2.GaussianBlur(picture, (0, 0), sigma) if sigma else picture


@pytest.mark.parametrize("sigma", [0, 1.5, 4])
def test_it_is_the_published_measure(sigma: float) -> None:
    measure = pytest.importorskip("skimage.measure")
    assert blur_effect(grey(sigma)) == pytest.approx(measure.blur_effect(grey(sigma)), abs=0.01)


def test_more_blur_is_more() -> None:
    values = [blur_effect(grey(sigma)) for sigma in (0, 1, 2, 4, 8)]
    assert values == sorted(values)
    assert 0 < values[0] < values[-1] < 1


def test_motion_along_one_axis_counts() -> None:
    smeared = cv2.blur(grey(0), (15, 1))
    assert blur_effect(smeared) > blur_effect(grey(0)) + 0.1


def test_a_blurred_stretch_shows_in_the_worst_figure() -> None:
    sharp, soft = (cv2.cvtColor(grey(sigma), cv2.COLOR_GRAY2RGB) for sigma in (0, 4))
    clip = np.stack([sharp] * 6 * EVERY + [soft] * EVERY)
    found = blur_figures(clip)
    assert found["blur"] == blur_effect(grey(0))
    assert found["blur_worst"] == blur_effect(grey(4))


def test_pictures_without_structure_have_none() -> None:
    assert blur_effect(np.full((40, 30), 90, np.uint8)) is None
    assert blur_figures(np.full((9, 40, 30, 3), 90, np.uint8)) == {}
