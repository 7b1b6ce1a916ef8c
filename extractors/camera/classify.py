"""Deciding whether a camera moves at all, before a SLAM system is asked: a still or turning one never starts it."""

import numpy as np

from extractors.camera.backend import SfmCameraConfig
from extractors.camera.motion_model import stillness
from extractors.camera.result import fixed_centre
from extractors.camera.rotation import fit_rotation
from extractors.camera.tracks import Tracks
from extractors.protocols import CameraResult
from schemas.artifacts.header import finite_quality


def focal_pixels(size: tuple[int, int], focal: float | None, fov_deg: float) -> float:
    """Focal length in pixels of a picture of `size` (width, height): `focal` (over the width), or from an assumed field
    of view (degrees) over the longer side.
    """
    return focal * size[0] if focal is not None else max(size) / 2 / float(np.tan(np.radians(fov_deg / 2)))


def without_translation(
    tracks: Tracks, size: tuple[int, int], config: SfmCameraConfig, focal: float | None
) -> CameraResult | None:
    """The cameras of a clip whose camera rests or turns about its centre, or "unsolved" where nothing can be tracked;
    None where the camera moves, or may.

    tracks: of the clip. size: of its frames (W, H), pixels. focal: known focal length over the width, or None.
    """
    length = len(tracks.xy)
    kept = tracks.select(tracks.seen.sum(axis=0) >= min(5, length))
    still = stillness(kept)
    working = focal_pixels(kept.size, focal, config.assumed_fov_deg)
    source = "manifest" if focal is not None else "assumed"
    quality = finite_quality(tracks=kept.xy.shape[1], still_share=still.share, still_coverage=still.coverage)

    def resting(status: str) -> CameraResult:
        still_rotation = np.tile(np.eye(3), (length, 1, 1))
        camera = fixed_centre(status, still_rotation, np.full(length, working), kept, size, source)
        return CameraResult(camera, quality)

    if length == 1 or still.static:
        return resting("static")
    if kept.seen.sum(axis=1).min() < 8:
        return resting("unsolved")
    limit = kept.size[0] / 512
    turning = fit_rotation(kept, focal=working, zoom=False, fix_focal=focal is not None, limit=limit)
    if turning is None or turning.explained < config.rotation_share:
        return None
    camera = fixed_centre("rotation", turning.rotation, turning.focal, kept, size, source)
    figures = finite_quality(rotation_explained=turning.explained, rotation_error_px=turning.error)
    return CameraResult(camera, quality | figures)
