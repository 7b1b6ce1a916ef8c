"""The same numbers from numpy and from torch, on every device there is, and gradients through torch."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from extractors.geometry import cameras, rigid, trajectory

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
SIZE, NEW = (640, 480), (768, 512)


def example(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    vectors, points = rng.normal(size=(2, 6, 3)), rng.uniform(1, 4, (2, 6, 3))
    poses = np.zeros((2, 6, 4, 4))
    poses[..., :3, :3] = Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix().reshape(2, 6, 3, 3)
    poses[..., :3, 3], poses[..., 3, 3] = rng.normal(size=(2, 6, 3)), 1
    lens = np.concatenate([rng.uniform(300, 900, (2, 6, 2)), rng.uniform(100, 500, (2, 6, 2))], -1)
    return {"vectors": vectors, "points": points, "poses": poses, "lens": lens, "z": rng.uniform(1, 5, (2, 6))}


FUNCTIONS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "pose": lambda e: rigid.pose(e["poses"][..., :3, :3], e["vectors"]),
    "invert": lambda e: rigid.invert(e["poses"]),
    "transform_points": lambda e: rigid.transform_points(e["poses"], e["points"][:, None]),
    "relative_to_first": lambda e: rigid.relative_to_first(e["poses"][0]),
    "rotation_from_vector": lambda e: rigid.rotation_from_vector(e["vectors"]),
    "vector_from_rotation": lambda e: rigid.vector_from_rotation(e["poses"][..., :3, :3]),
    "xyzw": lambda e: rigid.rotation_from_xyzw(rigid.xyzw_from_rotation(e["poses"][..., :3, :3])),
    "rotation_angle": lambda e: rigid.rotation_angle(e["poses"][..., :3, :3]),
    "interpolate_poses": lambda e: rigid.interpolate_poses(
        e["points"][0, :, 0].cumsum(0), e["poses"][0], e["z"][0] * 4
    ),
    "matrix": lambda e: cameras.intrinsics_matrix(e["lens"]),
    "vector": lambda e: cameras.intrinsics_vector(cameras.intrinsics_matrix(e["lens"])),
    "fov": lambda e: cameras.intrinsics_from_fov(e["z"] / 5, SIZE),
    "rescale": lambda e: cameras.rescale_intrinsics(e["lens"], SIZE, NEW),
    "window": lambda e: cameras.window_intrinsics(e["lens"], (10.5, -3.0, 300.0, 200.0), NEW),
    "project": lambda e: cameras.project(e["points"] - 1.5, e["lens"])[0],
    "unproject": lambda e: cameras.unproject(e["points"][..., :2], e["z"], e["lens"]),
    "umeyama": lambda e: trajectory.umeyama(e["points"][0], e["vectors"][0]).poses(e["poses"][0]),
    "ate": lambda e: trajectory.absolute_trajectory_error(e["poses"][0], e["poses"][1]).translation,
    "rpe": lambda e: trajectory.relative_pose_error(e["poses"][0], e["poses"][1], step=2).rotation,
    "path_length": lambda e: trajectory.path_length(e["poses"][0]),
}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", FUNCTIONS)
@given(seed=st.integers(0, 2**32 - 1))
def test_torch_gives_what_numpy_gives(name: str, device: str, seed: int) -> None:
    arrays = example(seed)
    wanted = FUNCTIONS[name](arrays)
    found = FUNCTIONS[name]({key: torch.from_numpy(value).to(device) for key, value in arrays.items()})
    if isinstance(wanted, np.ndarray):
        assert isinstance(found, torch.Tensor)
        assert (found.dtype, found.device.type) == (torch.float64, device)
        found = found.cpu().numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)


def test_gradients_flow_through_a_projection() -> None:
    """A camera is turned until a point lies where it was seen; checked against finite differences."""
    points, lens = torch.tensor([[0.3, -0.2, 4.0], [1.0, 0.5, 6.0]]).double(), torch.tensor([500.0, 500, 320, 240])

    def seen(turn: torch.Tensor) -> torch.Tensor:
        shift = torch.zeros(3, dtype=torch.float64)
        return cameras.project(
            rigid.transform_points(rigid.pose(rigid.rotation_from_vector(turn), shift), points), lens
        )[0]

    assert torch.autograd.gradcheck(seen, torch.tensor([0.1, -0.2, 0.05], dtype=torch.float64, requires_grad=True))


def test_lists_and_single_precision_become_float64() -> None:
    assert cameras.rescale_intrinsics([100, 100, 49.5, 49.5], (100, 100), (200, 200)).tolist() == [200, 200, 99.5, 99.5]
    assert rigid.invert(np.eye(4, dtype=np.float32)).dtype == np.float64
    mixed = cameras.unproject(torch.zeros(5, 2), 1.0, np.array([1.0, 1, 0, 0]))
    assert (mixed.dtype, mixed.shape) == (torch.float64, (5, 3))
