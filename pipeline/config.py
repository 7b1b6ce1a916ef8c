"""The configuration of a dataset: one YAML file, every field typed, documented and defaulted."""

from typing import Literal, Self

from pydantic import Field, model_validator

from extractors.camera.imported import ImportedCameraConfig
from extractors.depth.imported import ImportedDepthConfig
from schemas.config import FrozenConfig, Resources
from stages.camera import CameraConfig
from stages.decode import DecodeConfig
from stages.depth import DepthConfig
from stages.ingest import IngestConfig
from stages.pose import PoseConfig
from stages.scene_motion import SceneMotionConfig
from stages.stylize import StylizeConfig


class Gate(FrozenConfig):
    """A threshold on one recorded quality figure. A clip without the figure passes."""

    stage: str = Field(description="Stage that recorded the figure.")
    figure: str = Field(description="Name of the figure, as `mikudance status --clip` prints it.")
    minimum: float | None = Field(None, description="Smallest value that passes.")
    maximum: float | None = Field(None, description="Largest value that passes.")
    kinds: tuple[Literal["character", "camera"], ...] = Field(
        ("character", "camera"), description="Kinds of clips the gate applies to."
    )
    advice: str = Field("", description="What to do about it; printed behind the figure.")


class GatesConfig(FrozenConfig):
    """What `pack` takes. Thresholds stand apart from the measurements: changing one only packs anew."""

    refuse_status: dict[str, tuple[str, ...]] = Field(
        default={"camera": ("unsolved",)},
        description="Statuses by stage with which a clip of any kind is left out.",
    )
    refuse_status_character: dict[str, tuple[str, ...]] = Field(
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
                advice="the picture does not move as the MMD camera track says: compare the track with the video, set "
                "camera_track_offset_s in the manifest if it starts at another time, or camera.use_camera_track to "
                "false to estimate the camera instead",
            ),
        ),
        description="Thresholds beyond which a clip is taken all the same, but named with advice, while it is made, at "
        "the end of the run and by `mikudance status`.",
    )


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
