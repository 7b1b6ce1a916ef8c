"""Stylise: pairs of frames of a clip, styled side by side in one picture so that both get one style.

The paper (§3.4, mixed data) styles a reference and a target together for the first training stage: the character and
the scene change their look, the motion between the two frames stays.
"""

from typing import Annotated, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from extractors.protocols import Stylizer
from extractors.style.consistency import pair_disagreement
from extractors.style.multistyle import MultistyleConfig
from extractors.style.opencv import OpencvStyleConfig
from extractors.style.sdxl import SdxlConfig
from schemas.artifacts.frames import FramesArtifact
from schemas.artifacts.header import Header, finite_quality
from schemas.artifacts.style import STAGE, StyleArtifact, StylePair
from schemas.clip import Clip
from schemas.config import FrozenConfig
from schemas.ids import reference_indices
from stages.base import Inputs, StageError
from stages.jpeg import decode_frames, encode_jpeg

StyleBackend = Annotated[OpencvStyleConfig | MultistyleConfig | SdxlConfig, Field(discriminator="backend")]


class StylizeConfig(FrozenConfig):
    """Which frames are paired, and how they are styled."""

    pairs: int = Field(1, ge=0, le=16, description="Stylised pairs a character clip.")
    camera_pairs: int = Field(0, ge=0, le=16, description="Stylised pairs a camera-only clip.")
    references: int = Field(
        2,
        ge=1,
        description="Reference frames that a pair takes its own from: the clip's, up to depth.references.",
    )
    min_distance: int = Field(
        8, ge=1, description="Frames between reference and target at least, where the clip allows."
    )
    jpeg_quality: int = Field(95, ge=50, le=100, description="Quality of the styled JPEGs.")
    backend: StyleBackend = Field(default_factory=OpencvStyleConfig, description="The backend that draws.")


class StylizeStage:
    """FramesArtifact of "decode" in, StyleArtifact out. Status "ok", or "none" where no pair was wanted or possible.

    Quality `pair_disagreement`: mean over the pairs (extractors.style.consistency); the header's extra holds the
    backend's settings.
    """

    name: ClassVar[str] = STAGE
    version: ClassVar[int] = 1

    def __init__(self, config: StylizeConfig) -> None:
        self._config = config
        self._stylizer: Stylizer = config.backend.build()

    def run(self, clip: Clip, inputs: Inputs) -> pa.Table:
        """Raises StageError where the backend returns a picture of another size, or frames do not decode."""
        wanted = self._config.pairs if clip.kind == "character" else self._config.camera_pairs
        frames = FramesArtifact.from_table(inputs["decode"])
        made = [self._pair(clip, frames, number) for number in range(wanted if len(frames.jpegs) > 1 else 0)]
        disagreements = [disagreement for _, disagreement in made if disagreement is not None]
        quality = finite_quality(pair_disagreement=float(np.mean(disagreements)) if disagreements else None)
        header = Header(
            STAGE,
            clip.clip_id,
            "ok" if made else "none",
            quality,
            extra={"settings": self._config.backend.key_params()} if made else {},
        )
        return StyleArtifact(tuple(pair for pair, _ in made)).to_table(header)

    def _pair(self, clip: Clip, frames: FramesArtifact, number: int) -> tuple[StylePair, float | None]:
        seed = clip.seed(STAGE, number)
        reference, target = choose_frames(
            clip.clip_id,
            len(frames.jpegs),
            references=self._config.references,
            min_distance=self._config.min_distance,
            rng=np.random.default_rng(seed),
        )
        originals = _decode_frame(frames, reference), _decode_frame(frames, target)
        side_by_side = np.hstack(originals)
        styled, style = self._stylizer(side_by_side, seed=seed)
        if styled.shape != side_by_side.shape or styled.dtype != np.uint8:
            raise StageError(
                f"{clip.clip_id}: style backend {self._config.backend.backend!r} returned {styled.dtype} "
                f"{list(styled.shape)} for a pair of uint8 {list(side_by_side.shape)}: choose another backend"
            )
        first, second = (
            np.ascontiguousarray(styled[:, : frames.size[0]]),
            np.ascontiguousarray(styled[:, frames.size[0] :]),
        )
        pair = StylePair(
            reference_index=reference,
            target_index=target,
            style=style,
            seed=seed,
            reference_jpeg=encode_jpeg(first, self._config.jpeg_quality),
            target_jpeg=encode_jpeg(second, self._config.jpeg_quality),
        )
        return pair, pair_disagreement(*originals, (first, second))


def choose_frames(
    clip_id: str, length: int, *, references: int, min_distance: int, rng: np.random.Generator
) -> tuple[int, int]:
    """(reference, target) frame indices of a clip of at least two frames.

    The reference is one of the clip's reference frames; the target lies `min_distance` frames away or more, or is the
    farthest frame where the clip is too short for that.
    """
    reference = int(rng.choice(reference_indices(clip_id, length, references)))
    distance = np.abs(np.arange(length) - reference)
    targets = np.flatnonzero(distance >= min(min_distance, int(distance.max())))
    return reference, int(rng.choice(targets))


def _decode_frame(frames: FramesArtifact, index: int) -> np.ndarray:
    """One frame, uint8 RGB [H, W, 3]."""
    one = FramesArtifact(
        jpegs=frames.jpegs[index : index + 1],
        timestamps=frames.timestamps[index : index + 1],
        repeated=frames.repeated[index : index + 1],
        fps=frames.fps,
        size=frames.size,
        crop=frames.crop,
    )
    return decode_frames(one)[0]
