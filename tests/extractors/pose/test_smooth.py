"""Smoothing keeps straight motion, lowers noise, draws outliers back and invents nothing."""

import numpy as np

from extractors.pose.smooth import jitter, smooth

RNG = np.random.default_rng(0)
SCALE = np.full(40, 4.0)


def line(length=40):
    return np.stack([np.arange(length) * 3.0, 50 - np.arange(length) * 1.5], -1)[:, None].repeat(2, 1)


def test_straight_motion_is_kept_to_its_ends():
    np.testing.assert_allclose(smooth(line(), np.ones((40, 2)), 2, SCALE), line(), atol=1e-9)


def test_noise_and_jitter_go_down():
    noisy = line() + RNG.normal(0, 1, (40, 2, 2))
    found = smooth(noisy, np.ones((40, 2)), 2, SCALE)
    assert np.abs(found - line()).mean() < 0.8 * np.abs(noisy - line()).mean()
    assert jitter(found, SCALE) < 0.5 * jitter(noisy, SCALE)


def test_an_outlier_is_drawn_back():
    astray = line()
    astray[20, 0] += 60
    found = smooth(astray, np.ones((40, 2)), 3, SCALE)
    assert np.linalg.norm(found[20, 0] - line()[20, 0]) < 20
    np.testing.assert_allclose(found[:, 1], line()[:, 1], atol=1e-9)


def test_missing_stays_missing_and_does_not_pull():
    holes = line()
    holes[10:13, 0] = np.nan
    found = smooth(holes, np.ones((40, 2)), 2, SCALE)
    assert np.isnan(found[10:13, 0]).all()
    known = np.r_[0:10, 13:40]
    np.testing.assert_allclose(found[known, 0], line()[known, 0], atol=1e-6)


def test_jitter_of_too_little_is_unknown():
    assert jitter(line(2), SCALE[:2]) is None
    assert jitter(np.full((5, 2, 2), np.nan), SCALE[:5]) is None
