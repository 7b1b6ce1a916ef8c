import cv2
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from tests.train.evaluation.media_files import pictures
from train.evaluation import pixel
from train.evaluation.protocol import CORRECTED, DISCO


def test_closed_cases() -> None:
    black, grey = np.zeros((32, 48, 3), np.uint8), np.full((32, 48, 3), 51, np.uint8)
    assert pixel.l1(black, grey, DISCO) == pytest.approx(51 / (32 * 48))
    assert pixel.l1(black, grey, CORRECTED) == pytest.approx(0.2)
    assert pixel.squared_error(black, grey) == 51**2
    assert pixel.psnr(51**2) == pytest.approx(20 * np.log10(5))
    for protocol in (DISCO, CORRECTED):
        assert pixel.l1(grey, grey, protocol) == 0
        assert pixel.ssim(grey, grey, protocol) == pytest.approx(1)
    assert pixel.psnr(0) == np.inf


def test_differences_do_not_wrap_at_256() -> None:
    black, white = np.zeros((16, 16, 3), np.uint8), np.full((16, 16, 3), 255, np.uint8)
    assert pixel.squared_error(black, white) == pixel.squared_error(white, black) == 255**2
    assert pixel.l1(white, black, CORRECTED) == 1


def test_the_published_figures_are_of_this_l1() -> None:
    """The paper's 5.73e-5 is a mean difference of 33.8 at 768²."""
    real, made = np.zeros((768, 768, 3), np.uint8), np.full((768, 768, 3), 34, np.uint8)
    assert pixel.l1(real, made, DISCO) == pytest.approx(5.76e-5, rel=1e-3)


def test_known_noise() -> None:
    """Gaussian noise of deviation 8 on mid grey: PSNR 20 log10(255 / 8), mean difference 8·√(2/π), less rounding."""
    noise = np.random.default_rng(0).normal(0, 8, (128, 128, 3))
    real = np.full(noise.shape, 128, np.uint8)
    made = np.clip(np.round(real + noise), 0, 255).astype(np.uint8)
    assert pixel.psnr(pixel.squared_error(real, made)) == pytest.approx(20 * np.log10(255 / 8), abs=0.1)
    assert pixel.l1(real, made, CORRECTED) * 255 == pytest.approx(8 * np.sqrt(2 / np.pi), rel=0.02)


def test_against_scikit_image_and_a_plain_ssim() -> None:
    real, made = pictures(2, seed=3, side=48)
    assert pixel.psnr(pixel.squared_error(real, made)) == pytest.approx(peak_signal_noise_ratio(real, made))
    assert pixel.ssim(real, made, CORRECTED) == pytest.approx(plain_ssim(real, made), abs=2e-3)


def plain_ssim(real: np.ndarray, made: np.ndarray) -> float:
    """Wang et al. (2004) with OpenCV's Gaussian, 11 × 11, σ = 1.5, borders left out."""

    def blur(values: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(values, (11, 11), 1.5)[5:-5, 5:-5]

    a, b = real.astype(np.float64), made.astype(np.float64)
    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b, both = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2, blur(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    top = (2 * mean_a * mean_b + c1) * (2 * both + c2)
    return float((top / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))).mean())


def test_grey_ssim_is_of_grey_pictures() -> None:
    real, made = pictures(2, seed=4)
    grey = [np.repeat(cv2.cvtColor(p, cv2.COLOR_RGB2GRAY)[..., None], 3, 2) for p in (real, made)]
    assert pixel.ssim(real, made, DISCO) == pytest.approx(pixel.ssim(*grey, DISCO), abs=1e-6)


def test_psnr_of_a_video() -> None:
    """One equal frame: 100 dB in the mean of frames, half the error in the video's."""
    assert pixel.video_psnr([0.0, 100.0], DISCO) == pytest.approx((100 + pixel.psnr(100)) / 2)
    assert pixel.video_psnr([0.0, 100.0], CORRECTED) == pytest.approx(pixel.psnr(50))
    assert pixel.video_psnr([0.0, 0.0], DISCO) == 100
    assert pixel.video_psnr([0.0, 0.0], CORRECTED) == np.inf
