"""Scene motion of windows whose frame step is not the one that their shard was packed with."""

import torch

from extractors.geometry.scene_motion import scene_motion
from train.data.batch import TrainBatch


def finish(batch: TrainBatch, device: torch.device | str) -> TrainBatch:
    """The batch on `device`, with the scene motion that the shards do not hold computed there (by the paper's
    equation, from the window's cameras and the reference's inverse depth). To be called on the batch as it comes from
    the reader.
    """
    missing = (~batch.scene_motion_stored).nonzero().flatten().tolist()
    height, width = batch.target.shape[-2:]
    moved = batch.to(device)
    if not missing:
        return moved
    motion, valid = moved.scene_motion.clone(), moved.scene_motion_valid.clone()
    for row in missing:
        maps, seen = scene_motion(
            moved.inverse_depth[row : row + 1], moved.cam_to_world[row], moved.intrinsics[row], (width, height)
        )
        motion[row], valid[row] = maps[0], seen[0]
    done = torch.ones_like(moved.scene_motion_stored)
    return moved.with_tensors({"scene_motion": motion, "scene_motion_valid": valid, "scene_motion_stored": done})
