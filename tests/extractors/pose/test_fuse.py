"""Votes: outliers of a minority do not move a joint, a path steps over bad frames and follows real moves."""

import numpy as np
import pytest

from extractors.pose.fuse import consensus, path
from extractors.pose.readings import Reading

RNG = np.random.default_rng(3)
BODY = np.stack([np.linspace(100, 180, 33), np.concatenate([np.linspace(50, 300, 17), np.linspace(300, 60, 16)])], 1)


def reading(points, confidence=0.7):
    confidence = np.broadcast_to(np.asarray(confidence, float), 33)
    return Reading(points, confidence, np.ones(33, bool), float(confidence.mean()), 1.0, np.zeros((4, 4), np.uint8))


def noisy(points, sigma=1.0):
    return points + RNG.normal(0, sigma, points.shape)


def test_agreeing_readings_average_and_support_is_their_confidence():
    readings = [reading(noisy(BODY)) for _ in range(9)]
    found = consensus(readings)
    assert np.linalg.norm(found.points - BODY, axis=1).max() < 2.0
    assert found.support == pytest.approx(0.7, abs=1e-6)
    np.testing.assert_allclose(found.confidence, 0.7, atol=0.01)


def test_a_minority_does_not_move_a_joint():
    readings = [reading(noisy(BODY)) for _ in range(4)]
    astray = BODY.copy()
    astray[15] += [120, -40]
    readings += [reading(noisy(astray)) for _ in range(2)]
    found = consensus(readings)
    assert np.linalg.norm(found.points[15] - BODY[15]) < 4.0
    assert found.confidence[15] < found.confidence[16]


def test_readings_that_disagree_have_no_support():
    apart = [reading(noisy(BODY, sigma=120.0)) for _ in range(8)]
    assert consensus(apart).support < 0.3


def test_a_frame_of_outliers_is_stepped_over():
    frames = []
    swapped = BODY.copy()
    swapped[15] += [90, 0]
    for t in range(9):
        right, wrong = (2, 3) if t == 4 else (5, 0)
        frames.append([reading(noisy(BODY)) for _ in range(right)] + [reading(noisy(swapped)) for _ in range(wrong)])
    assert np.linalg.norm(consensus(frames[4]).points[15] - swapped[15]) < 5  # alone, it votes wrong
    assert np.linalg.norm(path(frames)[4].points[15] - BODY[15]) < 5


def test_a_real_fast_move_is_followed():
    truth = [BODY + (np.arange(33) == 15)[:, None] * np.array([30.0, 10.0]) * t for t in range(8)]
    found = path([[reading(noisy(points)) for _ in range(5)] for points in truth])
    errors = [np.linalg.norm(f.points[15] - t[15]) for f, t in zip(found, truth, strict=True)]
    assert max(errors) < 3.0
