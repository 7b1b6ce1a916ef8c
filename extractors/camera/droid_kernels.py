"""DROID-SLAM's compiled operations (`droid_backends`, `torch_scatter`) in plain torch, for machines without CUDA.

Same names, arguments and layouts as upstream calls them with: poses [K, 7] world-to-camera, disparities [K, h, w]
(1/z), intrinsics [4] of the cells, edges from keyframe ii to keyframe jj. Written from the definitions (DROID-SLAM,
arXiv 2108.10869, section 3.3); monocular only.
"""

import torch
from torch.nn import functional

from extractors.camera.droid_lie import SE3, cross_matrix

MIN_DEPTH = 0.25
"""Nearer than that a point counts as behind the camera."""
FAR_APART = 1000.0
"""The distance of frames that hardly see each other."""
_ENOUGH = 0.75


def _points(disparity: torch.Tensor, intrinsics: torch.Tensor) -> torch.Tensor:
    """Homogeneous points [..., h, w, 4] of disparities [..., h, w]: (x, y, 1, 1/z) in front of the camera."""
    fx, fy, cx, cy = intrinsics.unbind(-1)
    height, width = disparity.shape[-2:]
    v, u = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    x, y = ((u - cx) / fx).expand_as(disparity), ((v - cy) / fy).expand_as(disparity)
    return torch.stack([x, y, torch.ones_like(disparity), disparity], -1)


def _project(points: torch.Tensor, intrinsics: torch.Tensor) -> torch.Tensor:
    """Pixels [..., 2] of points [..., 4]."""
    fx, fy, cx, cy = intrinsics.unbind(-1)
    x, y, z, _ = points.unbind(-1)
    return torch.stack([fx * x / z + cx, fy * y / z + cy], -1)


def frame_distance(
    poses: torch.Tensor, disps: torch.Tensor, intrinsics: torch.Tensor, ii: torch.Tensor, jj: torch.Tensor, beta: float
) -> torch.Tensor:
    """Mean flow, in cells, from ii to jj [N]: `beta` of the whole motion's and 1 - beta of the translation's alone."""
    points = _points(disps[ii], intrinsics)
    start = _project(points, intrinsics)
    move = SE3(poses[jj]) * SE3(poses[ii]).inv()
    shift = torch.cat([move.data[:, :3], torch.zeros_like(move.data[:, :1])], -1)[:, None, None]
    total = torch.zeros(len(ii))
    seen = torch.zeros(len(ii))
    for share, moved in ((beta, move[:, None, None] * points), (1 - beta, points + shift * points[..., 3:])):
        valid = moved[..., 2] > MIN_DEPTH
        flow = (_project(moved, intrinsics) - start).norm(dim=-1)
        total += share * torch.where(valid, flow, torch.zeros_like(flow)).sum((1, 2))
        seen += share * valid.sum((1, 2))
    cells = disps.shape[1] * disps.shape[2]
    return torch.where(seen / cells < _ENOUGH, torch.full_like(total, FAR_APART), total / seen.clamp(min=1e-8))


def ba(
    poses: torch.Tensor, disps: torch.Tensor, intrinsics: torch.Tensor, disps_sens: torch.Tensor, target: torch.Tensor,
    weight: torch.Tensor, eta: torch.Tensor, ii: torch.Tensor, jj: torch.Tensor, t0: int, t1: int, iterations: int,
    lm: float, ep: float, motion_only: bool,
) -> list[torch.Tensor]:  # fmt: skip
    """Dense bundle adjustment: Gauss-Newton steps on the poses t0 to t1 and, unless `motion_only`, the disparities of
    the frames in ii; poses and disps change in place.

    target, weight: [N, 2, h, w], where the cells of ii should lie in jj, and how sure that is. eta: [K, h, w], damping
    of the disparities of the K frames in ii. Returns the last step's pose update [t1 - t0, 6] and disparity update.
    """
    if (ii == jj).any():
        raise RuntimeError("an edge from a frame to itself is one of a stereo camera")
    frames, number = torch.unique(ii, return_inverse=True)
    dx, dz = torch.zeros(t1 - t0, 6), torch.zeros(len(frames), *disps.shape[1:])
    for _ in range(iterations):
        residual, strength, to_i, to_j, to_depth = _linearised(poses, disps, intrinsics, target, weight, ii, jj)
        system, right = _pose_system(residual, strength, to_i, to_j, ii - t0, jj - t0, t1 - t0)
        if motion_only:
            dx = _solve(system, right, lm, ep)
        else:
            scaled = strength * to_depth
            curvature = _sum_by(number, (scaled * to_depth).sum(-1), len(frames)) + eta.flatten(1)
            slope = _sum_by(number, (scaled * residual).sum(-1), len(frames))
            mixed = torch.zeros(t1 - t0, len(frames), 6, curvature.shape[1])
            for jacobian, pose in ((to_i, ii - t0), (to_j, jj - t0)):
                free = (pose >= 0) & (pose < t1 - t0)
                part = torch.einsum("nkc,nkcd->ndk", scaled, jacobian)
                mixed.index_put_((pose[free], number[free]), part[free], accumulate=True)
            mixed = mixed.transpose(1, 2).reshape((t1 - t0) * 6, -1)  # [6 P, K cells]
            inverse = 1 / curvature.flatten()
            reduced = system - (mixed * inverse) @ mixed.T
            dx = _solve(reduced, right - (mixed * inverse) @ slope.flatten(), lm, ep)
            dz = (inverse * (slope.flatten() - mixed.T @ dx.flatten())).view_as(dz)
            disps[frames] += dz
        poses[t0:t1] = (SE3.exp(dx) * SE3(poses[t0:t1])).data
    return [dx, dz]


def _linearised(
    poses: torch.Tensor, disps: torch.Tensor, intrinsics: torch.Tensor, target: torch.Tensor, weight: torch.Tensor,
    ii: torch.Tensor, jj: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:  # fmt: skip
    """Residuals and weights [N, cells, 2], Jacobians by the tangents of both poses [N, cells, 2, 6] and by the
    disparity [N, cells, 2] of every edge.
    """
    fx, fy = intrinsics[:2]
    move = SE3(poses[jj]) * SE3(poses[ii]).inv()
    points = (move[:, None, None] * _points(disps[ii], intrinsics)).flatten(1, 2)
    x, y, z, inverse = points.unbind(-1)
    valid = z > MIN_DEPTH
    z = torch.where(valid, z, torch.ones_like(z))
    zero = torch.zeros_like(z)
    by_point = torch.stack([fx / z, zero, -fx * x / z**2, zero, fy / z, -fy * y / z**2], -1).unflatten(-1, (2, 3))
    identity = inverse[..., None, None] * torch.eye(3)
    by_tangent = torch.cat([identity, -cross_matrix(points[..., :3])], -1)
    to_j = by_point @ by_tangent
    to_i = -to_j @ move.adjoint()[:, None]
    to_depth = (by_point @ move.data[:, None, :3, None])[..., 0]
    residual = target.flatten(2).transpose(1, 2) - _project(points, intrinsics)
    strength = 0.001 * weight.flatten(2).transpose(1, 2) * valid[..., None]
    return torch.where(valid[..., None], residual, torch.zeros_like(residual)), strength, to_i, to_j, to_depth


def _pose_system(
    residual: torch.Tensor, strength: torch.Tensor, to_i: torch.Tensor, to_j: torch.Tensor, i: torch.Tensor,
    j: torch.Tensor, count: int,
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    """Normal equations of the poses alone: [6 P, 6 P] and [6 P]. i, j: numbers among the free poses, else outside."""
    system, right = torch.zeros(count, count, 6, 6), torch.zeros(count, 6)
    for first, a in ((to_i, i), (to_j, j)):
        free = (a >= 0) & (a < count)
        right.index_put_((a[free],), torch.einsum("nkcd,nkc->nd", first, strength * residual)[free], accumulate=True)
        for second, b in ((to_i, i), (to_j, j)):
            both = free & (b >= 0) & (b < count)
            block = torch.einsum("nkcd,nkc,nkce->nde", first, strength, second)
            system.index_put_((a[both], b[both]), block[both], accumulate=True)
    return system.transpose(1, 2).reshape(count * 6, count * 6), right.flatten()


def _solve(system: torch.Tensor, right: torch.Tensor, lm: float, ep: float) -> torch.Tensor:
    """The damped step [P, 6]; zero where the system is not positive definite, as upstream does."""
    damped = system.double()
    damped = damped + torch.diag(ep + lm * damped.diagonal())
    factor, failed = torch.linalg.cholesky_ex(damped)
    if failed:
        return torch.zeros(len(right) // 6, 6)
    return torch.cholesky_solve(right.double()[:, None], factor)[:, 0].to(right.dtype).view(-1, 6)


def _sum_by(index: torch.Tensor, values: torch.Tensor, count: int) -> torch.Tensor:
    """Sums [count, ...] of the values [N, ...] with the same index."""
    return torch.zeros(count, *values.shape[1:]).index_add_(0, index, values)


def corr_index_forward(volume: torch.Tensor, coords: torch.Tensor, radius: int) -> list[torch.Tensor]:
    """Correlations [N, 2r + 1, 2r + 1, h, w] around a place (offsets along x, then y), bilinear, 0 outside.

    volume: [N, h, w, h2, w2]; coords: [N, 2, h, w], places (x, y) in the second picture.
    """
    count, height, width, rows, columns = volume.shape
    reach = torch.arange(-radius, radius + 1)
    along_x, along_y = torch.meshgrid(reach, reach, indexing="ij")
    offsets = torch.stack([along_x, along_y], -1)
    places = coords.permute(0, 2, 3, 1).reshape(-1, 1, 1, 2) + offsets
    grid = (2 * places + 1) / torch.tensor([columns, rows]) - 1  # from pixels to what grid_sample calls -1 to 1
    pictures = volume.reshape(-1, 1, rows, columns)
    found = functional.grid_sample(pictures, grid.to(volume.dtype), padding_mode="zeros", align_corners=False)
    return [found.view(count, height, width, 2 * radius + 1, 2 * radius + 1).permute(0, 3, 4, 1, 2).contiguous()]


def altcorr_forward(
    fmap1: torch.Tensor, fmap2: torch.Tensor, coords: torch.Tensor, ii: torch.Tensor, jj: torch.Tensor, radius: int
) -> list[torch.Tensor]:
    """The same from features [1, K, C, h, w] and [1, K, C, h2, w2] for edges ii to jj; coords: [1, N, 2, h, w].
    Returns [1, N, 2r + 1, 2r + 1, h, w].
    """
    first, second = fmap1[0, ii] / 4, fmap2[0, jj] / 4
    volume = torch.einsum("ncp,ncq->npq", first.flatten(2), second.flatten(2))
    volume = volume.view(len(ii), *first.shape[-2:], *second.shape[-2:])
    return [corr_index_forward(volume, coords[0], radius)[0][None]]


def scatter_sum(source: torch.Tensor, index: torch.Tensor, dim: int, dim_size: int | None = None) -> torch.Tensor:
    """Sums of the slices along `dim` with the same index."""
    shape = list(source.shape)
    shape[dim] = dim_size if dim_size is not None else int(index.max()) + 1
    return source.new_zeros(shape).index_add_(dim, index, source)


def scatter_mean(source: torch.Tensor, index: torch.Tensor, dim: int) -> torch.Tensor:
    """Means of the slices along `dim` with the same index."""
    count = torch.bincount(index).to(source.dtype)
    shape = [1] * source.dim()
    shape[dim] = -1
    return scatter_sum(source, index, dim) / count.view(shape).clamp(min=1)
