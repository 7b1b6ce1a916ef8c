"""Perceptual hashes and the search for near-duplicates."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.checks.hashing import BITS, distance, frame_hash, near_pairs


def picture(seed: int, side: int = 256) -> np.ndarray:
    rng = np.random.default_rng(seed)
    small = rng.uniform(0, 255, (12, 12, 3)).astype(np.float32)
    return cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)


def test_encoding_scaling_and_brightness_turn_few_bits_and_other_pictures_turn_many() -> None:
    one = picture(1)
    jpeg = cv2.imdecode(cv2.imencode(".jpg", one, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], cv2.IMREAD_COLOR)
    scaled = cv2.resize(one, (150, 150), interpolation=cv2.INTER_AREA)
    brighter = cv2.convertScaleAbs(one, alpha=0.9, beta=15)
    for same in (jpeg, scaled, brighter):
        assert distance(frame_hash(one), frame_hash(same)) <= 15
    apart = [distance(frame_hash(one), frame_hash(picture(seed))) for seed in range(2, 40)]
    assert min(apart) > 60


def test_a_picture_without_structure_has_no_hash() -> None:
    assert frame_hash(np.full((64, 64, 3), 7, np.uint8)) == b""


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(0, 15))
def test_near_pairs_finds_exactly_what_comparing_all_finds(seed: int, limit: int) -> None:
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 256, (8, BITS // 8), dtype=np.uint8)
    hashes = []
    for number in range(40):
        bits = np.unpackbits(base[number % 8])
        bits[rng.choice(BITS, rng.integers(0, 14), replace=False)] ^= 1
        hashes.append(np.packbits(bits).tobytes())
    groups = rng.integers(0, 3, len(hashes)).tolist()
    wanted = [
        (i, j, distance(hashes[i], hashes[j]))
        for i in range(40)
        for j in range(i + 1, 40)
        if groups[i] != groups[j] and distance(hashes[i], hashes[j]) <= limit
    ]
    assert near_pairs(hashes, groups, limit) == wanted


def test_a_limit_that_cannot_be_searched_exactly_is_refused() -> None:
    with pytest.raises(ValueError, match="up to 15 bits"):
        near_pairs([bytes(32)], [0], 16)
