"""Pose: keypoints and the character mask of every frame."""

from dataclasses import replace
from typing import Annotated, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from extractors.camera.independent import independent_motion
from extractors.pose.mediapipe import MediaPipeConfig
from extractors.pose.rtmw import RtmwConfig
from extractors.pose.xpose import XPoseConfig
from extractors.protocols import PoseExtractor, PoseResult
from schemas.artifacts.frames import FramesArtifact
from schemas.artifacts.header import Header, finite_quality
from schemas.artifacts.pose import STAGE
from schemas.clip import Clip
from schemas.config import FrozenConfig
from stages.base import Inputs, StageError
from stages.blur import blur_figures
from stages.jpeg import decode_frames

PoseBackend = Annotated[MediaPipeConfig | XPoseConfig | RtmwConfig, Field(discriminator="backend")]


class PoseConfig(FrozenConfig):
    """Which backend finds the keypoints."""

    backend: PoseBackend = Field(default_factory=MediaPipeConfig, description="The backend that finds keypoints.")


class PoseStage:
    """FramesArtifact of "decode" in, PoseArtifact out. Status "ok"; "no_keypoints" where nobody could be read, but
    something moves by itself; or "no_person" where nobody is believed to be.

    Camera-only clips are looked through as well: somebody who walks through one must be masked. Where the backend finds
    nobody, the mask is what moves otherwise than the camera explains; `mask_from_motion`, the share of frames in which
    there is such, is recorded then. `blur` and `blur_worst` are recorded here because this stage sees frames whole.
    """

    name: ClassVar[str] = STAGE
    version: ClassVar[int] = 3

    def __init__(self, config: PoseConfig) -> None:
        self._extractor: PoseExtractor = config.backend.build()

    def run(self, clip: Clip, inputs: Inputs) -> pa.Table:
        """Raises StageError where frames do not decode or the clip has none."""
        frames = FramesArtifact.from_table(inputs["decode"])
        if not frames.jpegs:
            raise StageError(f"{clip.clip_id}: the decoded clip has no frames: decode it again")
        pictures = decode_frames(frames)
        found = self._extractor(pictures, fps=frames.fps, seed=clip.seed(STAGE))
        if found.status == "no_person":
            found = masked_by_motion(found, pictures, np.asarray(frames.repeated, bool))
        quality = found.quality | blur_figures(pictures)
        return found.pose.to_table(Header(STAGE, clip.clip_id, found.status, quality))


def masked_by_motion(found: PoseResult, pictures: np.ndarray, repeated: np.ndarray) -> PoseResult:
    """The result for uint8 RGB [L, H, W, 3] with the mask of what moves by itself, which it then says in its status.
    repeated [L]: frames that show what the one before shows.
    """
    fresh = ~repeated
    fresh[0] = True
    size = (found.pose.mask.shape[2], found.pose.mask.shape[1])
    mask = independent_motion(pictures[fresh], size)[np.cumsum(fresh) - 1]
    figures = finite_quality(mask_from_motion=mask.any(axis=(1, 2)).mean(), mask_area=mask.mean())
    status = "no_keypoints" if mask.any() else found.status
    return replace(found, pose=replace(found.pose, mask=mask), status=status, quality=found.quality | figures)
