"""Camera backend "droid": DROID-SLAM (arXiv 2108.10869), what the paper used; on CUDA, or slowly on a CPU.

A motion classifier decides first: a still camera, or one that only turns, is answered without SLAM, whose frontend
would never start on it. Moving cameras go to upstream's own code with the characters blanked and masked; `terminate()`
runs its global bundle adjustment and gives every frame a pose. The result is checked against point tracks.
"""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import cv2
import numpy as np
from pydantic import Field

from extractors.camera.backend import SfmCameraConfig, track_clip
from extractors.camera.classify import without_translation
from extractors.camera.droid_output import (
    CELL,
    NOTHING,
    PACKAGES,
    Keyframes,
    Thresholds,
    Tracker,
    TrackerRun,
    WorkingSize,
    cameras_from_poses,
    sparse_depths,
    transforms,
)
from extractors.camera.result import focal_pixels
from extractors.camera.track_check import explained_share
from extractors.devices import cuda_problem
from extractors.geometry.rigid import invert, relative_to_first, rotation_angle
from extractors.geometry.trajectory import path_length
from extractors.protocols import CameraResult, ExtractionError
from extractors.weights.store import located, missing_weights
from schemas.artifacts.camera import CameraArtifact
from schemas.artifacts.header import finite_quality
from schemas.config import BackendConfig, Problem

if TYPE_CHECKING:
    from extractors.camera.tracks import Tracks


class DroidCameraConfig(BackendConfig):
    """Upstream's thresholds under its own names; the defaults are those of its demo."""

    keyless: ClassVar[frozenset[str]] = BackendConfig.keyless | {"source", "checkpoint"}

    backend: Literal["droid"] = "droid"
    source: Path | None = Field(
        None, description="Built checkout of princeton-vl/DROID-SLAM; None: the weights folder."
    )
    checkpoint: Path | None = Field(None, description="droid.pth; None: the weights folder.")
    pixels: int = Field(
        384 * 512,
        ge=128 * 128,
        description="Pixels of a picture as the tracker sees it; its correlations need 128 along the shorter side.",
    )
    max_side: int = Field(1024, ge=128, description="Longer side, in pixels, at which frames are decoded.")
    beta: float = Field(0.3, ge=0, le=1, description="Weight of translation against rotation in the flow distance.")
    filter_thresh: float = Field(2.4, gt=0, description="Mean flow, in cells, that makes a keyframe.")
    warmup: int = Field(8, ge=6, description="Keyframes before the tracker starts.")
    keyframe_thresh: float = Field(4.0, gt=0, description="Flow distance below which a keyframe is dropped again.")
    frontend_thresh: float = Field(16.0, gt=0, description="Flow distance within which keyframes are linked at first.")
    backend_thresh: float = Field(22.0, gt=0, description="Flow distance within which keyframes are linked at last.")
    retries: int = Field(2, ge=0, le=4, description="Times the keyframe thresholds are halved where too few came.")
    stride: int = Field(2, ge=1, description="Cells between the points of known depth that are stored.")
    min_explained: float = Field(
        0.4, ge=0, le=1, description="Share of tracked points that poses and depth must explain to be believed."
    )
    device: Literal["cuda", "cpu"] = Field(
        "cuda", description="cpu: torch operations in place of upstream's kernels, minutes a clip; for trying it out."
    )
    classifier: SfmCameraConfig = Field(
        default_factory=SfmCameraConfig, description="Tracks, field of view and limits of the motion classifier."
    )

    def source_folder(self) -> Path:
        return located(self.source, "droid-slam-source")

    def checkpoint_file(self) -> Path:
        return located(self.checkpoint, "droid-slam/droid.pth")

    def weights(self) -> tuple[Path, ...]:
        """Checkpoint and upstream's Python code: both decide the output."""
        return (self.checkpoint_file(), *sorted((self.source_folder() / "droid_slam").rglob("*.py")))

    def problem(self) -> Problem | None:
        from importlib.util import find_spec

        if self.device == "cuda" and (problem := cuda_problem(backend="droid")):
            return problem
        if not (self.source_folder() / "droid_slam" / "droid.py").is_file():
            return Problem(
                cause=f"{self.source_folder()} is no checkout of DROID-SLAM",
                remedy="clone github.com/princeton-vl/DROID-SLAM with its submodules, build it, and set `source` to it",
            )
        if self.device == "cuda" and (missing := [name for name in PACKAGES if find_spec(name) is None]):
            return Problem(
                cause=f"DROID-SLAM is not built in this environment: {', '.join(missing)} not installed",
                remedy="build it in an environment of its own, named in run.camera.runtime_env (docs/backends.md)",
            )
        return missing_weights((self.checkpoint_file(),), "droid-slam")

    def thresholds(self) -> Thresholds:
        return Thresholds(
            beta=self.beta,
            filter_thresh=self.filter_thresh,
            warmup=self.warmup,
            keyframe_thresh=self.keyframe_thresh,
            frontend_thresh=self.frontend_thresh,
            backend_thresh=self.backend_thresh,
        )

    def build(self) -> "DroidCamera":
        """Raises ExtractionError where `problem()` names one."""
        if problem := self.problem():
            raise ExtractionError(f"{problem.cause}: {problem.remedy}")
        from extractors.camera.droid_upstream import UpstreamTracker

        tracker = UpstreamTracker(source=self.source_folder(), checkpoint=self.checkpoint_file(), device=self.device)
        return DroidCamera(tracker=tracker, config=self)


class DroidCamera:
    """Fits `extractors.protocols.CameraExtractor`. Two runs differ as much as upstream's CUDA kernels do."""

    def __init__(self, *, tracker: Tracker, config: DroidCameraConfig) -> None:
        self._tracker, self._config = tracker, config

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
        """Status "static" or "rotation" from the classifier, else "moving", or "unsolved" where the tracker got too few
        keyframes, gave no finite pose, or its result does not explain the tracks.
        """
        if len(mask) != len(frames) or frames.ndim != 4:
            raise ExtractionError(f"the mask has {len(mask)} frames, the clip {len(frames)}: extract the pose again")
        config, frame_size = self._config, (frames.shape[2], frames.shape[1])
        tracks = track_clip(frames, mask, config.classifier, principal)
        if (simple := without_translation(tracks, frame_size, config.classifier, focal)) is not None:
            return simple
        size = WorkingSize.of(frame_size, config.pixels)
        pictures, blanked = blank(frames, mask, size)
        pixels = focal_pixels(frame_size, focal, config.classifier.assumed_fov_deg)
        K = np.array([pixels, pixels, *(principal or ((frame_size[0] - 1) / 2, (frame_size[1] - 1) / 2))])
        run = self._track(pictures, blanked, size.intrinsics(K))
        quality = finite_quality(keyframes=len(run.keyframes), blanked_share=blanked.mean())
        camera = CameraArtifact(
            status="unsolved",
            cam_to_world=np.tile(np.eye(4), (len(frames), 1, 1)),
            intrinsics=np.tile(K, (len(frames), 1)),
            sparse=(NOTHING,) * len(frames),
            focal_source="manifest" if focal is not None else "assumed",
        )
        if run.poses is None or len(run.poses) != len(frames) or not np.isfinite(run.poses).all():
            return CameraResult(camera, quality)
        return self._judged(camera, run, blanked, size, tracks, quality)

    def _track(self, pictures: np.ndarray, blanked: np.ndarray, intrinsics: np.ndarray) -> TrackerRun:
        """A run; where it got too few keyframes to start, more of them are asked for."""
        thresholds = self._config.thresholds()
        for _ in range(self._config.retries):
            run = self._tracker(pictures, blanked, intrinsics, thresholds)
            if run.poses is not None:
                return run
            thresholds = replace(
                thresholds,
                filter_thresh=thresholds.filter_thresh / 2,
                keyframe_thresh=thresholds.keyframe_thresh / 2,
            )
        return self._tracker(pictures, blanked, intrinsics, thresholds)

    def _judged(
        self,
        camera: CameraArtifact,
        run: TrackerRun,
        blanked: np.ndarray,
        size: WorkingSize,
        tracks: "Tracks",
        quality: dict[str, float],
    ) -> CameraResult:
        assert run.poses is not None
        poses = cameras_from_poses(run.poses)
        keyframes = Keyframes(
            frames=run.keyframes, disparity=run.disparity, intrinsics=size.intrinsics(camera.intrinsics[0])
        )
        sparse = sparse_depths(poses, keyframes, blanked, size, stride=self._config.stride)
        check = explained_share(tracks, replace(camera, cam_to_world=poses, sparse=sparse), size.frame)
        # Both describe the keyframes' cameras, in opposite directions: they agree unless a convention is broken.
        relative = cameras_from_poses(run.poses[run.keyframes])
        keyed = relative_to_first(invert(transforms(run.keyframe_poses)))
        apart = rotation_angle(np.swapaxes(relative[:, :3, :3], 1, 2) @ keyed[:, :3, :3])
        quality |= finite_quality(
            explained_share=check.share,
            explained_error_px=check.error,
            keyframe_disagreement_deg=float(np.degrees(apart.max())),
            points=float(np.mean([len(s.xy) for s in sparse])),
        )
        if not check.share >= self._config.min_explained or path_length(poses) <= 0:
            return CameraResult(camera, quality)
        return CameraResult(replace(camera, status="moving", cam_to_world=poses, sparse=sparse), quality)


def blank(frames: np.ndarray, mask: np.ndarray, size: WorkingSize) -> tuple[np.ndarray, np.ndarray]:
    """The tracker's pictures, uint8 [L, h, w, 3], black on the mask (grown by 1.5 % of the width, since outlines are
    rough), and bool [L, h / 8, w / 8], True for cells that touch it.
    """
    width, height = size.cut
    radius = max(1, round(0.015 * width))
    kernel = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    pictures = np.empty((len(frames), height, width, 3), np.uint8)
    blanked = np.zeros((len(frames), height // CELL, width // CELL), bool)
    for number, frame in enumerate(frames):
        interpolation = cv2.INTER_AREA if size.scaled[0] < size.frame[0] else cv2.INTER_LINEAR
        pictures[number] = cv2.resize(frame, size.scaled, interpolation=interpolation)[:height, :width]
        if mask[number].any():
            grown = cv2.resize(mask[number].astype(np.uint8), size.scaled, interpolation=cv2.INTER_NEAREST)
            grown = cv2.dilate(grown, kernel)[:height, :width] > 0
            pictures[number][grown] = 0
            blanked[number] = grown.reshape(height // CELL, CELL, width // CELL, CELL).any((1, 3))
    return pictures, blanked
