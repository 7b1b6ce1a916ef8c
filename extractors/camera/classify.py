"""Deciding whether a camera moves at all, before a SLAM system is asked: a still or turning one never starts it."""

from extractors.camera.backend import SfmCameraConfig
from extractors.camera.motion_model import lasting, stillness, without_model
from extractors.camera.result import fixed_centre, focal_pixels, unturned
from extractors.camera.rotation import fit_rotation
from extractors.camera.tracks import Tracks
from extractors.protocols import CameraResult
from schemas.artifacts.header import finite_quality


def without_translation(
    tracks: Tracks, size: tuple[int, int], config: SfmCameraConfig, focal: float | None
) -> CameraResult | None:
    """The cameras of a clip whose camera rests or turns about its centre, or "unsolved" where nothing can be tracked;
    None where the camera moves, or may.

    tracks: of the clip. size: of its frames (W, H), pixels. focal: known focal length over the width, or None.
    """
    kept = lasting(tracks)
    still = stillness(kept)
    working = focal_pixels(kept.size, focal, config.assumed_fov_deg)
    source = "manifest" if focal is not None else "assumed"
    quality = finite_quality(tracks=kept.xy.shape[1], still_share=still.share, still_coverage=still.coverage)

    if (status := without_model(kept, still)) is not None:
        return CameraResult(unturned(status, working, kept, size, source), quality)
    limit = kept.size[0] / 512
    turning = fit_rotation(kept, focal=working, zoom=False, fix_focal=focal is not None, limit=limit)
    if turning is None or turning.explained < config.rotation_share:
        return None
    camera = fixed_centre("rotation", turning.rotation, turning.focal, kept, size, source)
    figures = finite_quality(rotation_explained=turning.explained, rotation_error_px=turning.error)
    return CameraResult(camera, quality | figures)
