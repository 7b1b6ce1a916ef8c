"""Whether cameras and sparse depths from elsewhere explain what point tracks show."""

from dataclasses import dataclass

import numpy as np

from extractors.camera.tracks import Tracks
from schemas.artifacts.camera import CameraArtifact

GAP = 4
"""Frames between the two views of a point."""


@dataclass(frozen=True)
class TrackCheck:
    """share: of the tracked points that land within the limit of where they were seen; NaN where none could be
    compared. error: median distance in frame pixels.
    """

    share: float
    error: float


def explained_share(tracks: Tracks, camera: CameraArtifact, size: tuple[int, int]) -> TrackCheck:
    """Moves each tracked point with the depth of the nearest sparse point into the camera GAP frames later.

    size: of the frames (W, H). The limit is 1 % of the width; points farther than 2 % from any of known depth are left
    out.
    """
    from scipy.spatial import cKDTree

    scale = np.array(size) / np.array(tracks.size)
    distances = []
    for first in range(0, max(0, len(tracks.xy) - GAP), GAP):
        second = first + GAP
        both = tracks.seen[first] & tracks.seen[second]
        sparse = camera.sparse[first]
        if not both.any() or not len(sparse.xy):
            continue
        seen, wanted = ((tracks.xy[i][both] + 0.5) * scale - 0.5 for i in (first, second))
        away, nearest = cKDTree(sparse.xy).query(seen)
        near = away < 0.02 * size[0]
        inverse = sparse.inverse_depth[nearest[near]].astype(np.float64)
        K, later = camera.intrinsics[first], camera.intrinsics[second]
        rays = np.concatenate([(seen[near] - K[2:]) / K[:2], np.ones((int(near.sum()), 1))], -1)
        moved = np.linalg.inv(camera.cam_to_world[second]) @ camera.cam_to_world[first]
        there = rays @ moved[:3, :3].T + moved[:3, 3] * inverse[:, None]
        front = there[:, 2] > 1e-6
        landed = there[front, :2] / there[front, 2:] * later[:2] + later[2:]
        distances.append(np.linalg.norm(landed - wanted[near][front], axis=-1))
        distances.append(np.full(int((~front).sum()), np.inf))
    if not distances or not sum(map(len, distances)):
        return TrackCheck(float("nan"), float("nan"))
    joined = np.concatenate(distances)
    return TrackCheck(float((joined < 0.01 * size[0]).mean()), float(np.median(joined)))
