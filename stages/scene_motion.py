"""Scene motion: aligned depth and cameras in, the motion of the reference's points out, on the latent grid."""

from typing import ClassVar, Literal

import cv2
import numpy as np
import pyarrow as pa
from pydantic import Field

from extractors.geometry.alignment import (
    CONSTANT,
    NO_INFLUENCE,
    UNCHANGED,
    AlignmentConfig,
    DepthAlignment,
    align_references,
    sample_map,
)
from extractors.geometry.trajectory import path_length
from schemas.artifacts import camera as camera_schema
from schemas.artifacts import depth as depth_schema
from schemas.artifacts import frames as frames_schema
from schemas.artifacts import pose as pose_schema
from schemas.artifacts.camera import CameraArtifact
from schemas.artifacts.depth import DepthArtifact
from schemas.artifacts.frames import FramesArtifact
from schemas.artifacts.header import Header, finite_quality
from schemas.artifacts.pose import PoseArtifact
from schemas.artifacts.scene_motion import STAGE, SceneMotionArtifact
from schemas.clip import Clip
from schemas.config import FrozenConfig
from schemas.ids import frame_step
from stages.base import Inputs, StageError
from stages.warp import resize_map, warp_check

CELL = 8  # frame pixels of a latent cell
FLOAT16_MAX = 65504.0


class SceneMotionConfig(FrozenConfig):
    """How scene motion is made."""

    frame_step: int = Field(3, ge=1, description="Frames between the two cameras of a map; reduced for short clips.")
    window: int = Field(24, ge=2, description="Frames of a training window, which the step must leave room for.")
    compat: Literal["paper", "published"] = Field(
        "paper",
        description="paper: frame pixels, true cameras. published: the maps of the published code, for its weights.",
    )
    alignment: AlignmentConfig = Field(default_factory=AlignmentConfig, description="Depth to camera scale.")


class SceneMotionStage:
    """Status: "static" (the camera rests, motion is exactly 0), "rotation" (depth has no influence), "ok", "unaligned"
    (the camera moves, but a reference's scale is a guess: `alignment` in the header's extra says which) or "no_camera"
    (the camera is unsolved: motion 0, nowhere valid). With compat "published", motion is in the published code's unit.
    """

    name: ClassVar[str] = STAGE
    version: ClassVar[int] = 1

    def __init__(self, config: SceneMotionConfig) -> None:
        self.config = config

    def run(self, clip: Clip, inputs: Inputs) -> pa.Table:
        """From decode, pose, camera and depth. Raises StageError where these do not belong together."""
        frames = FramesArtifact.from_table(inputs[frames_schema.STAGE])
        pose = PoseArtifact.from_table(inputs[pose_schema.STAGE])
        camera = CameraArtifact.from_table(inputs[camera_schema.STAGE])
        depth = DepthArtifact.from_table(inputs[depth_schema.STAGE])
        length = len(frames.jpegs)
        if len(camera.cam_to_world) != length or len(pose.mask) != length or max(depth.references) >= length:
            raise StageError(
                f"clip {clip.clip_id}: {length} frames, but {len(camera.cam_to_world)} cameras, {len(pose.mask)} masks "
                f"and references {depth.references}: make camera, pose and depth of this clip again"
            )
        alignments = self._align(clip, frames.size, pose, camera, depth)
        step = frame_step(length, self.config.frame_step, self.config.window)
        grid = (frames.size[0] // CELL, frames.size[1] // CELL)
        near = np.stack([a.apply(d) for a, d in zip(alignments, depth.inverse_depth, strict=True)])
        aligned = np.stack([resize_map(d, grid) for d in near])
        stored = np.minimum(aligned, FLOAT16_MAX).astype(np.float16)
        motion, valid = self._motion(stored, camera, frames.size, step)
        overflow = np.abs(motion).max(2) > FLOAT16_MAX
        artifact = SceneMotionArtifact(
            references=depth.references,
            frame_step=step,
            motion=np.clip(motion, -FLOAT16_MAX, FLOAT16_MAX).astype(np.float16),
            valid=valid & ~overflow,
            inverse_depth=stored,
        )
        status = {"unsolved": "no_camera", "static": "static", "rotation": "rotation"}.get(
            camera.status, "ok" if all(a.reliable for a in alignments) else "unaligned"
        )
        quality = self._motion_quality(artifact) | _alignment_quality(alignments)
        quality |= finite_quality(
            parallax=_parallax(camera, aligned, pose.mask[list(depth.references)]),
            depth_filled_share=depth.filled.mean(),
            depth_infinite_share=(aligned == 0).mean(),
            overflow_share=overflow.mean(),
        )
        if status not in ("static", "no_camera") and self.config.compat == "paper":
            quality |= warp_check(frames, pose.mask, camera, depth.references, near, step)
        extra = {"compat": self.config.compat, "alignment": [a.status for a in alignments]}
        return artifact.to_table(Header(STAGE, clip.clip_id, status, quality, extra))

    def _align(
        self, clip: Clip, size: tuple[int, int], pose: PoseArtifact, camera: CameraArtifact, depth: DepthArtifact
    ) -> tuple[DepthAlignment, ...]:
        if camera.status != "moving":
            return (NO_INFLUENCE,) * len(depth.references)
        if depth.kind == "camera" or (depth.kind == "metric" and camera.metric):
            return tuple(CONSTANT if filled.all() else UNCHANGED for filled in depth.filled)
        network, points, background = [], [], []
        for number, frame in enumerate(depth.references):
            sparse = camera.sparse[frame]
            # A mask cell that touches the character is left out whole: the depth there is a mixture of both.
            covered = cv2.dilate(pose.mask[frame].astype(np.float32), np.ones((3, 3)))
            filled = depth.filled[number].astype(np.float32)
            free = (sample_map(covered, sparse.xy, size) < 0.01) & (sample_map(filled, sparse.xy, size) < 0.01)
            network.append(sample_map(depth.inverse_depth[number], sparse.xy, size)[free])
            points.append(sparse.inverse_depth[free])
            background.append(float(np.median(depth.inverse_depth[number])))
        return align_references(
            network,
            points,
            kind=depth.kind,
            path=path_length(camera.cam_to_world),
            median=float(np.median(background)),
            config=self.config.alignment,
            seed=clip.seed("alignment"),
        )

    def _motion(
        self, inverse_depth: np.ndarray, camera: CameraArtifact, size: tuple[int, int], step: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Float32 [R, L, 2, h, w] and bool [R, L, h, w], from the depth as it is stored (float16), so that a trainer
        that computes a map again from the sample gets the same one.
        """
        import torch  # here, not above: commands that only read the configuration start in half the time without it

        from extractors.geometry.published import published_scene_motion
        from extractors.geometry.scene_motion import scene_motion

        shape = (len(inverse_depth), len(camera.cam_to_world), *inverse_depth.shape[1:])
        if camera.status == "unsolved":
            return np.zeros((*shape[:2], 2, *shape[2:]), np.float32), np.zeros(shape, bool)
        depth, cams = torch.tensor(inverse_depth), torch.tensor(camera.cam_to_world)
        if self.config.compat == "published":
            return published_scene_motion(depth.float(), cams, step).numpy(), np.ones(shape, bool)
        motion, valid = scene_motion(depth, cams, torch.tensor(camera.intrinsics), size, step)
        return motion.numpy(), valid.numpy()

    def _motion_quality(self, artifact: SceneMotionArtifact) -> dict[str, float]:
        later = slice(min(artifact.frame_step, artifact.motion.shape[1] - 1), None)
        valid = artifact.valid[:, later]
        length = np.linalg.norm(artifact.motion[:, later].astype(np.float32), axis=2)[valid]
        median, high = np.percentile(length, [50, 95]) if length.size else (0.0, 0.0)
        if self.config.compat == "published":
            return finite_quality(valid_share=valid.mean(), motion_median_published=median, motion_p95_published=high)
        return finite_quality(
            valid_share=valid.mean(),
            motion_median_px=median,
            motion_p95_px=high,
            motion_median_cells=median / CELL,
            motion_p95_cells=high / CELL,
        )


def _alignment_quality(alignments: tuple[DepthAlignment, ...]) -> dict[str, float]:
    """Scale and shift of each reference, and the worst of the figures that say how good the fits are."""
    quality = finite_quality(
        alignment_points=min(a.points for a in alignments),
        alignment_inliers=min(a.inliers for a in alignments) if all(a.points for a in alignments) else None,
        alignment_residual=np.max([a.residual for a in alignments]),  # NaN, and left out, without points
        alignment_contrast=np.min([a.contrast for a in alignments]),
    )
    for number, alignment in enumerate(alignments):
        quality |= {
            f"alignment_scale_{number}": alignment.scale,
            f"alignment_shift_{number}": alignment.shift,
        }
    return quality


def _parallax(camera: CameraArtifact, aligned: np.ndarray, masks: np.ndarray) -> float | None:
    """How far the camera goes, over the background's median distance; None where that is not known."""
    if camera.status != "moving":
        return 0.0 if camera.status != "unsolved" else None
    centres = camera.cam_to_world[:, :3, 3]
    grid = (aligned.shape[2], aligned.shape[1])
    background = np.stack([cv2.resize(m.astype(np.float32), grid) < 0.01 for m in masks])
    values = aligned[background] if background.any() else aligned
    return float(np.linalg.norm(centres - centres[0], axis=1).max() * np.median(values))
