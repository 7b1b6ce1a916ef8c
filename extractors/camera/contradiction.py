"""Whether given cameras (a camera track, an import) are those of the picture."""

import numpy as np

from extractors.camera.rotation import DRIFT
from extractors.camera.tracks import Tracks
from extractors.geometry.cameras import intrinsics_matrix, rescale_intrinsics
from extractors.geometry.rigid import invert
from schemas.artifacts.camera import CameraArtifact

GAPS = (1, 3, 9)
LIMIT_PIXELS = 1.5
"""Of a picture 512 wide."""
REST = 1e-6
"""Share of the camera's path within which it stays in place between two frames."""


def contradiction(tracks: Tracks, camera: CameraArtifact, size: tuple[int, int]) -> float:
    """Share of tracked points that the cameras cannot explain, 0 to 1, at the gap between frames where it is largest.

    A point may lie at any depth where the camera moves (distance to its epipolar line, both ways, Sampson), and has one
    place where it does not, between two frames or at all (homography). size: (width, height) of the frames that the
    intrinsics belong to. 0 where nothing is tracked.
    """
    K = intrinsics_matrix(rescale_intrinsics(camera.intrinsics, size, tracks.size))
    world_to_cam = invert(camera.cam_to_world)
    limit = LIMIT_PIXELS * max(tracks.size) / 512
    rest = REST * float(np.linalg.norm(np.diff(camera.cam_to_world[:, :3, 3], axis=0), axis=1).sum())
    worst = 0.0
    for gap in GAPS:
        first, column = np.nonzero(tracks.seen[:-gap] & tracks.seen[gap:])
        if len(first) < 50:
            continue
        p, q = (np.insert(tracks.xy[frame, column], 2, 1.0, axis=1) for frame in (first, first + gap))
        between = world_to_cam[gap:] @ camera.cam_to_world[:-gap]
        rotation, translation = between[:, :3, :3], between[:, :3, 3]
        homography = K[gap:] @ rotation @ np.linalg.inv(K[:-gap])
        there = np.einsum("pij,pj->pi", homography[first], p)
        distance = np.linalg.norm(there[:, :2] / there[:, 2:] - q[:, :2], axis=1)
        if camera.status == "moving":
            epipole = np.einsum("lij,lj->li", K[gap:], translation)
            along = _sampson(p, q, _cross(epipole)[first] @ homography[first])
            distance = np.where(np.linalg.norm(translation, axis=1)[first] > rest, along, distance)
        worst = max(worst, float((distance > limit * (1 + DRIFT * gap)).mean()))
    return worst


def _sampson(p: np.ndarray, q: np.ndarray, fundamental: np.ndarray) -> np.ndarray:
    """First-order distance in pixels of pairs p, q [P, 3] from their epipolar geometry qᵀ F p = 0, F [P, 3, 3]."""
    line, back = np.einsum("pij,pj->pi", fundamental, p), np.einsum("pij,pi->pj", fundamental, q)
    slope = (line[:, :2] ** 2).sum(axis=1) + (back[:, :2] ** 2).sum(axis=1)
    return np.abs((q * line).sum(axis=1)) / np.sqrt(np.maximum(slope, 1e-30))


def _cross(v: np.ndarray) -> np.ndarray:
    """Matrices [L, 3, 3] of the cross product with v [L, 3]."""
    zero = np.zeros(len(v))
    x, y, z = v.T
    return np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=1).reshape(-1, 3, 3)
