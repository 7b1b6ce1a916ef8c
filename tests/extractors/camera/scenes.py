"""Exact tracks of made-up scenes, for the tests of the camera backend."""

import numpy as np

from extractors.camera.tracks import Tracks
from extractors.geometry.rigid import invert, pose, rotation_from_vector

SIZE = (480, 360)


def room(count: int, seed: int) -> np.ndarray:
    """Points [count, 3] on a back wall, a side wall and a floor, 4 to 9 units before the origin (z forward)."""
    rng = np.random.default_rng(seed)
    points = rng.uniform((-4, -3, 4), (4, 2, 9), (count, 3))
    kind = np.arange(count) % 3
    points[kind == 0, 2] = 9
    points[kind == 1, 0] = 4
    points[kind == 2, 1] = 2
    return points


def path(length: int, shift: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """cam_to_world [length, 4, 4] from the identity to a shift and a rotation vector, at an uneven, smooth pace."""
    share = 0.5 - 0.5 * np.cos(np.linspace(0, np.pi, length))
    share = 0.7 * np.linspace(0, 1, length) + 0.3 * share
    return pose(rotation_from_vector(share[:, None] * turn), share[:, None] * shift)


def observe(
    points: np.ndarray, cam_to_world: np.ndarray, focal: np.ndarray, *, noise: float = 0.0, seed: int = 0
) -> Tracks:
    """What cameras of focal lengths [L] (pixels of SIZE) see of points [N, 3], each in its longest unbroken run."""
    local = np.einsum("lij,nj->lni", invert(cam_to_world)[:, :3, :3], points)
    local = local + invert(cam_to_world)[:, None, :3, 3]
    centre = (np.array(SIZE) - 1) / 2
    xy = focal[:, None, None] * local[..., :2] / local[..., 2:] + centre
    xy = xy + np.random.default_rng(seed).normal(0, noise, xy.shape) if noise else xy
    seen = (local[..., 2] > 0.1) & (xy > 0).all(-1) & (xy < np.array(SIZE) - 1).all(-1)
    runs = np.zeros_like(seen)
    for column in range(seen.shape[1]):
        edges = np.flatnonzero(np.diff(np.r_[0, seen[:, column].astype(int), 0]))
        if len(edges):
            start, end = max(zip(edges[::2], edges[1::2], strict=True), key=lambda run: run[1] - run[0])
            runs[start:end, column] = True
    xy[~runs] = np.nan
    return Tracks(xy, SIZE).select(runs.sum(axis=0) >= 3)


def dancer(length: int, count: int, seed: int) -> Tracks:
    """Tracks of something that moves by itself in the middle of the picture."""
    rng = np.random.default_rng(seed)
    home = rng.normal((SIZE[0] / 2, SIZE[1] / 2), (40, 70), (count, 2))
    phase, speed = rng.uniform(0, 6, (count, 2)), rng.uniform(0.1, 0.3, (count, 2))
    xy = home + 12 * np.sin(phase + speed * np.arange(length)[:, None, None])
    return Tracks(np.clip(xy, 1, np.array(SIZE) - 2), SIZE)


def together(*parts: Tracks) -> Tracks:
    return Tracks(np.concatenate([part.xy for part in parts], axis=1), parts[0].size)
