"""Measures one clip's artifacts afresh, whatever the stages said of themselves. No thresholds here."""

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from scipy.stats import spearmanr

from extractors.geometry.alignment import sample_map
from extractors.geometry.scene_motion import scene_motion
from pipeline.checks.hashing import frame_hash
from pipeline.storage import Storage
from pipeline.work import artifact_path, digest
from schemas.artifacts.camera import CameraArtifact
from schemas.artifacts.frames import FramesArtifact
from schemas.artifacts.header import finite_quality, read_header
from schemas.artifacts.pose import PoseArtifact
from schemas.artifacts.scene_motion import SceneMotionArtifact
from stages.warp import warp_check

VERSION = 1
"""Raise by one whenever the same artifacts give other figures."""
MEASURED_STAGES = ("decode", "pose", "camera", "scene_motion")
HASHED_FRAMES = 5
_LEAST_POINTS = 20  # points below which a rank correlation says nothing


@dataclass(frozen=True)
class Measurement:
    """Figures of one clip, and hashes (32 bytes each) of frames spread over it. `key` names what was measured."""

    key: str
    clip_id: str
    source_id: str
    figures: dict[str, float]
    hashes: tuple[bytes, ...]

    def row(self) -> dict[str, Any]:
        """As a row of the catalog."""
        return {
            "key": self.key,
            "clip_id": self.clip_id,
            "source_id": self.source_id,
            "figures": json.dumps(self.figures, sort_keys=True),
            "hashes": " ".join(h.hex() for h in self.hashes),
            "created_s": time.time(),
        }


def measurement_key(keys: Mapping[str, str]) -> str:
    """Identity of a measurement: the artifacts that it reads and this module's version."""
    return digest("measure", str(VERSION), *(keys[stage] for stage in MEASURED_STAGES))


def measurement_of_row(row: Mapping[str, Any]) -> Measurement:
    """A row of the catalog back as a record."""
    hashes = tuple(bytes.fromhex(part) for part in row["hashes"].split())
    figures = {sys.intern(name): value for name, value in json.loads(row["figures"]).items()}  # one name for all clips
    return Measurement(row["key"], row["clip_id"], row["source_id"], figures, hashes)


def measure(storage: Storage, clip_id: str, source_id: str, keys: Mapping[str, str]) -> Measurement:
    """Reads decode, pose, camera and scene motion of a clip and measures them. Raises StorageError or ArtifactError."""
    tables = {stage: storage.read_table(artifact_path(stage, keys[stage])) for stage in MEASURED_STAGES}
    frames = FramesArtifact.from_table(tables["decode"])
    pose = PoseArtifact.from_table(tables["pose"])
    camera = CameraArtifact.from_table(tables["camera"])
    motion = SceneMotionArtifact.from_table(tables["scene_motion"])
    figures = {
        **keypoint_figures(pose, frames.size),
        **camera_figures(camera, motion, frames.size),
        **depth_figures(camera, motion, frames.size),
    }
    if camera.status != "unsolved" and read_header(tables["scene_motion"]).extra.get("compat") != "published":
        figures |= motion_figures(camera, motion, frames.size)
        figures |= _warp_figures(frames, pose, camera, motion)
    return Measurement(measurement_key(keys), clip_id, source_id, figures, _hashes(frames))


def keypoint_figures(pose: PoseArtifact, size: tuple[int, int]) -> dict[str, float]:
    """keypoints_in_frame: share of the found points (all parts) that lie inside the frame."""
    points = np.concatenate([part.reshape(-1, 3) for part in (pose.body, pose.face, pose.hand)])
    points = points[points[:, 2] > 0]
    inside = (points[:, :2] >= -0.5).all(1) & (points[:, :2] <= np.array(size) - 0.5).all(1)
    return finite_quality(keypoints_in_frame=inside.mean() if len(points) else None)


def camera_figures(camera: CameraArtifact, motion: SceneMotionArtifact, size: tuple[int, int]) -> dict[str, float]:
    """How evenly the camera moves, as it shows on screen at the scene's median distance.

    camera_jerk: largest change of the picture centre's motion from one frame to the next, as a share of the frame's
    width. camera_orthonormal: largest error of RᵀR against the identity.
    """
    R, centres = camera.cam_to_world[:, :3, :3], camera.cam_to_world[:, :3, 3]
    error = np.abs(R.transpose(0, 2, 1) @ R - np.eye(3)).max()
    if len(R) < 3:
        return finite_quality(camera_orthonormal=error)
    near = float(np.median(motion.inverse_depth.astype(np.float64)))
    focal = camera.intrinsics[:-1, :1]
    turn = np.einsum("lji,lj->li", R[:-1], R[1:, :, 2])  # the next view's axis, seen from this one
    step = np.einsum("lji,lj->li", R[:-1], np.diff(centres, axis=0))
    speed = focal * (turn[:, :2] + step[:, :2] * near)
    zoom = 0.5 * size[0] * (np.log(camera.intrinsics[1:, 0] / camera.intrinsics[:-1, 0]) + step[:, 2] * near)
    change = np.hypot(np.linalg.norm(np.diff(speed, axis=0), axis=1), np.diff(zoom))
    return finite_quality(camera_orthonormal=error, camera_jerk=change.max() / size[0])


def depth_figures(camera: CameraArtifact, motion: SceneMotionArtifact, size: tuple[int, int]) -> dict[str, float]:
    """depth_rank: rank correlation (Spearman) of the reference maps with the solver's points, the worst reference's."""
    ranks = []
    for number, frame in enumerate(motion.references):
        sparse = camera.sparse[frame]
        if len(sparse.inverse_depth) >= _LEAST_POINTS:
            values = sample_map(motion.inverse_depth[number].astype(np.float32), sparse.xy, size)
            if np.ptp(values) > 0 and np.ptp(sparse.inverse_depth) > 0:
                ranks.append(float(spearmanr(values, sparse.inverse_depth).statistic))
    return finite_quality(depth_rank=min(ranks) if ranks else None)


def motion_figures(camera: CameraArtifact, motion: SceneMotionArtifact, size: tuple[int, int]) -> dict[str, float]:
    """motion_mismatch_px: largest distance between the stored maps and the maps that the stored cameras and depth give.

    It is the rounding of float16 where they belong together, and pixels where they do not.
    """
    maps, valid = scene_motion(
        torch.from_numpy(motion.inverse_depth.astype(np.float32)),
        torch.tensor(camera.cam_to_world),
        torch.tensor(camera.intrinsics),
        size,
        motion.frame_step,
    )
    both = valid.numpy() & motion.valid
    apart = np.linalg.norm(maps.numpy() - motion.motion.astype(np.float32), axis=2)
    disagree = (valid.numpy() != motion.valid).mean()
    return finite_quality(motion_mismatch_px=apart[both].max() if both.any() else None, valid_mismatch=disagree)


def _warp_figures(
    frames: FramesArtifact, pose: PoseArtifact, camera: CameraArtifact, motion: SceneMotionArtifact
) -> dict[str, float]:
    """warp_gain: grey difference left after the warp, over the one before it (below 1 the motion explains the picture).

    static_change: the difference before the warp, grey levels, of the background at the references; under a camera that
    is said to be static it must be small.
    """
    near = motion.inverse_depth.astype(np.float32)
    found = warp_check(frames, pose.mask, camera, motion.references, near, motion.frame_step)
    if not found:
        return {}
    if camera.status == "static":
        return {"static_change": found["still_error"]}
    return finite_quality(
        warp_error_grey=found["warp_error"],
        still_error_grey=found["still_error"],
        warp_gain=found["warp_error"] / max(found["still_error"], 1e-6),
    )


def _hashes(frames: FramesArtifact) -> tuple[bytes, ...]:
    chosen = np.unique(np.linspace(0, len(frames.jpegs) - 1, HASHED_FRAMES).round().astype(int))
    pictures = (cv2.imdecode(np.frombuffer(frames.jpegs[i], np.uint8), cv2.IMREAD_REDUCED_COLOR_2) for i in chosen)
    found = (frame_hash(picture[:, :, ::-1].copy()) for picture in pictures if picture is not None)
    return tuple(h for h in found if h)
