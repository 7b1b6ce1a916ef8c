"""Exports: the folders that inference opens, written in the middle of a run and at its end."""

import shutil
from pathlib import Path

import torch.distributed as dist

from train.checkpoint import full_state
from train.config import TrainConfig
from train.distributed import Ranks
from train.model.encoders import Encoders
from train.model.mikudance import MikuDance
from train.model.saving import SavedModel, save_model

PREFIXES = {
    "reference_unet": "reference.unet.",
    "man": "reference.man.",
    "denoising_unet": "denoiser.",
    "pose_control": "pose_control.",
    "motion_control": "motion_control.",
}
"""Of the weights' names, by the folder that they are saved in."""


def export_due(config: TrainConfig, step: int) -> bool:
    """Whether the network is exported in the middle of the run, after this step."""
    every = config.checkpoint.export_every
    return every is not None and step % every == 0


def export_folder(config: TrainConfig, step: int) -> Path:
    """Where the network of a step is exported to."""
    return config.folder / "export" / f"step-{step:08d}"


def export(config: TrainConfig, model: MikuDance, encoders: Encoders, ranks: Ranks, step: int) -> Path:
    """Writes `export/step-…/`, a folder that `train.model.saving` and `train.sampling` open. Collective.

    One that is there already is replaced: a run that was killed after its export and before the next checkpoint takes
    the same steps again.
    """
    folder = export_folder(config, step)
    state = full_state(model)
    if ranks.first:
        part = folder.with_suffix(".tmp")
        shutil.rmtree(part, ignore_errors=True)
        states = {
            name: {k.removeprefix(PREFIXES[name]): v for k, v in state.items() if k.startswith(PREFIXES[name])}
            for name in model.parts()
        }
        saved = SavedModel(
            stage=config.stage,
            step=step,
            model=config.model,
            noise=config.noise,
            encoding=config.encoding,
            size=config.reader.size,
            frames=config.reader.frames,
        )
        save_model(part, saved=saved, model=model, encoders=encoders, states=states)
        if folder.exists():
            shutil.rmtree(folder)
        part.rename(folder)
    dist.barrier()
    return folder
