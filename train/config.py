"""Settings of a training run. Every number of the paper is a default here or a line of `train/configs`."""

from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from schemas.cache import cache_folder, uri_name
from schemas.config import FrozenConfig
from schemas.config_errors import explain
from schemas.strict_yaml import YamlError, read_yaml
from train.data.config import ReaderConfig
from train.model.config import DropoutConfig, EncodingConfig, ModelConfig
from train.noise import NoiseConfig
from train.optim import OptimizerConfig
from train.sampling.config import SamplingConfig
from train.weights.config import Place, WeightsConfig


class ConfigError(ValueError):
    """A configuration that cannot be used; the message names the file or setting, the cause and the next step."""


class ParallelConfig(FrozenConfig):
    """How a run is spread over devices and memory."""

    precision: Literal["bfloat16", "float32"] = Field(
        "bfloat16", description="Type of activations and gathered weights."
    )
    checkpointing: bool = Field(True, description="Recompute activations in the backward pass.")
    compile: bool = Field(False, description="torch.compile the residual and temporal blocks.")
    shard_ranks: int | None = Field(
        None, ge=1, description="Ranks that share one copy of the weights (say, those of a node); null: all ranks."
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto takes the GPU where there is one.")


class CheckpointConfig(FrozenConfig):
    """Checkpoints that a run is resumed from, and the folders that inference opens."""

    every: int = Field(1000, ge=1, description="Steps between checkpoints.")
    keep: int = Field(3, ge=1, description="Newest checkpoints that are kept.")
    asynchronous: bool = Field(True, description="Write in the background, from a copy in host memory.")
    export_every: int | None = Field(None, ge=1, description="Steps between exports; null: at the end alone.")
    scratch: Path | None = Field(
        None,
        description="Folder on each node where a run works whose output is a URI; null: $MIKUDANCE_CACHE or "
        "~/.cache/mikudance.",
    )


class ValidationConfig(FrozenConfig):
    """Pictures or videos from fixed samples."""

    every: int = Field(2000, ge=1, description="Steps between validations.")
    samples: int = Field(4, ge=0, description="Samples that are drawn each time; 0 is off.")
    split: str = Field("val", description="Split of the dataset that they come from.")
    sampling: SamplingConfig = Field(SamplingConfig(), description="How they are drawn.")


class TrainConfig(FrozenConfig):
    """One stage of training."""

    stage: Literal[1, 2] = Field(1, description="1: single frames, both UNets. 2: windows, MAN and temporal layers.")
    dataset: str = Field("", description="Folder or URI of the dataset (the one that holds releases/ and shards/).")
    output: Place = Field(
        Path("runs/train"), description="Folder or URI of checkpoints, metrics, validation and exports."
    )
    seed: int = Field(0, ge=0, description="Seed of noise, timesteps, dropout and new weights.")
    steps: int = Field(120_000, ge=1, description="Optimiser steps.")
    global_batch: int = Field(128, ge=1, description="Samples of a step, over all ranks.")
    micro_batch: int = Field(1, ge=1, description="Samples that a rank takes at once; the rest is accumulated.")
    reader: ReaderConfig = Field(ReaderConfig(), description="What is read.")
    model: ModelConfig = Field(ModelConfig(), description="The network.")
    weights: WeightsConfig = Field(WeightsConfig(), description="What it starts from.")
    encoding: EncodingConfig = Field(EncodingConfig(), description="How pictures are encoded.")
    dropout: DropoutConfig = Field(DropoutConfig(), description="Guidance dropout.")
    noise: NoiseConfig = Field(NoiseConfig(), description="Noise schedule and loss.")
    optimizer: OptimizerConfig = Field(OptimizerConfig(), description="Optimiser, clipping, averaging.")
    parallel: ParallelConfig = Field(ParallelConfig(), description="Devices, precision, memory.")
    checkpoint: CheckpointConfig = Field(CheckpointConfig(), description="Checkpoints and exports.")
    validation: ValidationConfig = Field(ValidationConfig(), description="Validation.")

    @property
    def folder(self) -> Path:
        """Where this node reads and writes the run: `output` itself, or for a URI the run's own scratch folder."""
        return self.output if isinstance(self.output, Path) else self.scratch(self.output)

    def scratch(self, uri: str) -> Path:
        """The folder of this node for what belongs to a URI; the same each time."""
        return (self.checkpoint.scratch or cache_folder("runs")) / uri_name(uri)

    @model_validator(mode="after")
    def _consistent(self) -> "TrainConfig":
        if self.reader.stage != self.stage:
            raise ValueError(f"stage is {self.stage} and reader.stage {self.reader.stage}; make them equal")
        if self.reader.frames > self.model.motion_max_length:
            raise ValueError(
                f"reader.frames {self.reader.frames} exceeds model.motion_max_length {self.model.motion_max_length}"
            )
        if min(self.reader.size) < 128 and self.stage == 2 and self.model.uses_man:
            raise ValueError(
                "reader.size must be 128 or more: MAN normalises each map over its positions, at size / 64"
            )
        self.noise.train_scheduler()
        return self

    def accumulation(self, world: int) -> int:
        """Micro batches of a step on each of `world` ranks. Raises ConfigError where they do not divide."""
        whole, rest = divmod(self.global_batch, world * self.micro_batch)
        if rest:
            raise ConfigError(
                f"global_batch {self.global_batch} is no multiple of {world} ranks × micro_batch {self.micro_batch}; "
                "change micro_batch or the number of ranks"
            )
        return whole


def load_config(name: str, settings: list[str] | None = None) -> TrainConfig:
    """The configuration in a YAML file, or of a packaged one by its name (`stage1.yaml`).

    settings: `key.subkey=value` pairs, values in YAML, which override the file's. Raises ConfigError.
    """
    values = _read(name)
    for setting in settings or []:
        key, equals, text = setting.partition("=")
        if not equals:
            raise ConfigError(f"{setting!r} is no setting; write key.subkey=value")
        *parents, leaf = key.split(".")
        section = values
        for parent in parents:
            section = section.setdefault(parent, {})
            if not isinstance(section, dict):
                raise ConfigError(f"{key!r}: {parent!r} is a value, not a section")
        try:
            section[leaf] = read_yaml(text)
        except YamlError as error:
            raise ConfigError(f"{setting!r}: the value is {error}") from error
    try:
        return TrainConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError("\n  ".join([f"{name}:", *explain(TrainConfig, error)])) from error


def packaged_configs() -> tuple[str, ...]:
    """Names of the configurations that come with the package."""
    return tuple(sorted(f.name for f in resources.files("train.configs").iterdir() if f.name.endswith(".yaml")))


def _read(name: str) -> dict[str, Any]:
    path = Path(name)
    if path.is_file():
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{name} cannot be read: {error}") from error
    elif name in packaged_configs():
        text = resources.files("train.configs").joinpath(name).read_text()
    else:
        raise ConfigError(f"{name} is no file and no packaged configuration; those are {', '.join(packaged_configs())}")
    try:
        values = read_yaml(text) or {}
    except YamlError as error:
        raise ConfigError(f"{name} is {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{name} holds no settings; it should be a mapping such as 'stage: 1'")
    return values
