"""Camera backend "imported": cameras that another program has found already (ViPE, COLMAP, TUM trajectories)."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from extractors.camera.foreign_files import Trajectory, read_colmap, read_tum, read_vipe
from extractors.camera.result import focal_pixels
from extractors.geometry.cameras import intrinsics_from_fov, rescale_intrinsics, window_intrinsics
from extractors.geometry.rigid import interpolate_poses, invert, relative_to_first, rotation_angle, transform_points
from extractors.geometry.trajectory import path_length
from extractors.imports import Template, place, stem
from extractors.protocols import CameraResult, ExtractionError
from schemas.artifacts.camera import CameraArtifact, SparseDepth
from schemas.artifacts.frames import FramesArtifact
from schemas.artifacts.header import finite_quality
from schemas.clip import Clip
from schemas.config import BackendConfig, Problem

MAX_POINTS = 4000
"""Points of known depth kept in a frame."""
STILL = 1e-6


class ImportedCameraConfig(BackendConfig):
    """Files of one program, one for each source video, found by a template."""

    keyless: ClassVar[frozenset[str]] = BackendConfig.keyless | {"template"}

    backend: Literal["imported"] = "imported"
    format: Literal["vipe", "colmap", "tum"] = Field("vipe", description="Which program's files these are.")
    template: Template = Field(
        "",
        description="Path with {stem} (the video's file name without its ending) or {source_id}. vipe: the results "
        "folder, whose files are named by the stem; colmap: a model folder; tum: a trajectory file.",
    )
    revision: int = Field(
        0, ge=0, description="Raise it when the files have changed: their content is not part of the artifact key."
    )
    frame_rate: float | None = Field(
        None,
        gt=0,
        description="Frames a second by which the program numbered them; None: the clip's rate. Not for tum.",
    )
    max_gap_s: float = Field(0.5, gt=0, description="Seconds between two known cameras that are interpolated at most.")
    metric: bool = Field(False, description="The program's unit is the metre.")
    max_distortion: float = Field(0.02, ge=0, description="colmap: radial distortion that is passed over.")
    assumed_fov_deg: float = Field(
        35.0,
        gt=5,
        lt=150,
        description="tum: field of view over the longer side where the manifest gives no focal length.",
    )
    max_side: int = Field(640, ge=128, description="Longer side, in pixels, at which frames are decoded.")

    def problem(self) -> Problem | None:
        if not self.template:
            return Problem(
                cause="no place of the imported cameras is configured",
                remedy="set camera.backend.template, for instance /results/vipe with format: vipe",
            )
        return None

    def build(self) -> "ImportedCamera":
        """Raises ExtractionError where `problem()` names one."""
        if problem := self.problem():
            raise ExtractionError(f"{problem.cause}: {problem.remedy}")
        return ImportedCamera(config=self)


@dataclass(frozen=True)
class Picture:
    """How the source's picture became the frame. source, frame: (width, height); crop: (x, y, width, height) in source
    pixels.
    """

    source: tuple[int, int]
    frame: tuple[int, int]
    crop: tuple[float, float, float, float]

    def intrinsics(self, values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Intrinsics [..., 4] for a whole source picture of `size`, as those of the frame."""
        return window_intrinsics(rescale_intrinsics(values, size, self.source), self.crop, self.frame)


class ImportedCamera:
    """Cameras of a clip from the file of its source."""

    def __init__(self, *, config: ImportedCameraConfig) -> None:
        self._config = config

    def for_clip(self, clip: Clip, frames: FramesArtifact, source_size: tuple[int, int]) -> CameraResult:
        """source_size: (width, height) of the source's displayed picture, pixels.

        Status "static", "rotation" or "moving" as the poses say. Raises ExtractionError where the file is absent or
        broken, or does not cover the clip.
        """
        config = self._config
        known = self._read(clip)
        at = known.at
        if config.format != "tum":
            rate = config.frame_rate or clip.fps[0] / clip.fps[1]
            at = clip.start_s + known.at / rate
        wanted = np.asarray(frames.timestamps, np.float64)
        nearest = np.abs(at[:, None] - wanted[None]).argmin(0)
        gap = self._gap(at, wanted)
        if gap > config.max_gap_s:
            raise ExtractionError(
                f"{clip.clip_id}: the imported cameras leave {gap:.2f} s of the clip uncovered (max_gap_s is "
                f"{config.max_gap_s}): they end at {at[-1]:.2f} s, the clip lasts from {wanted[0]:.2f} to "
                f"{wanted[-1]:.2f} s; check frame_rate"
            )
        world = interpolate_poses(at, known.cam_to_world, wanted)
        picture = Picture(source=source_size, frame=frames.size, crop=frames.crop)
        if known.intrinsics is None:
            focal = clip.focal
            source_focal = focal_pixels(source_size, focal, config.assumed_fov_deg)
            K = intrinsics_from_fov(2 * np.arctan(0.5 * source_size[1] / source_focal), source_size)
            intrinsics = np.tile(picture.intrinsics(K, source_size), (len(wanted), 1))
            source = "manifest" if focal is not None else "assumed"
        else:
            values = np.stack([np.interp(wanted, at, column) for column in known.intrinsics.T], -1)
            intrinsics, source = picture.intrinsics(values, known.size or source_size), "imported"
        camera = _classified(relative_to_first(world), intrinsics, source, metric=config.metric)
        if camera.status == "moving" and known.points:
            sparse = tuple(
                _project(known.points[nearest[i]], world[i], intrinsics[i], frames.size) for i in range(len(wanted))
            )
            camera = CameraArtifact(
                camera.status, camera.cam_to_world, intrinsics, sparse, camera.focal_source, camera.metric
            )
        exact = np.abs(at[nearest] - wanted) < 1e-3
        quality = finite_quality(
            imported_share=exact.mean(), points=float(np.mean([len(s.xy) for s in camera.sparse])), gap_s=gap
        )
        return CameraResult(camera, quality)

    def _read(self, clip: Clip) -> Trajectory:
        path = place(self._config.template, clip)
        if self._config.format == "vipe":
            return read_vipe(path / "pose" / f"{stem(clip)}.npz", path / "intrinsics" / f"{stem(clip)}.npz")
        if self._config.format == "colmap":
            return read_colmap(path, self._config.max_distortion)
        return read_tum(path)

    @staticmethod
    def _gap(at: np.ndarray, wanted: np.ndarray) -> float:
        """Longest time, in seconds, between known cameras around the wanted ones, or beyond the ends."""
        inside = at[(at >= wanted[0]) & (at <= wanted[-1])]
        before, after = at[at < wanted[0]], at[at > wanted[-1]]
        edges = [*([before[-1]] if len(before) else []), *inside, *([after[0]] if len(after) else [])]
        if not edges:
            return float(min(np.abs(at - wanted[0]).min(), np.abs(at - wanted[-1]).min()))
        outside = max(edges[0] - wanted[0], wanted[-1] - edges[-1], 0.0)
        return float(max(outside, np.diff(edges).max(initial=0.0)))


def _classified(cam_to_world: np.ndarray, intrinsics: np.ndarray, source: str, *, metric: bool) -> CameraArtifact:
    """The artifact with the status that the poses themselves show; exactly identity or without translation where they
    are nearly so.
    """
    turned = float(rotation_angle(cam_to_world[:, :3, :3]).max())
    zoomed = float(np.ptp(intrinsics[:, 0]) / intrinsics[0, 0])
    status = "moving"
    if path_length(cam_to_world) < STILL:
        cam_to_world = cam_to_world.copy()
        cam_to_world[:, :3, 3] = 0
        status = "rotation"
        if turned < STILL and zoomed < STILL:
            cam_to_world[:] = np.eye(4)
            intrinsics, status = np.tile(intrinsics[0], (len(intrinsics), 1)), "static"
    nothing = SparseDepth(np.zeros((0, 2), np.float32), np.zeros(0, np.float32))
    return CameraArtifact(status, cam_to_world, intrinsics, (nothing,) * len(cam_to_world), source, metric)


def _project(
    points: np.ndarray, cam_to_world: np.ndarray, intrinsics: np.ndarray, size: tuple[int, int]
) -> SparseDepth:
    """World points [P, 3] as points of known depth in a frame: those in front and inside, at most MAX_POINTS."""
    there = transform_points(invert(cam_to_world), points)
    there = there[there[:, 2] > 1e-9]
    xy = there[:, :2] / there[:, 2:] * intrinsics[:2] + intrinsics[2:]
    inside = ((xy >= -0.5) & (xy < np.array(size) - 0.5)).all(-1)
    step = max(1, -(-int(inside.sum()) // MAX_POINTS))
    return SparseDepth(xy[inside][::step].astype(np.float32), (1 / there[inside, 2])[::step].astype(np.float32))
