"""Depth: inverse depth of the reference frames, by one of several backends."""

from typing import Annotated, ClassVar

import pyarrow as pa
from pydantic import Field

from extractors.depth.depth_anything import DepthAnythingClipConfig, DepthAnythingConfig
from extractors.depth.imported import ImportedDepth, ImportedDepthConfig
from extractors.depth.onnx import OnnxDepthConfig
from extractors.depth.reconstruction import ReconstructionDepthConfig
from extractors.protocols import DepthExtractor
from schemas.artifacts import camera as camera_schema
from schemas.artifacts import frames as frames_schema
from schemas.artifacts import pose as pose_schema
from schemas.artifacts.camera import CameraArtifact
from schemas.artifacts.depth import STAGE
from schemas.artifacts.frames import FramesArtifact
from schemas.artifacts.header import Header, read_header
from schemas.artifacts.pose import PoseArtifact
from schemas.clip import Clip
from schemas.config import FrozenConfig
from schemas.ids import reference_indices
from stages.base import Inputs, StageError
from stages.jpeg import decode_frames

DepthBackend = Annotated[
    ReconstructionDepthConfig | OnnxDepthConfig | DepthAnythingConfig | DepthAnythingClipConfig | ImportedDepthConfig,
    Field(discriminator="backend"),
]


class DepthConfig(FrozenConfig):
    """Which frames get a depth, and from what."""

    backend: DepthBackend = Field(default_factory=ReconstructionDepthConfig, description="Where depth comes from.")
    references: int = Field(2, ge=1, le=16, description="Reference frames of a clip, with depth and scene motion.")


class DepthStage:
    """Status "ok", or "plane" where a constant stands for an unknown depth (the quality figures tell more)."""

    name: ClassVar[str] = STAGE
    version: ClassVar[int] = 1

    def __init__(self, config: DepthConfig) -> None:
        self.config = config
        self._extract: DepthExtractor | ImportedDepth = config.backend.build()

    def run(self, clip: Clip, inputs: Inputs) -> pa.Table:
        """From decode and pose, and from camera where the backend needs it. Raises StageError where these do not
        belong together.
        """
        frames = FramesArtifact.from_table(inputs[frames_schema.STAGE])
        pose = PoseArtifact.from_table(inputs[pose_schema.STAGE])
        length = len(frames.jpegs)
        camera = None
        if self.config.backend.needs_camera:
            camera = CameraArtifact.from_table(inputs[camera_schema.STAGE])
            if len(camera.cam_to_world) != length:
                raise StageError(
                    f"clip {clip.clip_id}: {length} frames, but {len(camera.cam_to_world)} cameras: "
                    "make camera of this clip again"
                )
        if len(pose.mask) != length:
            raise StageError(
                f"clip {clip.clip_id}: {length} frames, but {len(pose.mask)} masks: make pose of this clip again"
            )
        references = reference_indices(clip.clip_id, length, self.config.references)
        if isinstance(self._extract, ImportedDepth):
            source_size = read_header(inputs[frames_schema.STAGE]).extra["source_size"]
            result = self._extract.for_clip(clip, frames, (source_size[0], source_size[1]), references)
        else:
            result = self._extract(decode_frames(frames), references, pose.mask, camera, seed=clip.seed(STAGE))
        return result.depth.to_table(Header(STAGE, clip.clip_id, result.status, result.quality))
