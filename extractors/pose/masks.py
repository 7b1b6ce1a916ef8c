"""The character mask: the network's segmentations joined, the skeleton's own area, and what looks like them."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from extractors.pose.cut import Colours, carry_on, cut_out
from extractors.pose.layout import LIMBS
from extractors.pose.readings import Reading

_LIMB_RADIUS = 0.09
_TRUNK_RADIUS = 0.14
_HEAD_RADIUS = 0.28
"""Radii as shares of the trunk's length (shoulders to hips)."""


_CUT_SIDE = 128
"""Longer side in cells of the pictures that are cut by colour."""


@dataclass(frozen=True)
class MaskPlan:
    """threshold: probability from which a cell is the character's; joint_score: joints below it give no area; margin:
    cells by which the mask is grown; carry: whether it is carried on into frames where nobody was found.
    """

    threshold: float
    joint_score: float
    margin: int
    carry: bool


def character_mask(
    frames: np.ndarray, pool: Sequence[Sequence[Reading]], body: np.ndarray, plan: MaskPlan
) -> tuple[np.ndarray, np.ndarray]:
    """The mask, bool [L, h, w] on the readings' grid, and bool [L]: where it was carried on from another frame.

    frames: uint8 [L, H, W, 3]; pool: readings of each frame (some frame has some); body: [L, 17, 3] in frame pixels.
    """
    blank = np.zeros_like(next(readings for readings in pool if readings)[0].mask, np.float32)
    probability = _steady(np.stack([segmentation(readings) if readings else blank for readings in pool]))
    frame_size, grid = (frames.shape[2], frames.shape[1]), (blank.shape[1], blank.shape[0])
    scale = min(1.0, _CUT_SIDE / max(grid))
    small = (max(1, round(grid[0] * scale)), max(1, round(grid[1] * scale)))
    mask = probability > plan.threshold
    cuts: list[np.ndarray | None] = [None] * len(pool)
    colours: list[Colours | None] = [None] * len(pool)
    for frame, readings in enumerate(pool):
        if readings:
            mask[frame] |= skeleton_area(body[frame], plan.joint_score, grid, frame_size)
            likely = _resized(mask[frame], small)
            sure = cv2.erode(likely.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
            cuts[frame], colours[frame] = cut_out(_picture(frames[frame], small), sure, likely)
    carried = _carry(frames, cuts, colours, small) if plan.carry else np.zeros(len(pool), bool)
    for frame, cut in enumerate(cuts):
        if cut is not None:
            mask[frame] |= _resized(cut, grid)
        mask[frame] = grow(mask[frame], plan.margin)
    return mask, carried


def _carry(
    frames: np.ndarray, cuts: list[np.ndarray | None], colours: list[Colours | None], size: tuple[int, int]
) -> np.ndarray:
    """Fills frames without a cut from their neighbours, forward and backward; returns which, bool [L]."""
    carried = np.zeros(len(cuts), bool)
    for order, step in ((range(1, len(cuts)), -1), (range(len(cuts) - 2, -1, -1), 1)):
        looks: Colours | None = None
        for frame in order:
            known, looks = cuts[frame + step], colours[frame + step] or looks
            if cuts[frame] is None and known is not None and looks is not None:
                cuts[frame] = carry_on(_picture(frames[frame], size), known, looks)
                carried[frame] = cuts[frame] is not None
    return carried


def _picture(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA)


def _resized(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A bool mask at another size, (width, height): True where at least half of a cell is."""
    return cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) >= 0.5


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


def _steady(probability: np.ndarray) -> np.ndarray:
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
