"""Pose: keypoints and the character mask of every frame."""

from typing import Annotated, ClassVar

import pyarrow as pa
from pydantic import Field

from extractors.pose.mediapipe import MediaPipeConfig
from extractors.pose.rtmw import RtmwConfig
from extractors.pose.xpose import XPoseConfig
from extractors.protocols import PoseExtractor
from schemas.artifacts.frames import FramesArtifact
from schemas.artifacts.header import Header
from schemas.artifacts.pose import STAGE
from schemas.clip import Clip
from schemas.config import FrozenConfig
from stages.base import Inputs, StageError
from stages.jpeg import decode_frames

PoseBackend = Annotated[MediaPipeConfig | XPoseConfig | RtmwConfig, Field(discriminator="backend")]


class PoseConfig(FrozenConfig):
    """Which backend finds the keypoints."""

    backend: PoseBackend = Field(default_factory=MediaPipeConfig, description="The backend that finds keypoints.")


class PoseStage:
    """FramesArtifact of "decode" in, PoseArtifact out. Status "ok", or "no_person" where nobody is believed to be.

    Camera-only clips are looked through as well: somebody who walks through one must be masked.
    """

    name: ClassVar[str] = STAGE
    version: ClassVar[int] = 1

    def __init__(self, config: PoseConfig) -> None:
        self._extractor: PoseExtractor = config.backend.build()

    def run(self, clip: Clip, inputs: Inputs) -> pa.Table:
        """Raises StageError where frames do not decode or the clip has none."""
        frames = FramesArtifact.from_table(inputs["decode"])
        if not frames.jpegs:
            raise StageError(f"{clip.clip_id}: the decoded clip has no frames: decode it again")
        found = self._extractor(decode_frames(frames), fps=frames.fps, seed=clip.seed(STAGE))
        return found.pose.to_table(Header(STAGE, clip.clip_id, found.status, found.quality))
