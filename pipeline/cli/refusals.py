"""What the halves of the project refuse, as one message and an exit code."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from pipeline.cli.common import Exit, errors

REFUSALS = {
    "extractors.protocols": "ExtractionError",
    "pipeline.animate": "AnimateError",
    "pipeline.animation.output": "OutputError",
    "pipeline.animation.reference": "PictureError",
    "pipeline.study.page": "StudyError",
    "stages.base": "StageError",
    "stages.video.ffmpeg": "VideoError",
    "train.checkpoint": "CheckpointError",
    "train.data.errors": "DatasetError",
    "train.evaluation.ablation": "AblationError",
    "train.evaluation.media": "MediaError",
    "train.evaluation.networks": "NetworkError",
    "train.model.saving": "SavedModelError",
    "train.sampling.pipeline": "InputError",
}
"""Modules and their errors that say what to do."""


@contextmanager
def refusals() -> Iterator[None]:
    """Errors that say what to do become that message and exit code 1; a missing package names its extra."""
    try:
        yield
    except ModuleNotFoundError as error:
        errors.print(
            f"error: package {error.name} is not installed; pip install 'mikudance[pipeline,train,evaluate]' has it",
            style="red",
            markup=False,
        )
        raise typer.Exit(Exit.ERROR) from error
    except raisable() as error:
        errors.print(f"error: {error}", style="red", markup=False)
        raise typer.Exit(Exit.ERROR) from error


def raisable() -> tuple[type[Exception], ...]:
    """Of those errors, the ones that can have been raised: a module that nobody imported raised nothing, and importing
    the trainer to learn its errors would take seconds.
    """
    return tuple(getattr(sys.modules[module], name) for module, name in REFUSALS.items() if module in sys.modules)
