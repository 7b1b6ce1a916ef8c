"""Camera: a pose and intrinsics for every frame, from the clip's camera track if it has one, else from the picture."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from extractors.camera.backend import SfmCameraConfig, track_clip
from extractors.camera.contradiction import contradiction
from extractors.camera.droid import DroidCameraConfig
from extractors.camera.imported import ImportedCamera, ImportedCameraConfig
from extractors.camera.sparse import sparse_points
from extractors.camera.vmd import parse_camera_track, track_cameras
from extractors.geometry.cameras import rescale_intrinsics, window_intrinsics
from extractors.protocols import CameraExtractor, CameraResult
from schemas.artifacts.camera import STAGE, CameraArtifact, SparseDepth
from schemas.artifacts.frames import FramesArtifact
from schemas.artifacts.header import Header, finite_quality, read_header
from schemas.artifacts.pose import PoseArtifact
from schemas.clip import Clip
from schemas.config import FrozenConfig
from stages.base import Inputs, StageError
from stages.jpeg import decode_frames, scaled_size

CameraBackend = Annotated[SfmCameraConfig | DroidCameraConfig | ImportedCameraConfig, Field(discriminator="backend")]


class CameraConfig(FrozenConfig):
    """Where cameras come from."""

    backend: CameraBackend = Field(default_factory=SfmCameraConfig, description="What finds cameras in the picture.")
    use_camera_track: bool = Field(
        True, description="Take the cameras of a clip that has an MMD camera track from the track, not the picture."
    )


class CameraStage:
    """FramesArtifact of "decode" and PoseArtifact of "pose" (its mask) in, CameraArtifact out, whose status is the
    artifact's. Frames that repeat the one before have its camera.
    """

    name: ClassVar[str] = STAGE
    version: ClassVar[int] = 3

    def __init__(self, config: CameraConfig) -> None:
        self.config = config
        self._extractor: CameraExtractor | ImportedCamera = config.backend.build()

    def run(self, clip: Clip, inputs: Inputs) -> pa.Table:
        """Raises StageError where the inputs do not belong together, ExtractionError for a broken camera track."""
        frames = FramesArtifact.from_table(inputs["decode"])
        mask = PoseArtifact.from_table(inputs["pose"]).mask
        if not frames.jpegs or len(mask) != len(frames.jpegs):
            raise StageError(
                f"{clip.clip_id}: {len(frames.jpegs)} frames but {len(mask)} masks: run decode and pose again"
            )
        stored = read_header(inputs["decode"]).extra.get("source_size")
        if stored is None:
            raise StageError(f"{clip.clip_id}: the frames do not say how large the source's picture is: decode again")
        source_size = (int(stored[0]), int(stored[1]))
        fresh = ~np.asarray(frames.repeated, bool)
        fresh[0] = True
        small = scaled_size(frames.size, self.config.backend.max_side)
        pictures = decode_frames(frames, self.config.backend.max_side)
        if self.config.use_camera_track and clip.camera_track is not None:
            given = self._from_track(clip, frames, source_size)
            result = self._compared(given, pictures, mask, fresh, frames.size)
        elif isinstance(self._extractor, ImportedCamera):
            result = self._extractor.for_clip(clip, frames, source_size)
            if result.camera.status == "moving" and not any(len(points.xy) for points in result.camera.sparse):
                result = self._compared(result, pictures, mask, fresh, frames.size)
        else:
            # The manifest speaks of the source's picture; the frame may be a part of it.
            focal = clip.focal * source_size[0] / frames.crop[2] if clip.focal is not None else None
            middle = np.array([1.0, 1.0, (source_size[0] - 1) / 2, (source_size[1] - 1) / 2])
            x, y = window_intrinsics(middle, frames.crop, small)[2:]
            found = self._extractor(
                pictures[fresh], mask[fresh], fps=frames.fps, focal=focal, principal=(x, y), seed=clip.seed(STAGE)
            )
            whole = rescaled(found.camera, small, frames.size)
            result = CameraResult(subset(whole, np.cumsum(fresh) - 1), found.quality)
        quality = result.quality | finite_quality(repeated_share=1 - fresh.mean())
        return result.camera.to_table(Header(STAGE, clip.clip_id, result.camera.status, quality))

    def _compared(
        self, given: CameraResult, pictures: np.ndarray, mask: np.ndarray, fresh: np.ndarray, size: tuple[int, int]
    ) -> CameraResult:
        """Cameras that came without points, with those that the picture shows under them, by which depth gets their
        unit; and whether the picture moves as they say.
        """
        tracks = track_clip(pictures[fresh], mask[fresh], _tracking(self.config.backend))
        shown = subset(given.camera, np.flatnonzero(fresh))
        quality = given.quality | finite_quality(track_contradiction=contradiction(tracks, shown, size))
        if given.camera.status != "moving":
            return CameraResult(given.camera, quality)
        sparse = sparse_points(tracks, shown, size)
        quality |= finite_quality(points=float(np.mean([len(points.xy) for points in sparse])))
        latest = np.cumsum(fresh) - 1
        return CameraResult(replace(given.camera, sparse=tuple(sparse[row] for row in latest)), quality)

    def _from_track(self, clip: Clip, frames: FramesArtifact, source_size: tuple[int, int]) -> CameraResult:
        assert clip.camera_track is not None
        path = Path(clip.camera_track)
        try:
            track = parse_camera_track(path.read_bytes(), path.name)
        except OSError as error:
            raise StageError(
                f"{clip.clip_id}: camera track {path}: {error.strerror}: put it back, or ingest again"
            ) from error
        camera = track_cameras(
            track,
            frames.timestamps - clip.start_s,
            size=frames.size,
            source_size=source_size,
            crop=frames.crop,
            offset_s=clip.camera_track_offset_s,
        )
        return CameraResult(camera, finite_quality(focal_px=camera.intrinsics[0, 0]))


def _tracking(backend: CameraBackend) -> SfmCameraConfig:
    """The settings by which points are tracked."""
    if isinstance(backend, SfmCameraConfig):
        return backend
    return backend.classifier if isinstance(backend, DroidCameraConfig) else SfmCameraConfig()


def subset(camera: CameraArtifact, rows: np.ndarray) -> CameraArtifact:
    """The cameras of the frames `rows` [M] (indices, repeats allowed)."""
    return CameraArtifact(
        status=camera.status,
        cam_to_world=camera.cam_to_world[rows],
        intrinsics=camera.intrinsics[rows],
        sparse=tuple(camera.sparse[row] for row in rows),
        focal_source=camera.focal_source,
        metric=camera.metric,
    )


def rescaled(camera: CameraArtifact, size: tuple[int, int], new_size: tuple[int, int]) -> CameraArtifact:
    """The cameras of the same pictures resized from `size` (width, height) to `new_size`."""
    scale = np.array(new_size, np.float64) / np.array(size, np.float64)
    return CameraArtifact(
        status=camera.status,
        cam_to_world=camera.cam_to_world,
        intrinsics=rescale_intrinsics(camera.intrinsics, size, new_size),
        sparse=tuple(
            SparseDepth(((s.xy + 0.5) * scale - 0.5).astype(np.float32), s.inverse_depth) for s in camera.sparse
        ),
        focal_source=camera.focal_source,
        metric=camera.metric,
    )
