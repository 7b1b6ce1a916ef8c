"""DROID-SLAM's operations in plain torch: against scipy, automatic differentiation, loops, scenes of known truth."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import expm
from scipy.spatial.transform import Rotation

from extractors.camera.droid_cpu import OnCpu
from extractors.camera.droid_kernels import (
    FAR_APART,
    altcorr_forward,
    ba,
    corr_index_forward,
    frame_distance,
    scatter_mean,
    scatter_sum,
)
from extractors.camera.droid_lie import SE3, cat, cross_matrix

K = torch.tensor([14.0, 15.0, 7.5, 5.5])
HEIGHT, WIDTH = 12, 16


def matrix(element: SE3) -> np.ndarray:
    out = np.eye(4)
    out[:3, :3] = Rotation.from_quat(element.data[..., 3:].double().numpy()).as_matrix()
    out[:3, 3] = element.data[..., :3].numpy()
    return out


def generator(tangent: np.ndarray) -> np.ndarray:
    out = np.zeros((4, 4))
    out[:3, :3] = cross_matrix(torch.tensor(tangent[3:])).numpy()
    out[:3, 3] = tangent[:3]
    return out


tangents = st.lists(st.floats(-1.5, 1.5), min_size=6, max_size=6).map(np.array)


@given(tangents, tangents)
def test_group_against_matrices(a: np.ndarray, b: np.ndarray) -> None:
    first, second = (SE3.exp(torch.tensor(x, dtype=torch.float64)) for x in (a, b))
    np.testing.assert_allclose(matrix(first), expm(generator(a)), atol=1e-7)  # scipy's series, not ours
    np.testing.assert_allclose(matrix(first * second), matrix(first) @ matrix(second), atol=1e-9)
    np.testing.assert_allclose(matrix(first.inv()), np.linalg.inv(matrix(first)), atol=1e-9)
    np.testing.assert_allclose(first.log().numpy(), a, atol=1e-6)
    moved = (first * torch.tensor([0.3, -2.0, 1.0, 0.5], dtype=torch.float64)).numpy()
    np.testing.assert_allclose(moved[:3], (matrix(first) @ [0.3, -2.0, 1.0, 0.5])[:3], atol=1e-9)
    assert moved[3] == 0.5
    left = (SE3.exp(first.adjoint() @ torch.tensor(b)) * first).data
    torch.testing.assert_close(left, (first * second).data, atol=1e-7, rtol=0)


def test_indexing_writes_through_and_joins() -> None:
    poses = SE3.Identity(3)
    poses.data[1, :3] = torch.tensor([1.0, 2, 3])
    assert poses[1].data[:3].tolist() == [1, 2, 3]
    assert poses[:, None].data.shape == (3, 1, 7)
    assert cat([poses, poses[1:]], 0).data.shape == (5, 7)


def scene(count: int = 4, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Poses [count, 7], disparities, and all edges between neighbours up to two apart."""
    random = torch.Generator().manual_seed(seed)
    steps = torch.randn(count, 6, generator=random) * torch.tensor([0.2, 0.2, 0.1, 0.03, 0.03, 0.03])
    steps[0] = 0
    disps = 0.4 + 0.4 * torch.rand(count, HEIGHT, WIDTH, generator=random)
    ii, jj = torch.meshgrid(torch.arange(count), torch.arange(count), indexing="ij")
    near = ((ii - jj).abs() <= 2) & (ii != jj)
    return SE3.exp(steps).data, disps, ii[near], jj[near]


def places(poses: torch.Tensor, disps: torch.Tensor, ii: torch.Tensor, jj: torch.Tensor) -> torch.Tensor:
    """Where the cells of ii lie in jj, [N, 2, h, w], by matrices."""
    v, u = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    out = []
    for i, j in zip(ii.tolist(), jj.tolist(), strict=True):
        rays = torch.stack([(u - K[2]) / K[0], (v - K[3]) / K[1], torch.ones(HEIGHT, WIDTH)], -1)
        points = torch.cat([rays / disps[i][..., None], torch.ones(HEIGHT, WIDTH, 1)], -1)
        world = torch.tensor(matrix(SE3(poses[j])) @ np.linalg.inv(matrix(SE3(poses[i]))), dtype=points.dtype)
        x, y, z, _ = (points @ world.T).unbind(-1)
        out.append(torch.stack([K[0] * x / z + K[2], K[1] * y / z + K[3]]))
    return torch.stack(out)


def test_frame_distance_is_the_mean_flow() -> None:
    poses, disps, ii, jj = scene()
    v, u = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    whole = (places(poses, disps, ii, jj) - torch.stack([u, v])).norm(dim=1).mean((1, 2))
    relative = SE3(poses[jj]) * SE3(poses[ii]).inv()
    z = 1 + disps[ii] * relative.data[:, 2, None, None]
    rays = torch.stack([(u - K[2]) / K[0], (v - K[3]) / K[1]])
    shifted = rays + disps[ii][:, None] * relative.data[:, :2, None, None]
    alone = (shifted / z[:, None] - rays) * K[:2, None, None]
    expected = 0.3 * whole + 0.7 * alone.norm(dim=1).mean((1, 2))
    torch.testing.assert_close(frame_distance(poses, disps, K, ii, jj, 0.3), expected, rtol=1e-4, atol=1e-4)
    behind = poses.clone()
    behind[1, 2] = -50.0
    assert frame_distance(behind, disps, K, torch.tensor([0]), torch.tensor([1]), 0.3).item() == FAR_APART


def test_one_step_solves_the_linearised_problem_of_automatic_differentiation() -> None:
    poses, disps, ii, jj = scene(3, seed=2)
    random = torch.Generator().manual_seed(1)
    target = places(poses, disps, ii, jj) + 0.3 * torch.randn(len(ii), 2, HEIGHT, WIDTH, generator=random)
    weight = torch.rand(len(ii), 2, HEIGHT, WIDTH, generator=random)
    eta = 0.01 + 0.01 * torch.rand(3, HEIGHT, WIDTH, generator=random)
    free, cells, lm, ep = 2, HEIGHT * WIDTH, 1e-3, 0.05

    def weighted(step: torch.Tensor) -> torch.Tensor:
        tangent = torch.cat([torch.zeros(1, 6), step[: 6 * free].view(free, 6)])
        twist = torch.zeros(3, 4, 4)
        twist[:, :3] = torch.cat([cross_matrix(tangent[:, 3:]), tangent[:, :3, None]], -1)
        worlds = torch.stack([torch.tensor(matrix(SE3(pose)), dtype=torch.float32) for pose in poses])
        moved = torch.linalg.matrix_exp(twist) @ worlds
        deeper = disps + step[6 * free :].view_as(disps)
        v, u = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
        x, y = ((u - K[2]) / K[0]).expand(3, -1, -1), ((v - K[3]) / K[1]).expand(3, -1, -1)
        points = torch.stack([x, y, torch.ones_like(x), deeper], -1)[ii]
        between = moved[jj] @ torch.linalg.inv(moved[ii])
        x, y, z, _ = torch.einsum("nij,nhwj->nhwi", between, points).unbind(-1)
        seen = torch.stack([K[0] * x / z + K[2], K[1] * y / z + K[3]], 1)
        return ((0.001 * weight).sqrt() * (target - seen)).flatten()

    start = torch.zeros(6 * free + 3 * cells)
    jacobian = -torch.autograd.functional.jacobian(weighted, start).double()
    normal = jacobian.T @ jacobian
    right = jacobian.T @ weighted(start).double()
    normal[6 * free :, 6 * free :] += torch.diag(eta.flatten().double())
    # Damping falls on the system of the poses, after the disparities are eliminated.
    mixed, inverse = normal[: 6 * free, 6 * free :], 1 / normal[6 * free :, 6 * free :].diagonal()
    reduced = normal[: 6 * free, : 6 * free] - (mixed * inverse) @ mixed.T
    reduced += torch.diag(ep + lm * reduced.diagonal())
    expected = torch.linalg.solve(reduced, right[: 6 * free] - (mixed * inverse) @ right[6 * free :])
    depth_step = inverse * (right[6 * free :] - mixed.T @ expected)

    new_poses, new_disps = poses.clone(), disps.clone()
    dx, _ = ba(
        new_poses, new_disps, K, torch.zeros_like(disps), target, weight, eta, ii, jj, 1, 3, 1, lm, ep, False
    )  # fmt: skip
    torch.testing.assert_close(dx.flatten().double(), expected, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close((new_disps - disps).flatten().double(), depth_step, rtol=1e-2, atol=1e-5)
    torch.testing.assert_close(new_poses[1:], (SE3.exp(dx) * SE3(poses[1:])).data)
    torch.testing.assert_close(new_poses[0], poses[0])


@pytest.mark.parametrize("motion_only", [False, True])
def test_adjustment_finds_the_true_cameras(motion_only: bool) -> None:
    poses, disps, ii, jj = scene(5, seed=3)
    target, weight = places(poses, disps, ii, jj), torch.full((len(ii), 2, HEIGHT, WIDTH), 1000.0)
    random = torch.Generator().manual_seed(4)
    start = (SE3.exp(0.02 * torch.randn(5, 6, generator=random)) * SE3(poses)).data
    start[:2] = poses[:2]  # two known cameras hold position and scale
    depth = disps if motion_only else disps * (1 + 0.1 * torch.rand(disps.shape, generator=random))
    found, depth = start.clone(), depth.clone()
    eta = torch.full_like(disps, 1e-6)
    ba(found, depth, K, torch.zeros_like(disps), target, weight, eta, ii, jj, 2, 5, 12, 1e-4, 1e-4, motion_only)
    assert (start - poses).abs().max() > 1e-2
    torch.testing.assert_close(found, poses, atol=2e-4, rtol=0)
    torch.testing.assert_close(depth, disps, atol=2e-3, rtol=0)


def test_stereo_edges_are_refused() -> None:
    poses, disps, _, _ = scene(2)
    one = torch.tensor([1])
    nothing = torch.zeros(1, 2, HEIGHT, WIDTH)
    with pytest.raises(RuntimeError, match="stereo"):
        ba(poses, disps, K, disps, nothing, nothing, disps[:1], one, one, 0, 2, 1, 1e-4, 0.1, False)


def test_correlations_around_a_place() -> None:
    """Offsets along x come first; between cells bilinear; nothing outside."""
    random = torch.Generator().manual_seed(0)
    volume = torch.randn(2, 3, 4, 5, 6, generator=random)
    coords = torch.rand(2, 2, 3, 4, generator=random) * 9 - 2
    (found,) = corr_index_forward(volume, coords, 2)
    assert found.shape == (2, 5, 5, 3, 4)

    def at(n: int, y: int, x: int, py: float, px: float) -> float:
        y0, x0 = int(np.floor(py)), int(np.floor(px))
        total = 0.0
        for yy, xx in ((y0, x0), (y0, x0 + 1), (y0 + 1, x0), (y0 + 1, x0 + 1)):
            if 0 <= yy < 5 and 0 <= xx < 6:
                total += (1 - abs(py - yy)) * (1 - abs(px - xx)) * volume[n, y, x, yy, xx].item()
        return total

    for n, i, j, y, x in np.ndindex(2, 5, 5, 3, 4):
        px, py = (coords[n, c, y, x].item() + offset - 2 for c, offset in ((0, i), (1, j)))
        assert found[n, i, j, y, x].item() == pytest.approx(at(n, y, x, py, px), abs=1e-4)


def test_correlations_from_features_are_those_of_the_volume() -> None:
    random = torch.Generator().manual_seed(1)
    features = torch.randn(1, 3, 8, 6, 7, generator=random)
    half = torch.nn.functional.avg_pool2d(features[0], 2)[None]
    ii, jj = torch.tensor([0, 2]), torch.tensor([1, 1])
    coords = torch.rand(1, 2, 2, 6, 7, generator=random) * 3
    (found,) = altcorr_forward(features, half, coords, ii, jj, 1)
    volume = torch.einsum("nchw,ncyx->nhwyx", features[0, ii], half[0, jj]) / 16
    torch.testing.assert_close(found[0], corr_index_forward(volume, coords[0], 1)[0])


def test_scatter() -> None:
    values, index = torch.arange(12.0).view(1, 4, 3), torch.tensor([1, 0, 1, 1])
    assert scatter_sum(values, index, dim=1, dim_size=3)[0].tolist() == [[3, 4, 5], [15, 18, 21], [0, 0, 0]]
    assert scatter_mean(values, index, dim=1)[0].tolist() == [[3, 4, 5], [5, 6, 7]]


def test_cuda_is_read_as_cpu_and_half_as_float() -> None:
    with OnCpu():
        made = torch.zeros(2, device="cuda:0", dtype=torch.half)
        moved = torch.as_tensor([1.0], device="cuda").cuda().to(device="cuda", dtype=torch.half)
        made.to(torch.device("cuda"))
    assert made.device.type == moved.device.type == "cpu"
    assert made.dtype == moved.dtype == torch.float32
