"""Scene Motion Tracking (MikuDance, arXiv 2411.08656, section 3.2): where the points of the reference picture's depth
land on screen when the camera moves.

    m[l → l + s] = π(K[l+s] · 𝒴[l+s] · 𝒯[l] · φ) − π(K[l] · φ)

φ are the points at the centres of the latent grid's cells, on the rays of K[l], with the reference's depth; the same
depth stands before every camera l, so the map depends on the cameras and the reference, never on the driving frames'
content. That sets it apart from optical flow.
"""

import torch
from torch import Tensor

NEAREST = 1e-6  # of a point's depth before the first camera; nearer than this to the second camera is behind it
CHUNK = 16  # frames at once: bounds the working memory at about 10 · R · CHUNK · h · w float64


def scene_motion(
    inverse_depth: Tensor,
    cam_to_world: Tensor,
    intrinsics: Tensor,
    size: tuple[int, int],
    frame_step: int = 1,
) -> tuple[Tensor, Tensor]:
    """Scene motion of R references over L frames. CPU and CUDA; works in float64 inside.

    inverse_depth: [R, h, w], 1/z ≥ 0 in the cameras' unit; 0 is infinitely far (it turns, but never shifts).
    cam_to_world: [L, 4, 4] rigid. intrinsics: [L, 4] fx fy cx cy in pixels of a frame of `size` (W, H); they may change
    from frame to frame (zoom). frame_step: frames between the two cameras of a map; a trainer that has picked its
    window's cameras already passes 1. For a crop, pass the cropped grid, `crop_intrinsics` and the crop's size.

    Returns motion, float32 [R, L, 2, h, w], (dx, dy) in frame pixels arriving at frame l from l − frame_step, and
    valid, bool [R, L, h, w]. A point behind the second camera has motion 0 and is not valid; one that lands outside the
    frame keeps its true motion and is not valid. Maps of l < frame_step are zero and valid. A static camera gives
    exactly zero. Raises ValueError for shapes that do not fit.
    """
    length = len(cam_to_world)
    if inverse_depth.ndim != 3 or cam_to_world.shape != (length, 4, 4) or intrinsics.shape != (length, 4):
        raise ValueError(
            "scene_motion needs inverse_depth [R, h, w], cam_to_world [L, 4, 4] and intrinsics [L, 4], got "
            f"{tuple(inverse_depth.shape)}, {tuple(cam_to_world.shape)} and {tuple(intrinsics.shape)}"
        )
    if frame_step < 1:
        raise ValueError(f"frame_step must be at least 1, got {frame_step}")
    references, h, w = inverse_depth.shape
    device = inverse_depth.device
    depth = inverse_depth.double().unsqueeze(1)
    poses = cam_to_world.to(device, torch.float64)
    lenses = intrinsics.to(device, torch.float64)
    x = (torch.arange(w, device=device, dtype=torch.float64) + 0.5) * size[0] / w - 0.5
    y = (torch.arange(h, device=device, dtype=torch.float64).unsqueeze(-1) + 0.5) * size[1] / h - 0.5
    motion = torch.zeros(references, length, 2, h, w, device=device)
    valid = torch.ones(references, length, h, w, device=device, dtype=torch.bool)
    for start in range(frame_step, length, CHUNK):
        stop = min(start + CHUNK, length)
        arriving = slice(start, stop)
        leaving = slice(start - frame_step, stop - frame_step)
        motion[:, arriving], valid[:, arriving] = _between(
            depth, poses[leaving], poses[arriving], lenses[leaving], lenses[arriving], (x, y), size
        )
    return motion, valid


def _between(
    depth: Tensor,
    pose: Tensor,
    next_pose: Tensor,
    lens: Tensor,
    next_lens: Tensor,
    cells: tuple[Tensor, Tensor],
    size: tuple[int, int],
) -> tuple[Tensor, Tensor]:
    """Maps [R, F, 2, h, w] and validity [R, F, h, w] between F pairs of cameras; depth [R, 1, h, w]."""
    x, y = cells
    fx, fy, cx, cy = (lens[:, i, None, None] for i in range(4))
    next_fx, next_fy, next_cx, next_cy = (next_lens[:, i, None, None] for i in range(4))
    ray_x, ray_y = (x - cx) / fx, (y - cy) / fy  # [F, 1, w], [F, h, 1]
    # A point is (ray, inverse depth) in homogeneous coordinates, so that depth ∞ is an ordinary value. Its change under
    # the relative pose is computed by itself: R'ᵀR − 1 as R'ᵀ(R − R'), which is exactly 0 for equal cameras.
    back = next_pose[:, :3, :3].transpose(1, 2)
    turn = back @ (pose[:, :3, :3] - next_pose[:, :3, :3])
    shift = (back @ (pose[:, :3, 3:] - next_pose[:, :3, 3:])).squeeze(-1)

    def change(row: int) -> Tensor:
        a, b, c, t = (v[:, None, None] for v in (turn[:, row, 0], turn[:, row, 1], turn[:, row, 2], shift[:, row]))
        return (a * ray_x + b * ray_y + c) + t * depth

    dz = change(2)
    before = 1.0 + dz > NEAREST
    z = torch.where(before, 1.0 + dz, 1.0)
    moved_x, moved_y = (change(0) - ray_x * dz) / z, (change(1) - ray_y * dz) / z
    dx = next_fx * moved_x + (next_fx - fx) * ray_x + (next_cx - cx)
    dy = next_fy * moved_y + (next_fy - fy) * ray_y + (next_cy - cy)
    to_x, to_y = x + dx, y + dy
    inside = (to_x >= -0.5) & (to_x <= size[0] - 0.5) & (to_y >= -0.5) & (to_y <= size[1] - 0.5)
    maps = torch.stack([dx, dy], dim=2)
    return torch.where(before.unsqueeze(2), maps, 0.0).float(), before & inside
