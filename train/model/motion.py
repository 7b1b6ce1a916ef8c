"""Camera guidance of a batch: scene motion, or what takes its place in the paper's ablations."""

import numpy as np
import torch
from torch import Tensor

from extractors.geometry.cameras import cell_centres, unproject
from extractors.geometry.rigid import invert
from train.data.batch import TrainBatch
from train.model.config import ModelConfig


def camera_guidance(batch: TrainBatch, config: ModelConfig) -> Tensor | None:
    """The guidance map `[B, F, channels, h, w]` in model units, float32, or None for the ablation without it.

    Maps in frame pixels are multiplied by `config.motion_scale`; Plücker rays are taken as they are.
    """
    if config.motion == "none":
        return None
    if config.motion == "scene_motion":
        return batch.scene_motion.float() * config.motion_scale
    if config.motion == "flow":
        return optical_flow(batch.target, factor=8) * config.motion_scale
    return plucker_rays(batch)


def optical_flow(frames: Tensor, *, factor: int) -> Tensor:
    """Dense inverse search flow arriving at each frame from the one before it, in pixels.

    frames: uint8 `[B, F, 3, H, W]`; returns `[B, F, 2, H / factor, W / factor]`. Index 0 is zero. Cells hold the mean
    over their pixels. Computed on the CPU (the ablation "w/ Flow" of table 2; OpenCV's DIS).
    """
    import cv2

    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    batch, count, _, height, width = frames.shape
    flows = torch.zeros(batch, count, 2, height // factor, width // factor)
    for b in range(batch):
        pictures = frames[b].permute(0, 2, 3, 1).cpu().numpy()
        grey = [cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY) for picture in pictures]
        for f in range(1, count):
            flow = torch.from_numpy(search.calc(grey[f - 1], grey[f], None)).permute(2, 0, 1)
            flows[b, f] = torch.nn.functional.avg_pool2d(flow[None], factor)[0]
    return flows.to(frames.device)


def plucker_rays(batch: TrainBatch) -> Tensor:
    """`camera_rays` of a batch's windows."""
    height, width = batch.target.shape[-2:]
    return camera_rays(
        cam_to_world=batch.cam_to_world,
        intrinsics=batch.intrinsics,
        reference_cam_to_world=batch.reference_cam_to_world,
        size=(width, height),
    )


def camera_rays(
    *, cam_to_world: Tensor, intrinsics: Tensor, reference_cam_to_world: Tensor, size: tuple[int, int]
) -> Tensor:
    """Plücker rays (moment o × d, direction d) of every latent cell, `[B, F, 6, h, w]`, float32.

    cam_to_world: float64 `[B, F, 4, 4]`; intrinsics: float64 `[B, F, 4]` in pixels of `size` (W, H);
    reference_cam_to_world: float64 `[B, 4, 4]`. Cameras are taken relative to the reference's camera, so that the rays
    do not depend on the world's origin; the cell at row i, column j looks through frame pixel
    ((j + 0.5)·8 − 0.5, (i + 0.5)·8 − 0.5).
    """
    pose = invert(reference_cam_to_world)[:, None] @ cam_to_world
    cells = torch.from_numpy(cell_centres((size[0] // 8, size[1] // 8), size)).to(pose.device)
    local = unproject(cells, 1.0, intrinsics[..., None, None, :])
    direction = torch.einsum("bfij,bfhwj->bfihw", pose[..., :3, :3], local)
    direction = direction / direction.norm(dim=2, keepdim=True)
    origin = pose[..., :3, 3][..., None, None].expand_as(direction)
    return torch.cat([torch.linalg.cross(origin, direction, dim=2), direction], dim=2).float()
