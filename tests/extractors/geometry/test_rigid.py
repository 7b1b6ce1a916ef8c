"""Rotations and rigid transforms, against scipy where it has an answer."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation, Slerp

from extractors.geometry.rigid import (
    interpolate_poses,
    invert,
    pose,
    relative_to_first,
    rotation_angle,
    rotation_from_vector,
    rotation_from_xyzw,
    transform_points,
    vector_from_rotation,
    xyzw_from_rotation,
)

axis = st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda v: np.linalg.norm(v) > 1e-3)
vectors = st.builds(
    lambda v, a: np.array(v) / np.linalg.norm(v) * a,
    axis,
    st.one_of(st.floats(0, np.pi), st.sampled_from([0.0, 1e-12, 1e-7, np.pi - 1e-7, np.pi])),
)
poses = st.builds(
    lambda v, t: pose(rotation_from_vector(v), np.array(t)), vectors, st.tuples(*[st.floats(-100, 100)] * 3)
)


@given(vectors)
def test_exponential_and_logarithm_agree_with_scipy(vector):
    rotation = rotation_from_vector(vector)
    np.testing.assert_allclose(rotation, Rotation.from_rotvec(vector).as_matrix(), atol=1e-12)
    np.testing.assert_allclose(rotation_from_vector(vector_from_rotation(rotation)), rotation, atol=1e-9)
    assert rotation_angle(rotation) == pytest.approx(np.linalg.norm(vector), abs=1e-9)


@given(vectors)
def test_quaternions_are_scalar_last_as_in_scipy(vector):
    theirs = Rotation.from_rotvec(vector).as_quat()
    np.testing.assert_allclose(rotation_from_xyzw(3 * theirs), Rotation.from_quat(theirs).as_matrix(), atol=1e-12)
    ours = xyzw_from_rotation(rotation_from_vector(vector))
    assert abs(ours @ theirs) == pytest.approx(1, abs=1e-12)
    assert ours[3] >= 0


def test_scalar_first_reading_would_be_another_rotation():
    half = np.sqrt(0.5)
    np.testing.assert_allclose(rotation_from_xyzw([half, 0, 0, half]) @ [0, 1, 0], [0, 0, 1], atol=1e-12)


@given(poses, poses)
def test_group_laws(a, b):
    np.testing.assert_allclose(invert(a) @ a, np.eye(4), atol=1e-10)
    np.testing.assert_allclose(invert(a @ b), invert(b) @ invert(a), atol=1e-9)
    points = np.arange(12.0).reshape(4, 3)
    np.testing.assert_allclose(
        transform_points(a @ b, points), transform_points(a, transform_points(b, points)), atol=1e-9
    )
    moved = relative_to_first(np.stack([a, b]))
    np.testing.assert_array_equal(moved[0], np.eye(4))
    np.testing.assert_allclose(a @ moved[1], b, atol=1e-9)


@given(poses, poses, st.floats(0, 1))
def test_interpolation_agrees_with_scipy_slerp(a, b, share):
    turn = rotation_angle(a[:3, :3].T @ b[:3, :3])
    if turn > np.pi - 1e-3:
        return  # two shortest paths: either is right
    middle = interpolate_poses(np.array([2.0, 4.0]), np.stack([a, b]), np.array([2 + 2 * share]))[0]
    slerp = Slerp([0, 1], Rotation.from_matrix(np.stack([a[:3, :3], b[:3, :3]])))
    np.testing.assert_allclose(middle[:3, :3], slerp(share).as_matrix(), atol=1e-6)
    np.testing.assert_allclose(middle[:3, 3], (1 - share) * a[:3, 3] + share * b[:3, 3], atol=1e-9)


@given(st.lists(poses, min_size=2, max_size=5))
def test_interpolation_goes_through_its_keys_and_holds_at_the_ends(keys):
    times = np.arange(len(keys)) * 0.5
    found = interpolate_poses(times, np.stack(keys), np.concatenate([times, [-3.0, 99.0]]))
    np.testing.assert_allclose(found, np.stack([*keys, keys[0], keys[-1]]), atol=1e-6)


def test_interpolation_refuses_times_that_do_not_ascend():
    with pytest.raises(ValueError, match="ascend"):
        interpolate_poses(np.array([0.0, 0.0]), np.tile(np.eye(4), (2, 1, 1)), np.array([0.0]))
