"""Our decoding gives what MediaPipe 0.10.21 itself gives on the same pictures, and mirroring is undone right."""

import json
from math import pi
from pathlib import Path

import cv2
import numpy as np
import pytest

from extractors.pose.layout import FACE_FROM_MESH, POSE_MIRROR
from extractors.pose.networks import POSE_DETECTOR, Detector, PoseLandmarker, refine, roi_from_arm
from extractors.pose.roi import Roi, from_alignment
from tests.paths import test_data

REFERENCE = json.loads((Path(__file__).parent / "data" / "mediapipe_0_10_21_pose.json").read_text())
"""33 landmarks in pixels by `mediapipe.solutions.pose` (static mode, complexity 1), origin at the picture's corner."""


@pytest.fixture(scope="module")
def landmarker(pose_files):
    return PoseLandmarker(pose_files["pose_landmark_full"])


def picture(name):
    return cv2.imread(str(test_data(f"keypoints/coco_mmpose/{name}")))[..., ::-1].copy()


@pytest.mark.parametrize("name", sorted(REFERENCE))
def test_landmarks_are_those_of_mediapipe(name, landmarker, pose_files):
    image, expected = picture(name), np.array(REFERENCE[name])
    height, width = image.shape[:2]
    detector = Detector(pose_files["pose_detection"], POSE_DETECTOR)
    found = detector(image, Roi((width - 1) / 2, (height - 1) / 2, max(height, width)), 0.3)[0]
    read = landmarker(image, from_alignment(found.points[0], found.points[1], pi / 2, 1.25))
    error = np.linalg.norm(read.points[:33] + 0.5 - expected, axis=1)
    assert np.median(error) < 0.03 * np.ptp(expected, axis=0).max()
    assert read.score > 0.9


def test_a_mirrored_reading_comes_back_to_the_same_joints(landmarker):
    image = picture("000000000785.jpg")
    roi = Roi(380, 215, 420)
    plain, mirrored = landmarker(image, roi), landmarker(image, roi, mirrored=True)
    body = [11, 12, 13, 14, 23, 24, 25, 26, 27, 28]
    assert np.median(np.linalg.norm(plain.points[body] - mirrored.points[body], axis=1)) < 8
    twice = landmarker(np.ascontiguousarray(image[:, ::-1]), Roi(639 - 380, 215, 420), mirrored=True)
    np.testing.assert_allclose(twice.points[:, 0], 639 - plain.points[POSE_MIRROR][:, 0], atol=2.0)
    assert np.mean((plain.mask > 0.5) == (mirrored.mask > 0.5)) > 0.95


def test_refinement_moves_to_a_sure_peak_and_leaves_an_unsure_one():
    heatmap = np.full((64, 64, 2), -8.0, np.float32)
    heatmap[30, 20, 0] = 9.0
    heatmap[30, 20, 1] = -1.0
    points, peaks = refine(np.array([[22 / 64, 29 / 64]] * 2), heatmap)
    np.testing.assert_allclose(points[0] * 64, [20, 30], atol=0.1)
    np.testing.assert_allclose(points[1] * 64, [22, 29])
    assert peaks[0] > 0.99
    assert peaks[1] == pytest.approx(1 / (1 + np.e))
    outside, peaks = refine(np.array([[1.4, 0.5]] * 2), heatmap)
    np.testing.assert_allclose(outside[0], [1.4, 0.5])
    assert (peaks == 0).all()


def test_hand_region_lies_beyond_the_wrist_along_the_hand():
    wrist, little, index = np.array([[100.0, 200], [96, 180], [102, 180]])
    roi = roi_from_arm(np.stack([wrist, little, index]))
    assert roi.side == pytest.approx(2 * 20 * 2.7, rel=0.01)
    assert abs(roi.angle) < 0.05
    assert roi.y < 180


def test_layout_tables_are_complete():
    assert len(FACE_FROM_MESH) == 68
    assert (POSE_MIRROR[POSE_MIRROR] == np.arange(39)).all()
