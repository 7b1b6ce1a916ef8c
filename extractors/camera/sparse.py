"""Points of known depth for cameras that were given (an MMD camera track, an import) instead of solved for."""

import numpy as np

from extractors.camera.tracks import Tracks
from extractors.geometry.cameras import rescale_intrinsics
from extractors.geometry.rigid import invert
from extractors.geometry.triangulation import triangulate
from schemas.artifacts.camera import CameraArtifact, SparseDepth

LIMIT_PIXELS = 2.0
"""Of a picture 512 wide: an observation farther from its point than this is not explained."""
LEAST_FRAMES = 5
LEAST_ANGLE_DEG = 0.5
"""Widest angle between the rays of a point: half a pixel of noise is a tenth of it at common focal lengths."""


def sparse_points(tracks: Tracks, camera: CameraArtifact, size: tuple[int, int]) -> tuple[SparseDepth, ...]:
    """Points of known depth in every frame, for cameras that were given and not solved for: in the cameras' own unit,
    as a solver leaves them behind. Empty where tracks and cameras contradict each other.

    size: (width, height) of the frames that the camera's intrinsics belong to, and of the points' pixels.
    """
    lenses = rescale_intrinsics(camera.intrinsics, size, tracks.size)[:, None]
    rays = (tracks.xy - lenses[..., 2:]) / lenses[..., :2]
    world_to_cam = invert(camera.cam_to_world)
    limit = LIMIT_PIXELS * max(tracks.size) / 512
    used = tracks.seen & (tracks.seen.sum(axis=0) >= LEAST_FRAMES)
    points, depth = np.zeros((used.shape[1], 3)), np.zeros(used.shape)
    for _ in range(3):
        points = triangulate(rays, world_to_cam, used)
        local = np.einsum("lij,nj->lni", world_to_cam[:, :3, :3], points) + world_to_cam[:, None, :3, 3]
        depth = local[..., 2]
        with np.errstate(divide="ignore", invalid="ignore"):
            error = np.linalg.norm((local[..., :2] / depth[..., None] - rays) * lenses[..., :2], axis=-1)
            used = used & (error < limit) & (depth > 0)
        used &= used.sum(axis=0) >= LEAST_FRAMES
    used &= _widest_angle(points, camera.cam_to_world[:, :3, 3], used) > LEAST_ANGLE_DEG
    scale = np.array(size) / np.array(tracks.size)
    return tuple(
        SparseDepth(
            ((tracks.xy[i, seen] + 0.5) * scale - 0.5).astype(np.float32), (1 / depth[i, seen]).astype(np.float32)
        )
        for i, seen in enumerate(used)
    )


def _widest_angle(points: np.ndarray, centres: np.ndarray, used: np.ndarray) -> np.ndarray:
    """Widest angle [N], degrees, between the first ray of each point and its others."""
    rays = points - centres[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        rays = rays / np.linalg.norm(rays, axis=-1, keepdims=True)
        first = rays[used.argmax(axis=0), np.arange(used.shape[1])]
        angles = 2 * np.arcsin(np.clip(np.linalg.norm(rays - first, axis=-1) / 2, 0, 1))
    return np.degrees(np.where(used, angles, 0.0).max(axis=0))
