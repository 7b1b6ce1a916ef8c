"""The embedded camera backend: still, turning, or moving, in this order; the simplest that explains the clip wins."""

from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from typing import ClassVar, Literal

import cv2
import numpy as np
from pydantic import Field

from extractors.camera.motion_model import lasting, stillness, without_model
from extractors.camera.result import fixed_centre, focal_pixels, moving, unturned
from extractors.camera.rotation import RotationFit, fit_rotation
from extractors.camera.search import Found, Rival, Search
from extractors.camera.sfm import Solver
from extractors.camera.tracks import Tracks, track_points, working_pictures
from extractors.protocols import CameraResult, ExtractionError
from schemas.artifacts.camera import CameraArtifact
from schemas.artifacts.header import finite_quality
from schemas.config import BackendConfig, Problem

MOST = 0.6


class SfmCameraConfig(BackendConfig):
    """Structure from motion on the CPU, after simpler models have failed (pycolmap on point tracks)."""

    version: ClassVar[int] = 2
    keyless: ClassVar[frozenset[str]] = BackendConfig.keyless | {"solver_hang_s"}

    backend: Literal["sfm"] = "sfm"
    max_side: int = Field(640, ge=128, description="Longer side, in pixels, of the pictures that are tracked.")
    live_tracks: int = Field(500, ge=50, description="Points followed at any time.")
    key_step: int = Field(3, ge=1, description="Frames between the keyframes that the mappers place.")
    assumed_fov_deg: float = Field(
        35.0, gt=5, lt=150, description="Field of view over the longer side where the clip does not reveal it, degrees."
    )
    rotation_share: float = Field(
        0.9, gt=0.5, le=1, description="Share of tracked pairs that a turning camera must explain to be accepted."
    )
    solver_cpu_s: int = Field(60, ge=5, description="Processor seconds one attempt of the solver may take.")
    solver_hang_s: float = Field(900.0, gt=0, description="Seconds on the clock after which the solver counts as hung.")

    def problem(self) -> Problem | None:
        missing = [name for name in ("pycolmap", "scipy") if find_spec(name) is None]
        if missing:
            return Problem(cause=f"{', '.join(missing)} not installed", remedy="pip install 'mikudance[pipeline]'")
        return None

    def build(self) -> "SfmCamera":
        return SfmCamera(config=self)


class SfmCamera:
    """Cameras of a clip from its pictures alone (extractors.protocols.CameraExtractor)."""

    def __init__(self, *, config: SfmCameraConfig) -> None:
        self.config = config
        self.solver = Solver(noise=0.5, cpu_s=config.solver_cpu_s, hang_s=config.solver_hang_s)

    def __call__(
        self,
        frames: np.ndarray,
        mask: np.ndarray,
        *,
        fps: float,
        focal: float | None,
        principal: tuple[float, float] | None = None,
        seed: int,
    ) -> CameraResult:
        """See CameraExtractor. Neither fps nor seed matters: no choice here is random. Raises ExtractionError for a
        clip and mask that do not belong together.
        """
        if len(mask) != len(frames) or frames.ndim != 4:
            raise ExtractionError(f"the mask has {len(mask)} frames, the clip {len(frames)}: extract the pose again")
        tracks = track_clip(frames, mask, self.config, principal)
        return _Judge(self.config, self.solver, tracks, (frames.shape[2], frames.shape[1]), focal).decide()


def track_clip(
    frames: np.ndarray, mask: np.ndarray, config: SfmCameraConfig, principal: tuple[float, float] | None = None
) -> Tracks:
    """Tracks of a clip, in working pixels; the same on every machine, since one thread makes them. principal: see
    CameraExtractor.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        greys, masks, _ = working_pictures(frames, mask, config.max_side)
        tracks = track_points(greys, masks, live=config.live_tracks)
    finally:
        cv2.setNumThreads(threads)
    if principal is None:
        return tracks
    x, y = (np.array(principal) + 0.5) * np.array(tracks.size) / (frames.shape[2], frames.shape[1]) - 0.5
    return replace(tracks, principal=(float(x), float(y)))


class _Judge:
    """One clip's way through the models."""

    def __init__(
        self, config: SfmCameraConfig, solver: Solver, tracks: Tracks, size: tuple[int, int], focal: float | None
    ) -> None:
        self.config, self.solver, self.size = config, solver, size
        self.tracks = lasting(tracks)
        self.known = focal is not None
        self.focal = focal_pixels(tracks.size, focal, config.assumed_fov_deg)
        self.focal_source = "manifest" if self.known else "assumed"
        self.quality = finite_quality(tracks=self.tracks.xy.shape[1], tracks_live=float(self.tracks.seen.sum(1).mean()))

    def decide(self) -> CameraResult:
        still = stillness(self.tracks)
        self.quality |= finite_quality(still_share=still.share, still_coverage=still.coverage)
        status = without_model(self.tracks, still)
        if status == "static":
            return self._fixed(status, moving_background=1 - still.share)
        if status is not None:
            return self._fixed(status)
        turning = self._turning()
        if turning is not None and turning.explained >= self.config.rotation_share:
            return self._rotation(turning)
        zoom = turning.focal / turning.focal[0] if turning is not None and turning.zoom > 1.03 else None
        search = Search(self.solver, self.focal, self.known, self.config.key_step, zoom)
        found = search.run(self.tracks) if len(self.tracks.xy) >= 6 else Found(None, 0, 0)
        self.quality |= finite_quality(
            hypotheses_tried=found.tried,
            hypotheses_killed=found.killed,
            hypotheses_believable=found.believable,
            rivals_apart_deg=found.apart,
        )
        if turning is not None and self._turning_will_do(turning, found):
            return self._rotation(turning)
        return self._fixed("unsolved") if found.best is None else self._moving(found.best)

    def _turning_will_do(self, turning: RotationFit, found: Found) -> bool:
        """A camera that turns explains most of the clip (something large moves in front of it), and a reconstruction,
        free as it is, explains hardly more, or not the same twice.
        """
        if turning.explained < MOST:
            return False
        if found.best is None:
            return True
        gain = found.best.evidence.explained - turning.explained
        return gain < 0.15 or (gain < 0.3 and found.apart > 3.0)

    def _turning(self) -> RotationFit | None:
        """The rotating camera that explains the clip; its focal length changes only where a constant one fails."""
        limit = self.tracks.size[0] / 512
        fit = partial(fit_rotation, self.tracks, focal=self.focal, fix_focal=self.known, limit=limit)
        free = fit(zoom=True)
        if free is None:
            return None
        self.quality |= finite_quality(rotation_explained=free.explained, rotation_error_px=free.error, zoom=free.zoom)
        if free.explained < self.config.rotation_share:
            return free
        constant = fit(zoom=False)
        if constant is not None and constant.explained > free.explained - 0.02 and constant.error < free.error + 0.1:
            return constant
        return free

    def _fixed(self, status: str, **quality: float) -> CameraResult:
        camera = unturned(status, self.focal, self.tracks, self.size, self.focal_source)
        return self._result(camera, **quality)

    def _rotation(self, fit: RotationFit) -> CameraResult:
        source = self.focal_source if self.known or fit.focal_deviation > 0.15 else "rotation"
        camera = fixed_centre("rotation", fit.rotation, fit.focal, self.tracks, self.size, source)
        return self._result(
            camera,
            reprojection_error_px=fit.error * self.size[0] / self.tracks.size[0],
            focal_log_deviation=fit.focal_deviation,
            zoom=fit.zoom,
            moving_background=1 - fit.explained,
        )

    def _moving(self, best: Rival) -> CameraResult:
        evidence = best.evidence
        camera = moving(best.solution, self.size, "reconstruction" if best.observed else self.focal_source)
        return self._result(
            camera,
            reprojection_error_px=evidence.error * self.size[0] / 512,
            inlier_share=evidence.explained,
            weakest_frame=evidence.weakest,
            moving_background=1 - evidence.explained,
            parallax_deg=evidence.parallax,
            roughness=evidence.roughness,
            loss=evidence.loss,
            registered_share=best.solution.registered,
            focal_log_deviation=best.deviation,
            zoom=float(best.solution.focal.max() / best.solution.focal.min()),
        )

    def _result(self, camera: CameraArtifact, **quality: float) -> CameraResult:
        figures = self.quality | finite_quality(focal_px=camera.intrinsics[0, 0], **quality)
        return CameraResult(camera, figures)
