"""The rotating camera: recovered from exact tracks, and not mistaken for a moving one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extractors.camera.rotation import PRIOR_LOG_FOCAL, fit_rotation
from extractors.camera.tracks import Tracks
from extractors.geometry.rigid import rotation_angle
from tests.extractors.camera.scenes import SIZE, dancer, observe, path, room, together

angles = st.floats(-0.25, 0.25)


@settings(max_examples=8)
@given(turn=st.tuples(angles, angles, angles), focal=st.floats(300, 900))
def test_turn_is_recovered(turn: tuple[float, float, float], focal: float) -> None:
    cameras = path(20, np.zeros(3), np.array(turn))
    tracks = observe(room(600, 1), cameras, np.full(20, focal))
    fit = fit_rotation(tracks, focal=focal, zoom=False, fix_focal=True, limit=1.0)
    assert fit is not None
    error = rotation_angle(fit.rotation @ cameras[:, :3, :3])
    assert np.degrees(error.max()) < 0.01
    assert fit.explained > 0.999


def test_focal_length_comes_from_a_wide_turn() -> None:
    tracks = observe(room(900, 2), path(30, np.zeros(3), np.array([0.05, 0.5, 0.1])), np.full(30, 520.0), noise=0.1)
    fit = fit_rotation(tracks, focal=400, zoom=False, fix_focal=False, limit=1.0)
    assert fit is not None
    assert fit.focal == pytest.approx(np.full(30, 520.0), rel=0.01)
    assert fit.focal_deviation < 0.05


def test_without_a_turn_the_focal_length_stays_the_assumed_one() -> None:
    zoom = np.linspace(1, 1.3, 25)
    tracks = observe(room(600, 3), path(25, np.zeros(3), np.zeros(3)), 500 * zoom)
    fit = fit_rotation(tracks, focal=430, zoom=True, fix_focal=False, limit=1.0)
    assert fit is not None
    assert fit.focal[0] == pytest.approx(430, rel=0.05)
    assert fit.focal_deviation == pytest.approx(PRIOR_LOG_FOCAL, rel=0.05)
    assert fit.focal / fit.focal[0] == pytest.approx(zoom, rel=0.002)


def test_zoom_while_turning_despite_a_dancer() -> None:
    zoom = np.linspace(1, 0.8, 40)
    cameras = path(40, np.zeros(3), np.array([-0.1, 0.3, 0.15]))
    scene = observe(room(500, 4), cameras, 600 * zoom, noise=0.1)
    fit = fit_rotation(together(scene, dancer(40, 80, 4)), focal=500, zoom=True, fix_focal=False, limit=1.0)
    assert fit is not None
    assert np.degrees(rotation_angle(fit.rotation @ cameras[:, :3, :3]).max()) < 0.3
    assert fit.focal[-1] / fit.focal[0] == pytest.approx(0.8, rel=0.01)


def test_moving_camera_is_not_explained() -> None:
    tracks = observe(room(600, 5), path(30, np.array([1.5, 0, 0.5]), np.array([0, -0.2, 0])), np.full(30, 500.0))
    fit = fit_rotation(tracks, focal=500, zoom=True, fix_focal=False, limit=1.0)
    assert fit is not None
    assert fit.explained < 0.6


def test_frames_without_common_tracks_have_no_fit() -> None:
    xy = np.full((10, 40, 2), np.nan)
    xy[:5, :20] = 50.0
    xy[5:, 20:] = 80.0
    assert fit_rotation(Tracks(xy, SIZE), focal=500, zoom=False, fix_focal=False, limit=1.0) is None
