"""Projection, unprojection and intrinsics."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from extractors.geometry.cameras import (
    cell_centres,
    crop_intrinsics,
    intrinsics_from_fov,
    intrinsics_matrix,
    intrinsics_vector,
    project,
    rescale_intrinsics,
    unproject,
)
from extractors.geometry.rigid import invert, pose, rotation_from_xyzw, transform_points
from tests.paths import test_data

focal = st.floats(100, 3000)
centre = st.floats(-500, 1500)
intrinsics = st.tuples(focal, st.one_of(focal, focal.map(lambda f: -f)), centre, centre).map(np.array)
pixel = st.tuples(st.floats(-2000, 2000), st.floats(-2000, 2000)).map(np.array)
size = st.tuples(st.integers(2, 2000), st.integers(2, 2000))


@given(pixel, st.floats(1e-3, 1e4), intrinsics)
def test_projecting_what_was_unprojected_returns(xy, depth, lens):
    back, z = project(unproject(xy, depth, lens), lens)
    np.testing.assert_allclose(back, xy, atol=1e-7)
    assert z == pytest.approx(depth)


@given(intrinsics, st.tuples(st.floats(-5, 5), st.floats(-5, 5), st.floats(0.1, 50)).map(np.array))
def test_projection_is_the_matrix_product(lens, point):
    seen = intrinsics_matrix(lens) @ point
    np.testing.assert_allclose(project(point, lens)[0], seen[:2] / seen[2], rtol=1e-9, atol=1e-7)
    np.testing.assert_array_equal(intrinsics_vector(intrinsics_matrix(lens)), lens)


def test_behind_the_camera_has_no_pixel():
    xy, z = project(np.array([[0.1, 0.2, -1.0], [0.1, 0.2, 0.0]]), np.array([500.0, 500, 320, 240]))
    assert np.isnan(xy).all()
    assert (z <= 0).all()


@given(intrinsics, size, size, st.tuples(st.floats(-5, 5), st.floats(-5, 5), st.floats(0.1, 50)).map(np.array))
def test_rescaled_intrinsics_project_to_the_resized_pixel(lens, old, new, point):
    before, _ = project(point, lens)
    after, _ = project(point, rescale_intrinsics(lens, old, new))
    # cv2.resize's own rule for where a pixel's centre goes
    np.testing.assert_allclose(after, (before + 0.5) * np.array(new) / np.array(old) - 0.5, rtol=1e-9, atol=1e-6)


def test_rescaling_agrees_with_a_resized_picture():
    """A blob drawn at a point's pixel lies, after cv2 halves the picture, where the rescaled intrinsics say."""
    lens, point = np.array([400.0, 380.0, 99.5, 59.5]), np.array([0.11, -0.07, 1.0])
    xy = project(point, lens)[0]
    rows, columns = np.mgrid[0:120, 0:200]
    picture = np.exp(-((columns - xy[0]) ** 2 + (rows - xy[1]) ** 2) / 50)
    small = cv2.resize(picture, (100, 60), interpolation=cv2.INTER_AREA)
    rows, columns = np.mgrid[0:60, 0:100]
    measured = np.array([(small * columns).sum(), (small * rows).sum()]) / small.sum()
    np.testing.assert_allclose(project(point, rescale_intrinsics(lens, (200, 120), (100, 60)))[0], measured, atol=1e-3)


@given(intrinsics, st.integers(-50, 50), st.integers(-50, 50))
def test_cropping_moves_pixels_by_the_cut(lens, left, top):
    point = np.array([0.3, -0.2, 2.0])
    moved = project(point, lens)[0] - project(point, crop_intrinsics(lens, left, top))[0]
    np.testing.assert_allclose(moved, [left, top], atol=1e-9)


def test_cell_centres():
    np.testing.assert_array_equal(cell_centres((4, 3), (4, 3))[2, 1], [1, 2])
    cells = cell_centres((96, 54), (768, 432))
    assert cells.shape == (54, 96, 2)
    np.testing.assert_allclose(cells[0, 0], [3.5, 3.5])
    np.testing.assert_allclose(cells[-1, -1], [763.5, 427.5])


def test_field_of_view_against_the_mmd_truth():
    truth = np.load(test_data("mmd_shots/ground_truth.npz"))
    lenses = intrinsics_from_fov(np.radians(truth["fov_deg_vertical"]), (512, 512))
    np.testing.assert_allclose(intrinsics_matrix(lenses), truth["K"], rtol=1e-9)


def test_world_points_against_the_mmd_truth():
    truth = np.load(test_data("mmd_shots/ground_truth.npz"))
    lens = intrinsics_vector(truth["K"])[:, None]
    xy, _ = project(transform_points(invert(truth["c2w"]), truth["kp3d_world"]), lens)
    np.testing.assert_allclose(xy, truth["kp2d"], atol=1e-6)


@pytest.mark.parametrize(("fy", "agrees"), [(-480.0, True), (480.0, False)])
def test_icl_nuim_frames_agree_in_depth(fy, agrees):
    """Points of one frame's depth have, seen from another, that frame's depth; with the usual fy > 0 they do not."""
    folder = test_data("rgbd/icl_nuim")
    rows = np.loadtxt(folder / "pose.txt")[[0, 2]]
    first, second = pose(rotation_from_xyzw(rows[:, 3:]), rows[:, :3])
    depth, other = (cv2.imread(str(folder / f"depth/{n}.png"), cv2.IMREAD_UNCHANGED) / 5000.0 for n in (1, 3))
    lens = np.array([481.2, fy, 319.5, 239.5])
    points = unproject(cell_centres((640, 480), (640, 480)), depth, lens).reshape(-1, 3)
    xy, z = project(transform_points(invert(second) @ first, points), lens)
    inside = np.isfinite(xy).all(1) & (xy > 0).all(1) & (xy < [639, 479]).all(1)
    column, row = np.round(xy[inside]).astype(int).T
    error = np.median(np.abs(other[row, column] - z[inside]) / z[inside])
    assert inside.mean() > 0.2
    assert error < 0.002 if agrees else error > 0.1


def test_camera_only_poses_are_rigid_and_their_lenses_rescale():
    """RealEstate10K files: normalised intrinsics are those of a 1 × 1 image."""
    for path in sorted(test_data("camera_only").glob("*.txt")):
        rows = np.loadtxt(path, skiprows=1)
        world_to_cam = np.concatenate(
            [rows[:, 7:].reshape(-1, 3, 4), np.tile([[[0, 0, 0, 1.0]]], (len(rows), 1, 1))], 1
        )
        np.testing.assert_allclose(
            invert(world_to_cam) @ world_to_cam, np.tile(np.eye(4), (len(rows), 1, 1)), atol=1e-5
        )
        lens = rescale_intrinsics(rows[:, 1:5] - np.array([0, 0, 0.5, 0.5]), (1, 1), (384, 256))
        np.testing.assert_allclose(lens[:, 2:], np.tile([191.5, 127.5], (len(rows), 1)))  # the middle of the picture
        np.testing.assert_allclose(lens[:, 0], rows[:, 1] * 384)
