"""The configuration of a dataset: one YAML file, every field typed, documented and defaulted."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from extractors.camera.imported import ImportedCameraConfig
from extractors.depth.imported import ImportedDepthConfig
from schemas.artifacts import camera, depth, frames, pose, scene_motion, style
from schemas.config import FrozenConfig, Resources
from stages.camera import CameraConfig
from stages.decode import DecodeConfig
from stages.depth import DepthConfig
from stages.ingest import IngestConfig
from stages.pose import PoseConfig
from stages.scene_motion import SceneMotionConfig
from stages.stylize import StylizeConfig

JudgedStage = Literal["decode", "pose", "camera", "depth", "scene_motion", "stylize"]
_STATUSES: dict[JudgedStage, tuple[str, ...]] = {
    "decode": frames.STATUSES,
    "pose": pose.STATUSES,
    "camera": camera.STATUSES,
    "depth": depth.STATUSES,
    "scene_motion": scene_motion.STATUSES,
    "stylize": style.STATUSES,
}


class Gate(FrozenConfig):
    """A threshold on one recorded quality figure. A clip without the figure passes."""

    stage: JudgedStage = Field(description="Stage that recorded the figure.")
    figure: str = Field(description="Name of the figure, as `mikudance status --clip` prints it.")
    minimum: float | None = Field(None, description="Smallest value that passes.")
    maximum: float | None = Field(None, description="Largest value that passes.")
    kinds: tuple[Literal["character", "camera"], ...] = Field(
        ("character", "camera"), description="Kinds of clips the gate applies to."
    )
    advice: str = Field("", description="What to do about it; printed behind the figure.")

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.minimum is None and self.maximum is None:
            raise ValueError(f"the rule on {self.stage}.{self.figure} has no limit: give it a minimum or a maximum")
        return self

    def __str__(self) -> str:
        """The rule in words, e.g. "pose.blur at most 0.6"."""
        limits = [f"at least {self.minimum:g}"] if self.minimum is not None else []
        limits += [f"at most {self.maximum:g}"] if self.maximum is not None else []
        return f"{self.stage}.{self.figure} {' and '.join(limits)}"


class GatesConfig(FrozenConfig):
    """What `pack` takes. Thresholds stand apart from the measurements: changing one only packs anew."""

    refuse_status: dict[JudgedStage, tuple[str, ...]] = Field(
        default={"camera": ("unsolved",), "scene_motion": ("unaligned",)},
        description="Statuses by stage with which a clip of any kind is left out. scene_motion is unaligned where the "
        "camera moves and the depth's scale is a guess: its maps may be wrong by more than the motion itself.",
    )
    refuse_status_character: dict[JudgedStage, tuple[str, ...]] = Field(
        default={"pose": ("no_person",)},
        description="Further statuses with which a clip of kind `character` is left out.",
    )
    rules: tuple[Gate, ...] = Field((), description="Thresholds on quality figures.")
    warnings: tuple[Gate, ...] = Field(
        (
            Gate(
                stage="camera",
                figure="track_contradiction",
                maximum=0.25,
                advice="the picture does not move as the given cameras say: compare the MMD camera track with "
                "the video, set camera_track_offset_s in the manifest if it starts at another time, or "
                "camera.use_camera_track to false to estimate the camera instead",
            ),
        ),
        description="Thresholds beyond which a clip is taken all the same, but named with advice, while it is made, at "
        "the end of the run and by `mikudance status`.",
    )

    @field_validator("refuse_status", "refuse_status_character")
    @classmethod
    def _known_statuses(cls, refused: dict[JudgedStage, tuple[str, ...]]) -> dict[JudgedStage, tuple[str, ...]]:
        for stage, words in refused.items():
            if unknown := [word for word in words if word not in _STATUSES[stage]]:
                raise ValueError(f"{stage} never ends as {unknown[0]!r}, but as {', '.join(_STATUSES[stage])}")
        return refused


class PackConfig(FrozenConfig):
    """How samples are put into WebDataset shards."""

    shard_bytes: int = Field(
        1_000_000_000, gt=0, description="Size at which a shard is closed, bytes (by the size of its artifacts)."
    )
    shard_samples: int = Field(10_000, ge=1, description="Samples at which a shard is closed.")


class RunConfig(FrozenConfig):
    """How the run uses the machine or cluster. Nothing here changes what is made, so nothing here enters a key."""

    ingest: Resources = Resources(timeout_s=3600)
    decode: Resources = Resources()
    pose: Resources = Resources()
    camera: Resources = Resources()
    depth: Resources = Resources()
    scene_motion: Resources = Resources()
    stylize: Resources = Resources()
    pack: Resources = Resources(timeout_s=7200)
    commit_seconds: float = Field(5.0, gt=0, description="Longest time finished work waits for its catalog commit.")
    commit_rows: int = Field(1000, ge=1, description="Rows that trigger a catalog commit.")
    object_store_mb: int = Field(
        150,
        ge=80,
        description="Ray object store of a local cluster, MB: only ids travel through Ray, so it stays small.",
    )


class DatasetConfig(FrozenConfig):
    """Everything that decides what a dataset holds, and how it is made."""

    schema_version: Literal[1] = 1
    ingest: IngestConfig = IngestConfig()
    decode: DecodeConfig = DecodeConfig()
    pose: PoseConfig = PoseConfig()
    camera: CameraConfig = CameraConfig()
    depth: DepthConfig = DepthConfig()
    scene_motion: SceneMotionConfig = SceneMotionConfig()
    stylize: StylizeConfig = StylizeConfig()
    pack: PackConfig = PackConfig()
    gates: GatesConfig = GatesConfig()
    run: RunConfig = RunConfig()

    @model_validator(mode="after")
    def _one_unit(self) -> Self:
        depth, camera = self.depth.backend, self.camera.backend
        if isinstance(depth, ImportedDepthConfig) and depth.unit == "camera":
            imported = isinstance(camera, ImportedCameraConfig) and camera.format == "vipe"
            if not imported or self.camera.use_camera_track:
                raise ValueError(
                    "depth.backend.unit is camera, so the cameras must be ViPE's too: set camera.backend to imported "
                    "with format vipe and camera.use_camera_track to false, or depth.backend.unit to relative"
                )
        return self
