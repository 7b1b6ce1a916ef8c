"""The character mask: the network's segmentations joined, and the skeleton's own area where they fall short."""

from collections.abc import Sequence

import cv2
import numpy as np

from extractors.pose.layout import LIMBS
from extractors.pose.readings import Reading

_LIMB_RADIUS = 0.09
_TRUNK_RADIUS = 0.14
_HEAD_RADIUS = 0.32
"""Radii as shares of the trunk's length (shoulders to hips)."""


def segmentation(readings: Sequence[Reading]) -> np.ndarray:
    """Probability of the person, float32 [h, w]: the mean over the readings, better ones weighing more."""
    weight = np.array([r.quality * r.score for r in readings])
    weight = np.exp(8 * (weight - weight.max()))
    weight /= weight.sum()
    total = np.zeros(readings[0].mask.shape, np.float32)
    for share, reading in zip(weight, readings, strict=True):
        total += np.float32(share / 255) * reading.mask
    return total


def skeleton_area(body: np.ndarray, min_score: float, size: tuple[int, int], frame_size: tuple[int, int]) -> np.ndarray:
    """Capsules around the skeleton, bool [h, w].

    body: [17, 3] in frame pixels, missing is NaN. size: (width, height) of the result; frame_size: of the frame.
    """
    width, height = size
    scale = np.array([width / frame_size[0], height / frame_size[1]])
    points = (body[:, :2] + 0.5) * scale - 0.5
    known = (body[:, 2] >= min_score) & np.isfinite(points).all(-1)
    area = np.zeros((height, width), np.uint8)
    trunk = trunk_length(points, known)
    if trunk is None:
        return area.astype(bool)

    def capsule(a: int, b: int, radius: float) -> None:
        if known[a] and known[b]:
            thickness = max(1, round(2 * radius * trunk))
            cv2.line(area, _pixel(points[a]), _pixel(points[b]), 1, thickness)

    for a, b in LIMBS:
        capsule(a, b, _LIMB_RADIUS)
    for a, b in ((5, 6), (11, 12), (5, 11), (6, 12), (5, 12), (6, 11)):
        capsule(a, b, _TRUNK_RADIUS)
    face = known[:5]
    if face.any():
        middle = points[:5][face].mean(0)
        cv2.circle(area, _pixel(middle), max(1, round(_HEAD_RADIUS * trunk)), 1, -1)
    return area.astype(bool)


def trunk_length(points: np.ndarray, known: np.ndarray) -> float | None:
    """Length of the trunk in the points' unit: shoulders to hips, else twice the shoulders' distance, else None."""
    shoulders, hips = known[[5, 6]].all(), known[[11, 12]].all()
    if shoulders and hips:
        length = float(np.linalg.norm(points[[5, 6]].mean(0) - points[[11, 12]].mean(0)))
        return max(length, float(np.linalg.norm(points[5] - points[6])))
    if shoulders:
        return 2 * float(np.linalg.norm(points[5] - points[6]))
    return None


def steady(probability: np.ndarray) -> np.ndarray:
    """Probabilities [L, h, w] averaged with the frames before and after (weights 1, 2, 1)."""
    padded = np.concatenate([probability[:1], probability, probability[-1:]])
    return (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4


def grow(mask: np.ndarray, radius: int) -> np.ndarray:
    """A bool mask [h, w] dilated by a disc of `radius` cells."""
    if radius < 1:
        return mask
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return cv2.dilate(mask.astype(np.uint8), disc).astype(bool)


def _pixel(point: np.ndarray) -> tuple[int, int]:
    x, y = np.clip(np.rint(point), -32000, 32000).astype(int)
    return int(x), int(y)
