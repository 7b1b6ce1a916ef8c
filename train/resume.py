"""Where a run begins: rank 0 looks for the newest checkpoint and for the release, and all ranks follow.

Were each rank to look for itself, a release or a checkpoint that appears meanwhile would set them apart.

| setting | when a run goes on |
| --- | --- |
| stage, seed, model, noise, dropout, what of encoding and reader changes pictures | must be those of the checkpoint |
| what decides the order of samples, global batch | must be the same (`train.data.state`) |
| reader.release | null goes on with the recorded one, whatever has been added since |
| optimizer | may change: a lower rate is what one resumes with; but an average cannot begin in the middle |
| steps, weights, parallel, checkpoint, validation, workers and caches | may change |
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from train.checkpoint import CheckpointError, TrainerState, newest_checkpoint, read_trainer_state
from train.config import TrainConfig
from train.data.fetch import open_store
from train.data.release import load_release
from train.distributed import Ranks, decided


@dataclass(frozen=True)
class Beginning:
    """checkpoint, saved: the newest checkpoint and its state, None at the start of a run. release, digest: what is
    read.
    """

    checkpoint: Path | None
    saved: TrainerState | None
    release: int
    digest: str

    def pinned(self, config: TrainConfig) -> TrainConfig:
        """The configuration with this release, for all who read."""
        reader = config.reader.model_copy(update={"release": self.release, "digest": self.digest})
        return config.model_copy(update={"reader": reader})


def agree(config: TrainConfig, ranks: Ranks) -> Beginning:
    """Where the run of `config.output` begins; the same on every rank. Collective.

    Raises, on every rank, CheckpointError where the checkpoint is not of this configuration, and DatasetError.
    """
    beginning = decided(lambda: _look(config), ranks)
    if beginning.checkpoint is None:
        return beginning
    # A run in a store lies at another place on each node.
    return replace(beginning, checkpoint=config.folder / "checkpoints" / beginning.checkpoint.name)


def _look(config: TrainConfig) -> Beginning:
    checkpoint = newest_checkpoint(config.folder)
    saved = None if checkpoint is None else read_trainer_state(checkpoint)
    number = config.reader.release
    if saved is not None:
        _check(config, saved, f"{checkpoint}")
        number = number or saved.reader.release
    release = load_release(open_store(config.dataset, config.reader), number, config.reader.digest)
    return Beginning(checkpoint, saved, release.number, release.digest())


def _check(config: TrainConfig, saved: TrainerState, name: str) -> None:
    if saved.stage != config.stage:
        raise CheckpointError(
            f"{name} is of stage {saved.stage}; give stage {config.stage} an output folder of its own"
        )
    differences = changed(saved.settings, fixed_settings(config))
    if differences:
        raise CheckpointError(
            f"{name} was made with {differences}. Restore the settings, or give another output folder"
        )


def fixed_settings(config: TrainConfig) -> dict[str, Any]:
    """Settings that a resumed run must keep, by dotted name."""
    kept: dict[str, Any] = {
        "seed": True,
        "model": True,
        "noise": True,
        "dropout": True,
        "encoding": {"pose_range", "sample_target"},
        "reader": {"size", "crop_scale"},
    }
    settings = flat(config.model_dump(mode="json", include=kept))
    return settings | {"optimizer.ema_decay is null": config.optimizer.ema_decay is None}


def changed(saved: dict[str, Any], now: dict[str, Any]) -> str:
    """`name = old, now new` for each setting of both that differs; empty where there is none."""
    names = [name for name in saved if name in now and saved[name] != now[name]]
    return "; ".join(f"{name} = {saved[name]}, now {now[name]}" for name in names)


def flat(section: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """The values of nested sections by dotted name."""
    values: dict[str, Any] = {}
    for name, value in section.items():
        values |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return values
