"""DROID-SLAM's arrays in this project's conventions: quaternions, directions, disparities, sizes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from extractors.camera.droid_output import (
    CELL,
    Keyframes,
    WorkingSize,
    cameras_from_poses,
    sparse_depths,
    transforms,
)


def layout(transform: np.ndarray) -> np.ndarray:
    """Transforms [N, 4, 4] in upstream's layout [tx ty tz qx qy qz qw]; SciPy's quaternions are scalar last too."""
    return np.concatenate([transform[:, :3, 3], Rotation.from_matrix(transform[:, :3, :3]).as_quat()], -1)


def trajectory(length: int, seed: int = 0) -> np.ndarray:
    """A smooth cam_to_world [L, 4, 4] that starts at the identity."""
    rng = np.random.default_rng(seed)
    axis, path = rng.normal(size=3) * 0.25, rng.normal(size=3)
    out = np.tile(np.eye(4), (length, 1, 1))
    for i, t in enumerate(np.linspace(0, 1, length)):
        out[i, :3, :3] = Rotation.from_rotvec(axis * t).as_matrix()
        out[i, :3, 3] = path * t * 0.3
    return out


def test_poses_are_scalar_last_camera_to_world() -> None:
    """A quarter turn about x: upstream's [0, 0, 0, sin 45°, 0, 0, cos 45°]. Read scalar first it would turn about z."""
    half = np.sqrt(0.5)
    poses = np.array([[0, 0, 0, 0, 0, 0, 1.0], [1, 2, 3, half, 0, 0, half]])
    cameras = cameras_from_poses(poses)
    np.testing.assert_array_equal(cameras[0], np.eye(4))
    expected = [[1, 0, 0, 1], [0, 0, -1, 2], [0, 1, 0, 3], [0, 0, 0, 1]]
    np.testing.assert_allclose(cameras[1], expected, atol=1e-12)


@given(st.integers(0, 1000), st.integers(2, 12))
def test_cameras_survive_upstreams_layout_from_any_start(seed: int, length: int) -> None:
    truth = trajectory(length, seed)
    start = trajectory(2, seed + 1)[1]
    np.testing.assert_allclose(cameras_from_poses(layout(start @ truth)), truth, atol=1e-9)
    np.testing.assert_allclose(np.linalg.inv(transforms(layout(np.linalg.inv(truth)))), truth, atol=1e-9)


@given(st.integers(64, 4000), st.integers(64, 4000))
def test_working_size_keeps_the_aspect_ratio(width: int, height: int) -> None:
    size = WorkingSize.of((width, height), 384 * 512)
    assert size.cut[0] % CELL == size.cut[1] % CELL == 0
    assert 0 <= size.scaled[0] - size.cut[0] < CELL
    assert 0 <= size.scaled[1] - size.cut[1] < CELL
    scale = [size.scaled[i] / size.frame[i] for i in range(2)]
    assert abs(scale[0] / scale[1] - 1) < 0.5 / min(size.scaled) * 2 + 1e-9


@pytest.mark.parametrize(
    ("frame", "cut"), [((768, 768), (440, 440)), ((1280, 720), (584, 328)), ((512, 758), (360, 536))]
)
def test_working_size_of_usual_frames(frame: tuple[int, int], cut: tuple[int, int]) -> None:
    assert WorkingSize.of(frame, 384 * 512).cut == cut


def test_intrinsics_project_the_same_place_in_both_pictures() -> None:
    size = WorkingSize.of((1280, 720), 384 * 512)
    K = np.array([900.0, 910, 639.5, 359.5])
    small = size.intrinsics(K)
    point = np.array([0.3, -0.2, 2.0])
    there = point[:2] / point[2] * small[:2] + small[2:]
    np.testing.assert_allclose(size.frame_pixels(there[None])[0], point[:2] / point[2] * K[:2] + K[2:], atol=1e-9)


def plane_disparity(camera: np.ndarray, K: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """1/z of the plane 0.2·x + 0.1·y + z = 4 (world) at cells centred on pixels 8·i, float32 [h, w]."""
    normal = np.array([0.2, 0.1, 1.0])
    y, x = np.mgrid[: shape[0], : shape[1]] * CELL
    rays = np.stack([(x - K[2]) / K[0], (y - K[3]) / K[1], np.ones(shape)], -1)
    # z · (normal · R ray) + normal · t = 4
    return ((rays @ camera[:3, :3].T) @ normal / (4 - normal @ camera[:3, 3])).astype(np.float32)


def scene() -> tuple[np.ndarray, Keyframes, WorkingSize, np.ndarray]:
    size = WorkingSize.of((640, 480), 240 * 320)
    K = np.array([600.0, 600, 319.5, 239.5])
    truth = trajectory(13, 3)
    numbers = np.array([0, 5, 12])
    small = size.intrinsics(K)
    shape = (size.cut[1] // CELL, size.cut[0] // CELL)
    disparity = np.stack([plane_disparity(truth[i], small, shape) for i in numbers])
    return truth, Keyframes(numbers, disparity, small), size, K


def test_sparse_depths_of_every_frame_lie_on_the_true_surface() -> None:
    truth, keyframes, size, K = scene()
    blanked = np.zeros((13, *keyframes.disparity.shape[1:]), bool)
    points = sparse_depths(truth, keyframes, blanked, size, stride=2)
    assert len(points) == 13
    normal = np.array([0.2, 0.1, 1.0])
    for camera, sparse in zip(truth, points, strict=True):
        assert len(sparse.xy) > 100
        assert sparse.xy.min() >= -1
        assert (sparse.xy.max(0) <= [640, 480]).all()
        rays = np.concatenate([(sparse.xy - K[2:]) / K[:2], np.ones((len(sparse.xy), 1))], -1)
        world = (rays / sparse.inverse_depth[:, None]) @ camera[:3, :3].T + camera[:3, 3]
        np.testing.assert_allclose(world @ normal, 4, rtol=1e-4)


def test_masks_and_edges_give_no_points() -> None:
    truth, keyframes, size, _ = scene()
    height, width = keyframes.disparity.shape[1:]
    blanked = np.zeros((13, height, width), bool)
    blanked[:, : height // 2] = True
    for sparse in sparse_depths(truth, keyframes, blanked, size, stride=1):
        # a point of the lower half may land at most half a cell above the border
        assert (sparse.xy[:, 1] > (height // 2 - 1) * CELL * 640 / size.scaled[0]).all()
    keyframes.disparity[:, :, width // 2 :] *= 3
    free = np.zeros_like(blanked)
    (first, *_) = sparse_depths(truth, keyframes, free, size, stride=1)
    columns = np.rint(first.xy[:, 0] * size.scaled[0] / 640 / CELL).astype(int)
    assert not {width // 2 - 1, width // 2} & set(columns.tolist())


def test_frame_behind_the_surface_gets_no_points() -> None:
    truth, keyframes, size, _ = scene()
    truth = truth.copy()
    truth[4, :3, 3] = [0, 0, 50]
    blanked = np.zeros((13, *keyframes.disparity.shape[1:]), bool)
    assert len(sparse_depths(truth, keyframes, blanked, size, stride=2)[4].xy) == 0
