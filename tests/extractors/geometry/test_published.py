"""The published maps, against what the published function returned for the published files."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from skimage.transform import resize

from extractors.geometry.published import misread_cameras, published_maps, published_scene_motion
from extractors.geometry.rigid import pose, rotation_from_vector, rotation_from_xyzw, vector_from_rotation
from tests.paths import test_data


def test_reproduces_the_published_maps():
    """From the pose and depth files beside them, to float32 rounding."""
    folder = test_data("published")
    want = np.load(folder / "official_smt_output_demo1_kamisato_96.npz")
    depth = np.load(folder / "depm-img-kamisatoayakagenshinimpact.npy")
    depth96 = resize(depth, (1, 96, 96))  # the published script's own resize
    np.testing.assert_allclose(depth96, want["depth96"], atol=2e-3)  # float16 in, so that its versions differ a little
    cams = [torch.from_numpy(np.load(folder / f"demo_poses/{n}-demo1.npy")) for n in ("c2w", "w2c")]
    maps = published_maps(torch.from_numpy(want["depth96"]), *cams)[0].numpy()
    print("largest difference", np.abs(maps[:24] - want["scene_motion"]).max())
    np.testing.assert_allclose(maps[:24], want["scene_motion"], atol=2e-9, rtol=2.0**-23)
    np.testing.assert_allclose(maps.astype(np.float64).mean((2, 3)), want["frame_mean"], atol=1e-9)
    np.testing.assert_allclose(maps.astype(np.float64).std((2, 3)), want["frame_std"], atol=1e-9)
    np.testing.assert_allclose(np.abs(maps).max((2, 3)), want["frame_absmax"], atol=1e-8)
    from_file = published_maps(torch.from_numpy(np.asarray(depth96, np.float64)), *cams)[0].numpy()
    np.testing.assert_allclose(from_file[:24], want["scene_motion"], atol=2e-5)


def test_misread_cameras():
    """Frame 0 becomes diag(−1, −1, 1), and a small rotation (a, b, c) becomes (c, −b, −a) on top of it."""
    small = np.array([[0, 0, 0], [0.002, 0, 0], [0, 0.003, 0], [0, 0, -0.001]])
    right = pose(rotation_from_vector(small), np.zeros((4, 3)))
    wrong = misread_cameras(torch.from_numpy(np.linalg.inv(right))).numpy()
    np.testing.assert_allclose(wrong[0, :3, :3], np.diag([-1, -1, 1]), atol=1e-12)
    on_top = vector_from_rotation(wrong[0, :3, :3].T @ wrong[:, :3, :3])
    np.testing.assert_allclose(on_top, small[:, ::-1] * [1, -1, -1], atol=1e-5)


def test_misread_cameras_are_the_published_ones():
    """Reading the published rotations as the quaternions they came from and misreading them again returns them."""
    published = np.load(test_data("published") / "demo_poses/w2c-demo1.npy")
    w, x, y, z = np.moveaxis(scalar_first(published[:, :3, :3]), -1, 0)
    right = pose(rotation_from_xyzw(np.stack([w, x, y, z], -1)), published[:, :3, 3])
    np.testing.assert_allclose(right[0], np.eye(4), atol=1e-6)  # a tracker starts at the identity
    again = misread_cameras(torch.from_numpy(np.linalg.inv(right))).numpy()
    np.testing.assert_allclose(again, published, atol=1e-9)


def scalar_first(rotation):
    return np.roll(Rotation.from_matrix(rotation).as_quat(), 1, axis=-1)


def test_scale_and_shift_of_the_depth_do_not_matter():
    rng = np.random.default_rng(0)
    cams = pose(rotation_from_vector(rng.normal(size=(6, 3)) * 0.02), rng.normal(size=(6, 3)) * 0.1)
    depth = torch.from_numpy(rng.uniform(size=(2, 8, 12)))
    first = published_scene_motion(depth, torch.from_numpy(cams), 2)
    second = published_scene_motion(depth * 7 + 3, torch.from_numpy(cams), 2)
    assert first.shape == (2, 6, 2, 8, 12)
    assert (first[:, :2] == 0).all()
    assert first[:, 2:].abs().max() > 0
    torch.testing.assert_close(first, second, atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize("length", [1, 3])
def test_a_clip_no_longer_than_the_step_is_zero(length):
    cams = torch.eye(4, dtype=torch.float64).repeat(length, 1, 1)
    assert (published_scene_motion(torch.rand(1, 4, 4), cams, 3) == 0).all()
