"""What the halves of the project refuse, as one message and an exit code; the trainer is imported only here."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer

from pipeline.cli.common import Exit, errors


@contextmanager
def refusals() -> Iterator[None]:
    """Errors that say what to do become that message and exit code 1; a missing package names its extra."""
    try:
        from extractors.protocols import ExtractionError
        from pipeline.animate import AnimateError
        from pipeline.animation.output import OutputError
        from pipeline.animation.reference import PictureError
        from pipeline.study.page import StudyError
        from stages.base import StageError
        from stages.video.ffmpeg import VideoError
        from train.evaluation.media import MediaError
        from train.evaluation.networks import NetworkError
        from train.model.saving import SavedModelError
        from train.sampling.pipeline import InputError
    except ModuleNotFoundError as error:
        _absent(error)
    ours = (AnimateError, ExtractionError, InputError, MediaError, NetworkError, OutputError, PictureError)
    try:
        yield
    except ModuleNotFoundError as error:
        _absent(error)
    except (*ours, SavedModelError, StageError, StudyError, VideoError) as error:
        errors.print(f"error: {error}", style="red", markup=False)
        raise typer.Exit(Exit.ERROR) from error


def _absent(error: ModuleNotFoundError) -> NoReturn:
    errors.print(
        f"error: package {error.name} is not installed; pip install 'mikudance[pipeline,train,evaluate]' has it",
        style="red",
        markup=False,
    )
    raise typer.Exit(Exit.ERROR) from error
