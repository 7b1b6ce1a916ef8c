"""Umeyama, ATE and RPE against the errors that `evo` and TartanVO publish for the same files."""

import io
import json
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from extractors.geometry.rigid import pose, rotation_from_vector, rotation_from_xyzw
from extractors.geometry.trajectory import (
    absolute_trajectory_error,
    path_length,
    relative_pose_error,
    umeyama,
)
from tests.paths import test_data


def kitti(name):
    rows = np.loadtxt(test_data("trajectories/evo") / name).reshape(-1, 3, 4)
    return pose(rows[:, :, :3], rows[:, :, 3])


def tum(relative):
    rows = np.loadtxt(test_data("trajectories") / relative)
    rows = np.column_stack([np.arange(len(rows)), rows]) if rows.shape[1] == 7 else rows
    return rows[:, 0], pose(rotation_from_xyzw(rows[:, 4:]), rows[:, 1:4])


def matched(estimated, true, limit=0.01):
    """Pairs by nearest time, each of the shorter trajectory's times once, as `evo` associates."""
    (est_times, est), (true_times, truth) = estimated, true
    swap = len(true_times) < len(est_times)
    short, long = (true_times, est_times) if swap else (est_times, true_times)
    nearest = np.abs(long[None] - short[:, None]).argmin(1)
    near = np.abs(long[nearest] - short) <= limit
    first, second = np.flatnonzero(near), nearest[near]
    return (est[second], truth[first]) if swap else (est[first], truth[second])


def evo_result(name, member):
    with zipfile.ZipFile(test_data("trajectories/evo") / name) as file:
        data = file.read(member)
    return json.loads(data) if member.endswith("json") else np.load(io.BytesIO(data), allow_pickle=False)


def test_kitti_absolute_error_is_evos():
    error = absolute_trajectory_error(kitti("KITTI_00_ORB.txt"), kitti("KITTI_00_gt.txt"), alignment="se3")
    stats = evo_result("orb_ape.zip", "stats.json")
    assert error.rmse == pytest.approx(1.3034497, abs=1e-6)
    assert error.translation.max() == pytest.approx(stats["max"], abs=1e-6)
    assert np.median(error.translation) == pytest.approx(stats["median"], abs=1e-6)


def test_kitti_relative_error_is_evos():
    """evo's run: translation part, consecutive pairs 10 m apart along the estimated path."""
    estimated = kitti("KITTI_00_ORB.txt")
    ends, travelled = [], 0.0
    for i, length in enumerate(np.linalg.norm(np.diff(estimated[:, :3, 3], axis=0), axis=1), start=1):
        travelled += length
        if travelled >= 10.0:
            ends.append(i)
            travelled = 0.0
    pairs = np.stack([ends[:-1], ends[1:]], -1)
    error = relative_pose_error(estimated, kitti("KITTI_00_gt.txt"), pairs=pairs)
    stats = evo_result("orb_rpe.zip", "stats.json")
    assert error.rmse == pytest.approx(stats["rmse"], abs=1e-6)
    assert error.translation.max() == pytest.approx(stats["max"], abs=1e-6)


@pytest.mark.parametrize(
    ("name", "alignment", "rmse"),
    [
        ("freiburg1_xyz-rgbdslam.txt", "se3", 0.013470),
        ("freiburg1_xyz-rgbdslam.txt", "sim3", 0.013389),
        ("freiburg1_xyz-ORB_kf_mono.txt", "se3", 0.024302),
        ("freiburg1_xyz-ORB_kf_mono.txt", "sim3", 0.009755),
    ],
)
def test_freiburg_absolute_errors_are_evos(name, alignment, rmse):
    estimated, true = matched(tum(f"evo/{name}"), tum("evo/freiburg1_xyz-groundtruth.txt"))
    assert absolute_trajectory_error(estimated, true, alignment=alignment).rmse == pytest.approx(rmse, abs=1e-4)


@pytest.mark.parametrize(("alignment", "rmse"), [("sim3", 0.83271), ("se3", 1.20451)])
def test_tartanvo_absolute_errors(alignment, rmse):
    (_, estimated), (_, true) = tum("tartanvo/pose_est.txt"), tum("tartanvo/pose_gt.txt")
    assert absolute_trajectory_error(estimated, true, alignment=alignment).rmse == pytest.approx(rmse, abs=1e-4)


def test_tartanvo_scale():
    (_, estimated), (_, true) = tum("tartanvo/pose_est.txt"), tum("tartanvo/pose_gt.txt")
    assert umeyama(estimated[:, :3, 3], true[:, :3, 3]).scale == pytest.approx(1.07363, abs=1e-4)


number = st.floats(-10, 10)
similarities = st.tuples(st.tuples(number, number, number), st.tuples(number, number, number), st.floats(0.01, 100))


@given(similarities, st.integers(0, 2**31), st.booleans())
def test_umeyama_recovers_a_similarity(parameters, seed, flat):
    vector, translation, scale = parameters
    points = np.random.default_rng(seed).normal(size=(12, 3)) * [1, 1, 0 if flat else 1]  # flat: the reflection case
    rotation = rotation_from_vector(np.array(vector))
    fit = umeyama(points, scale * points @ rotation.T + np.array(translation))
    assert fit.scale == pytest.approx(scale, rel=1e-9)
    np.testing.assert_allclose(fit.rotation, rotation, atol=1e-7)
    np.testing.assert_allclose(fit.translation, translation, atol=1e-6 * scale + 1e-9)
    assert np.linalg.det(fit.rotation) == pytest.approx(1)


@given(similarities, st.integers(0, 2**31))
def test_errors_do_not_depend_on_the_world_axes(parameters, seed):
    vector, translation, scale = parameters
    rng = np.random.default_rng(seed)
    true = pose(rotation_from_vector(rng.normal(size=(20, 3)) * 0.3), rng.normal(size=(20, 3)))
    moved = pose(rotation_from_vector(np.array(vector)), np.array(translation)) @ true
    assert absolute_trajectory_error(moved, true, alignment="se3").rmse < 1e-6
    assert relative_pose_error(moved, true, step=3).rmse < 1e-6
    moved[:, :3, 3] *= scale
    assert absolute_trajectory_error(moved, true).rotation_rmse < 1e-6
    assert path_length(moved) == pytest.approx(scale * path_length(true), rel=1e-6)


def test_one_point_has_no_scale():
    with pytest.raises(ValueError, match="one point"):
        umeyama(np.ones((4, 3)), np.ones((4, 3)))
    with pytest.raises(ValueError, match=r"\[N ≥ 3, 3\]"):
        umeyama(np.ones((2, 3)), np.ones((2, 3)))
