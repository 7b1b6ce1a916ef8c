"""From working pixels to the artifact: cameras relative to the first frame, intrinsics and points in frame pixels."""

import numpy as np

from extractors.camera.sfm import Solution
from extractors.camera.tracks import Tracks
from extractors.geometry.cameras import rescale_intrinsics
from extractors.geometry.rigid import pose, relative_to_first
from schemas.artifacts.camera import CameraArtifact, SparseDepth

NOTHING = SparseDepth(np.zeros((0, 2), np.float32), np.zeros(0, np.float32))


def intrinsics(focal: np.ndarray, tracks: Tracks, size: tuple[int, int]) -> np.ndarray:
    """float64 [L, 4] in pixels of `size` (width, height) for focal lengths [L] in the pixels of the tracks."""
    x, y = tracks.centre
    working = np.stack([focal, focal, np.full_like(focal, x), np.full_like(focal, y)], axis=1)
    return rescale_intrinsics(working, tracks.size, size)


def focal_pixels(size: tuple[int, int], focal: float | None, fov_deg: float) -> float:
    """Focal length in pixels of a picture of `size` (width, height): `focal` (over the width), or from an assumed field
    of view (degrees) over the longer side.
    """
    return focal * size[0] if focal is not None else max(size) / 2 / float(np.tan(np.radians(fov_deg / 2)))


def unturned(status: str, focal: float, tracks: Tracks, size: tuple[int, int], focal_source: str) -> CameraArtifact:
    """Cameras that all stand as the first: "static", or "unsolved" for want of others. See `fixed_centre`."""
    length = len(tracks.xy)
    still = np.tile(np.eye(3), (length, 1, 1))
    return fixed_centre(status, still, np.full(length, focal), tracks, size, focal_source)


def fixed_centre(
    status: str,
    rotation: np.ndarray,
    focal: np.ndarray,
    tracks: Tracks,
    size: tuple[int, int],
    focal_source: str,
) -> CameraArtifact:
    """Cameras without translation: "static", "rotation" or "unsolved". rotation: world_to_cam [L, 3, 3]; focal: [L] in
    the pixels of the tracks; size: (width, height) of the frames.
    """
    cam_to_world = pose(np.swapaxes(rotation, -1, -2), np.zeros((len(rotation), 3)))
    cam_to_world[0] = np.eye(4)
    return CameraArtifact(
        status=status,
        cam_to_world=cam_to_world,
        intrinsics=intrinsics(focal, tracks, size),
        sparse=(NOTHING,) * len(rotation),
        focal_source=focal_source,
    )


def moving(solution: Solution, size: tuple[int, int], focal_source: str) -> CameraArtifact:
    """Cameras of a reconstruction, scaled so that the median depth in the first frame is 1: the unit is arbitrary, and
    this one keeps numbers comparable from clip to clip.
    """
    depth = solution.in_cameras()[..., 2]
    unit = float(np.median(depth[0, solution.used[0]])) if solution.used[0].any() else float(np.nanmedian(depth))
    cam_to_world = relative_to_first(solution.cam_to_world)
    cam_to_world[:, :3, 3] /= unit
    scale = np.array(size) / np.array(solution.tracks.size)
    sparse = tuple(
        SparseDepth(
            ((solution.tracks.xy[i, used] + 0.5) * scale - 0.5).astype(np.float32),
            (unit / depth[i, used]).astype(np.float32),
        )
        for i, used in enumerate(solution.used)
    )
    return CameraArtifact(
        status="moving",
        cam_to_world=cam_to_world,
        intrinsics=intrinsics(solution.focal, solution.tracks, size),
        sparse=sparse,
        focal_source=focal_source,
    )
