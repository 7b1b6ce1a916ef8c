"""Scene motion as the published MikuDance code computes it, for weights that were trained on such maps.

It is not the paper's formula (see `scene_motion` for that): points stand on the latent grid's indices at
z = 100 − 50·depth, K = [3.2, 3.2, 1.6, 1.6] whatever the lens, so that values are about 0.01 and nearly free of
translation; and its cameras come from quaternions [x y z w] that were read as [w x y z].
"""

import torch
from torch import Tensor

from extractors.geometry.rigid import invert, pose, rotation_from_xyzw, xyzw_from_rotation

FOCAL = 3.2
CLIP_SIGMAS = 3.0


def published_scene_motion(inverse_depth: Tensor, cam_to_world: Tensor, frame_step: int = 1) -> Tensor:
    """The published code's maps from right cameras: what it would have made of the same clip.

    inverse_depth: [R, h, w], of any scale and shift (each map is normalised to 0 … 1, 1 the nearest). cam_to_world:
    [L, 4, 4]. Returns float32 [R, L, 2, h, w] in the published code's own unit, arriving at l from l − frame_step.
    The published tracker saw frames squashed to a square with an assumed lens; that is not imitated.
    """
    low, high = inverse_depth.amin((1, 2), keepdim=True), inverse_depth.amax((1, 2), keepdim=True)
    normalised = (inverse_depth - low) / (high - low).clamp_min(1e-12)
    world_to_cam = misread_cameras(cam_to_world)
    return published_maps(normalised, torch.linalg.inv(world_to_cam), world_to_cam, frame_step)


def misread_cameras(cam_to_world: Tensor) -> Tensor:
    """world_to_cam [L, 4, 4] float64 as the published code stores it for right cameras [L, 4, 4].

    Its quaternions are scalar-last and read as scalar-first; the translation stays.
    """
    world_to_cam = invert(cam_to_world.double().cpu().numpy())
    x, y, z, w = xyzw_from_rotation(world_to_cam[:, :3, :3]).T
    wrong = rotation_from_xyzw(torch.tensor([*zip(y, z, w, x, strict=True)], dtype=torch.float64).numpy())
    return torch.from_numpy(pose(wrong, world_to_cam[:, :3, 3])).to(cam_to_world.device)


def published_maps(depth: Tensor, cam_to_world: Tensor, world_to_cam: Tensor, frame_step: int = 1) -> Tensor:
    """The published function on the published files.

    depth: [R, h, w], 0 … 1, 1 the nearest. cam_to_world, world_to_cam: [L, 4, 4] as stored by the published tracker.
    Returns float32 [R, L, 2, h, w]; index 0 … frame_step − 1 are zero, the others are clipped to mean ± 3σ over all
    maps of their reference (the zero maps do not count), or zero where anything is not finite.
    """
    references, h, w = depth.shape
    device = depth.device
    cam_to_world, world_to_cam = (p.to(device, torch.float64) for p in (cam_to_world, world_to_cam))
    maps = torch.zeros(references, len(cam_to_world), 2, h, w, device=device)
    if len(cam_to_world) <= frame_step:
        return maps
    x = torch.arange(-w // 2, -w // 2 + w, device=device, dtype=torch.float64).expand(h, w)
    y = torch.arange(-h // 2, -h // 2 + h, device=device, dtype=torch.float64).unsqueeze(1).expand(h, w)
    moves = world_to_cam[frame_step:] @ cam_to_world[:-frame_step]
    for r in range(references):
        points = torch.stack([x, y, 100.0 - 50.0 * depth[r].double(), torch.ones_like(x)])
        moved = torch.einsum("lij,jhw->lihw", moves[:, :3], points)
        flow = FOCAL * (moved[:, :2] / moved[:, 2:] - points[:2] / points[2])  # the principal point cancels
        if not torch.isfinite(flow).all():
            continue
        mean, sigma = flow.mean(), flow.std(correction=0)
        maps[r, frame_step:] = flow.clamp(mean - CLIP_SIGMAS * sigma, mean + CLIP_SIGMAS * sigma).float()
    return maps
