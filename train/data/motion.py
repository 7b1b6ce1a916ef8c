"""Scene motion that the shards do not hold: of another frame step, or of the other kind (`model.motion_compat`).

| the network takes | what it is given |
| --- | --- |
| paper | stored maps of the paper's kind where the step agrees, else maps of the paper's equation, computed here |
| published | maps of the published code, always computed here, clipped over the window |

Published maps of a shard were made for the whole frame, and scaling does not make them those of a crop. A batch never
mixes the two kinds: their units differ by orders of magnitude.
"""

from typing import Literal

import torch

from extractors.geometry.published import published_scene_motion
from extractors.geometry.scene_motion import scene_motion
from train.data.batch import TrainBatch


def finish(
    batch: TrainBatch, device: torch.device | str, *, compat: Literal["paper", "published"] = "paper"
) -> TrainBatch:
    """The batch on `device`, with the scene motion that the shards do not hold computed there from the window's cameras
    and the reference's inverse depth. To be called on the batch as it comes from the reader.

    compat: which maps the network takes. Published ones are in the published code's own unit, and valid everywhere.
    """
    if compat == "published":
        missing = list(range(len(batch)))
    else:
        missing = (~batch.scene_motion_stored).nonzero().flatten().tolist()
    height, width = batch.target.shape[-2:]
    moved = batch.to(device)
    if not missing:
        return moved
    motion, valid = moved.scene_motion.clone(), moved.scene_motion_valid.clone()
    for row in missing:
        depth, cameras = moved.inverse_depth[row : row + 1], moved.cam_to_world[row]
        if compat == "published":
            motion[row], valid[row] = published_scene_motion(depth, cameras)[0], True
        else:
            maps, seen = scene_motion(depth, cameras, moved.intrinsics[row], (width, height))
            motion[row], valid[row] = maps[0], seen[0]
    done = torch.ones_like(moved.scene_motion_stored)
    return moved.with_tensors({"scene_motion": motion, "scene_motion_valid": valid, "scene_motion_stored": done})
