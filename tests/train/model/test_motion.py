import dataclasses

import numpy as np
import torch

from tests.train.tiny import random_batch, tiny_config
from train.model.motion import camera_guidance, optical_flow, plucker_rays


def test_scene_motion_in_latent_cells() -> None:
    batch = random_batch([0, 1], frames=3)
    guidance = camera_guidance(batch, tiny_config())
    assert guidance is not None
    torch.testing.assert_close(guidance, batch.scene_motion / 8)
    assert camera_guidance(batch, tiny_config(motion="none")) is None


def test_plucker_rays_pass_through_points_seen_by_the_camera() -> None:
    """A point p lies on the ray of moment m and direction d exactly where p × d = m (with m = o × d)."""
    batch = random_batch([0], frames=2)
    reference = torch.eye(4, dtype=torch.float64)
    angle = 0.3
    reference[:3, :3] = torch.tensor([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    reference[:3, 3] = torch.tensor([1.0, 2.0, 3.0])
    batch = dataclasses.replace(batch, reference_cam_to_world=reference[None])
    rays = plucker_rays(batch)[0].double()
    assert rays.shape == (2, 6, 16, 16)
    fx, fy, cx, cy = batch.intrinsics[0, 1]
    row, column, depth = 5, 11, 7.0
    u, v = (column + 0.5) * 8 - 0.5, (row + 0.5) * 8 - 0.5
    local = torch.stack([(u - cx) / fx * depth, (v - cy) / fy * depth, torch.tensor(depth), torch.tensor(1.0)])
    point = (torch.linalg.inv(reference) @ batch.cam_to_world[0, 1] @ local.double())[:3]
    moment, direction = rays[1, :3, row, column], rays[1, 3:, row, column]
    torch.testing.assert_close(torch.linalg.cross(point, direction), moment, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(direction.norm(), torch.tensor(1.0, dtype=torch.float64), rtol=1e-6, atol=1e-6)


def test_flow_of_a_shifted_texture() -> None:
    random = np.random.default_rng(0)
    import cv2

    texture = cv2.GaussianBlur(random.integers(0, 256, (160, 160, 3), np.uint8), (0, 0), 2)
    frames = np.stack([texture[16 : 16 + 128, 16 : 16 + 128], texture[18 : 18 + 128, 13 : 13 + 128]])
    flow = optical_flow(torch.from_numpy(frames).permute(0, 3, 1, 2)[None], factor=8)
    assert flow.shape == (1, 2, 2, 16, 16)
    assert not flow[0, 0].any()
    torch.testing.assert_close(
        flow[0, 1].median(dim=-1).values.median(dim=-1).values, torch.tensor([3.0, -2.0]), rtol=0, atol=0.3
    )
