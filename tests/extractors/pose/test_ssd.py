"""Anchors, decoding and suppression, against MediaPipe's published anchor counts and hand-made boxes."""

import numpy as np
import pytest

from extractors.pose.networks import FACE_DETECTOR, POSE_DETECTOR
from extractors.pose.ssd import anchors, decode, intersection_over_union, suppress


def test_anchor_counts_are_those_of_the_networks():
    assert anchors(POSE_DETECTOR).shape == (2254, 2)
    assert anchors(FACE_DETECTOR).shape == (896, 2)


def test_anchors_lie_at_cell_centres_row_by_row():
    found = anchors(POSE_DETECTOR)
    np.testing.assert_allclose(found[0], [0.5 / 28, 0.5 / 28])
    np.testing.assert_allclose(found[2], [1.5 / 28, 0.5 / 28])
    np.testing.assert_allclose(found[2 * 28 * 28], [0.5 / 14, 0.5 / 14])
    np.testing.assert_allclose(found[-6:], np.full((6, 2), 6.5 / 7))


def test_a_box_is_decoded_relative_to_its_anchor():
    centres = np.array([[0.25, 0.5], [0.75, 0.5]])
    values = np.zeros((2, 12), np.float32)
    values[0, :6] = [22.4, 0, 44.8, 89.6, 11.2, -22.4]
    logits = np.array([2.0, -9.0], np.float32)
    (found,) = decode(POSE_DETECTOR, centres, values, logits, 0.5)
    assert found.box == pytest.approx((0.25, 0.3, 0.45, 0.7))
    np.testing.assert_allclose(found.points[0], [0.3, 0.4])
    assert found.score == pytest.approx(1 / (1 + np.exp(-2)))
    assert decode(POSE_DETECTOR, centres, values, logits - 5, 0.5) == []


def test_overlapping_boxes_become_their_weighted_mean_and_others_stay():
    boxes = np.array([[0, 0, 1, 1], [0.1, 0, 1.1, 1], [3, 3, 4, 4.0]])
    points = boxes[:, None, :2].copy()
    found = suppress(boxes, points, np.array([0.6, 0.2, 0.9]))
    assert [d.score for d in found] == [0.9, 0.6]
    assert found[1].box == pytest.approx((0.025, 0, 1.025, 1))
    np.testing.assert_allclose(found[1].points, [[0.025, 0]])


def test_intersection_over_union():
    box = np.array([0, 0, 2, 2.0])
    others = np.array([[0, 0, 2, 2], [1, 0, 3, 2], [2, 2, 3, 3.0]])
    np.testing.assert_allclose(intersection_over_union(box, others), [1, 1 / 3, 0])
