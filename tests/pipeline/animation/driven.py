"""A driving video of a known world, without stages: a camera that slides sideways past a plane."""

import numpy as np

from pipeline.animation.driving import Driving, DrivingClip

SIZE = (128, 128)
FOCAL, SLIDE, NEAR = 150.0, 0.1, 0.5


def clip(first: int, length: int, **changes: object) -> DrivingClip:
    poses = np.tile(np.eye(4), (length, 1, 1))
    poses[:, 0, 3] = SLIDE * np.arange(length)
    body = np.full((length, 1, 17, 3), 0.9, np.float32)
    body[..., :2] = np.random.default_rng(0).uniform(20, 100, (1, 1, 17, 2))
    body[:, :, :, 0] += np.arange(length)[:, None, None]
    settings = {
        "first": first,
        "body": body,
        "face": np.zeros((length, 0, 68, 3), np.float32),
        "hand": np.zeros((length, 0, 21, 3), np.float32),
        "cam_to_world": poses,
        "intrinsics": np.tile([FOCAL, FOCAL, 63.5, 63.5], (length, 1)),
        "inverse_depth": np.full((2, 16, 16), NEAR, np.float32),
        "camera": "moving",
        "motion": "ok",
        "person": True,
    }
    return DrivingClip(**(settings | changes))


def driving(*clips: DrivingClip, frames: int | None = None) -> Driving:
    last = max(c.first + len(c) for c in clips)
    return Driving(clips, SIZE, frames or last, 30.0, 0.0)
