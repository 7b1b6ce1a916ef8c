"""L1, PSNR and SSIM of single frames, uint8 RGB [H, W, 3]."""

import cv2
import numpy as np

from train.evaluation.protocol import Protocol

EQUAL_PSNR = 100.0
"""What DisCo's script gives for equal frames, dB."""


def l1(real: np.ndarray, made: np.ndarray, protocol: Protocol) -> float:
    """Mean absolute difference; in `disco` divided by the number of pixels once more, as the paper's column is."""
    mean = float(np.abs(real.astype(np.int16) - made).mean())
    return mean / (real.shape[0] * real.shape[1]) if protocol.l1 == "per_area" else mean / 255


def squared_error(real: np.ndarray, made: np.ndarray) -> float:
    """Mean squared difference of 0–255 values."""
    return float(np.square(real.astype(np.int32) - made).mean())


def psnr(error: float) -> float:
    """Peak signal-to-noise ratio in dB of a mean squared error of 0–255 values; ∞ for 0."""
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def video_psnr(errors: list[float], protocol: Protocol) -> float:
    """A video's PSNR in dB from the mean squared errors of its frames."""
    if protocol.psnr == "video":
        return psnr(float(np.mean(errors)))
    return float(np.mean([EQUAL_PSNR if error == 0 else psnr(error) for error in errors]))


def ssim(real: np.ndarray, made: np.ndarray, protocol: Protocol) -> float:
    """Structural similarity (Wang et al. 2004), by scikit-image."""
    from skimage.metrics import structural_similarity

    if protocol.ssim == "grey_box":
        grey = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (real, made)]
        return float(structural_similarity(*grey, data_range=255))
    return float(
        structural_similarity(
            real,
            made,
            data_range=255,
            channel_axis=2,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )
