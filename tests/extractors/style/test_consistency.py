"""The measure tells a pair in one style from two pictures in two styles."""

import cv2
import numpy as np

from extractors.style.consistency import pair_disagreement
from extractors.style.opencv import OpencvStylizer


def textured(size: int = 192, margin: int = 32) -> np.ndarray:
    rng = np.random.default_rng(4)
    coarse = rng.integers(0, 256, (14, 14, 3), dtype=np.uint8)
    return cv2.resize(coarse, (size + margin, size + margin), interpolation=cv2.INTER_CUBIC)


def frames() -> tuple[np.ndarray, np.ndarray]:
    """A textured scene and the same one moved by (6, 4) pixels."""
    canvas = textured()
    return canvas[8:200, 8:200].copy(), canvas[12:204, 14:206].copy()


def test_untouched_frames_agree() -> None:
    reference, target = frames()
    disagreement = pair_disagreement(reference, target, (reference, target))
    assert disagreement is not None
    assert disagreement < 0.1


def test_styled_side_by_side_agrees_better_than_styled_apart() -> None:
    reference, target = frames()
    stylizer = OpencvStylizer(styles=("hue_turned", "duotone", "neon", "pastel"))
    pair = np.hstack([reference, target])
    together, apart = [], []
    for seed in range(6):
        both, _ = stylizer(pair, seed=seed)
        other, _ = stylizer(pair, seed=seed + 100)
        first, second = np.hsplit(both, 2)
        together.append(pair_disagreement(reference, target, (first, second)))
        apart.append(pair_disagreement(reference, target, (first, np.hsplit(other, 2)[1])))
    assert np.mean(together) < 0.5 * np.mean(apart)  # type: ignore[arg-type]


def test_frames_without_anything_in_common_give_no_figure() -> None:
    rng = np.random.default_rng(0)
    one, other = (rng.integers(0, 256, (96, 96, 3), dtype=np.uint8) for _ in range(2))
    assert pair_disagreement(one, other, (one, other)) is None
