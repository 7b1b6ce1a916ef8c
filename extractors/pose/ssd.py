"""Decoding of single-shot detectors (SSD) as MediaPipe's detection networks use them: anchors, boxes, weighted
non-maximum suppression. Everything is in fractions of the network's square input.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SsdLayout:
    """Shape of a detector's output. strides: of its layers in input pixels (equal neighbours share one grid, two
    anchors a layer and cell); size: side of the input in pixels; keypoints: points after each box.
    """

    size: int
    strides: tuple[int, ...]
    keypoints: int


@dataclass(frozen=True)
class Detection:
    """box: (x0, y0, x1, y1), points: float64 [keypoints, 2], both in one coordinate frame; score 0–1."""

    box: tuple[float, float, float, float]
    points: np.ndarray
    score: float


def anchors(layout: SsdLayout) -> np.ndarray:
    """Anchor centres, float64 [N, 2]: cell by cell of each distinct stride, a cell's anchors one after another."""
    centres = []
    for stride in dict.fromkeys(layout.strides):
        cells = -(-layout.size // stride)
        each = 2 * layout.strides.count(stride)
        y, x = np.mgrid[0:cells, 0:cells]
        grid = (np.stack([x, y], -1).reshape(-1, 2) + 0.5) / cells
        centres.append(np.repeat(grid, each, axis=0))
    return np.concatenate(centres)


def decode(
    layout: SsdLayout, centres: np.ndarray, values: np.ndarray, logits: np.ndarray, min_score: float
) -> list[Detection]:
    """Detections scoring at least `min_score`, suppressed, best first.

    values: float32 [N, 4 + 2·keypoints], x and y of the box's centre relative to the anchor, width, height, then the
    points, in input pixels. logits: float32 [N].
    """
    scores = 1 / (1 + np.exp(-np.clip(logits.astype(np.float64), -100, 100)))
    keep = np.flatnonzero(scores >= min_score)
    if not len(keep):
        return []
    raw = values[keep].astype(np.float64) / layout.size
    middle, half = raw[:, :2] + centres[keep], raw[:, 2:4] / 2
    points = raw[:, 4:].reshape(len(keep), layout.keypoints, 2) + centres[keep][:, None]
    return suppress(np.concatenate([middle - half, middle + half], axis=1), points, scores[keep])


def suppress(boxes: np.ndarray, points: np.ndarray, scores: np.ndarray, overlap: float = 0.3) -> list[Detection]:
    """Weighted non-maximum suppression: each best box takes the score-weighted mean of those that overlap it by more
    than `overlap` (intersection over union). boxes [N, 4], points [N, K, 2], scores [N].
    """
    found: list[Detection] = []
    left = np.argsort(-scores, kind="stable")
    while len(left):
        best = left[0]
        near = intersection_over_union(boxes[best], boxes[left]) > overlap
        near[0] = True
        group = left[near]
        weight = scores[group] / scores[group].sum()
        box = weight @ boxes[group]
        found.append(
            Detection(
                (float(box[0]), float(box[1]), float(box[2]), float(box[3])),
                np.einsum("n,nkc->kc", weight, points[group]),
                float(scores[best]),
            )
        )
        left = left[~near]
    return found


def intersection_over_union(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """IoU of one box [4] with boxes [N, 4], all as x0, y0, x1, y1."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    common = np.prod(np.maximum(high - low, 0), axis=1)
    areas = np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1)
    union = np.prod(np.maximum(box[2:] - box[:2], 0)) + areas - common
    return common / np.maximum(union, 1e-12)
