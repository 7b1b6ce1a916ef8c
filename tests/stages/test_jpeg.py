import io

import cv2
import numpy as np
import pytest

from schemas.artifacts.frames import FramesArtifact
from stages.base import StageError
from stages.jpeg import decode_frames, encode_jpeg, scaled_size


def _smooth(height: int, width: int, seed: int) -> np.ndarray:
    low = np.random.default_rng(seed).uniform(0, 255, (6, 8, 3)).astype(np.float32)
    return cv2.resize(low, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)


def _artifact(jpegs: tuple[bytes, ...], size: tuple[int, int]) -> FramesArtifact:
    length = len(jpegs)
    return FramesArtifact(jpegs, np.arange(length) / 30, np.zeros(length, bool), 30.0, size, (0, 0, *size))


def test_red_stays_red_for_an_independent_decoder() -> None:
    from PIL import Image

    red = np.zeros((16, 24, 3), np.uint8)
    red[..., 0] = 250
    image = np.asarray(Image.open(io.BytesIO(encode_jpeg(red))))
    assert image.shape == (16, 24, 3)
    assert image[..., 0].min() > 240
    assert image[..., 1:].max() < 10


def test_round_trip_keeps_order_size_and_content() -> None:
    images = np.stack([_smooth(96, 160, seed) for seed in range(3)])
    clip = decode_frames(_artifact(tuple(encode_jpeg(i, 98) for i in images), (160, 96)))
    assert clip.dtype == np.uint8
    assert clip.shape == images.shape
    assert np.abs(clip.astype(int) - images).mean() < 2


@pytest.mark.parametrize("max_side", [120, 80, 50, 40, 20])
def test_reduced_pictures_are_area_averages_without_shift(max_side: int) -> None:
    image = _smooth(96, 160, 0)
    clip = decode_frames(_artifact((encode_jpeg(image, 98),), (160, 96)), max_side)
    width, height = scaled_size((160, 96), max_side)
    assert clip.shape == (1, height, width, 3)
    assert max(width, height) == max_side
    expected = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    assert np.abs(clip[0].astype(int) - expected).mean() < 3


def test_never_scales_up() -> None:
    assert scaled_size((160, 96), 500) == (160, 96)


def test_broken_frames_are_named() -> None:
    good = encode_jpeg(_smooth(96, 160, 0))
    with pytest.raises(StageError, match="frame 1 is not a JPEG"):
        decode_frames(_artifact((good, b"not a picture"), (160, 96)))
    with pytest.raises(StageError, match="frame 0 is 160 × 96"):
        decode_frames(_artifact((good,), (96, 96)))
