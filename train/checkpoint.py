"""Distributed checkpoints: written in the background, appear whole or not at all, the newest ones are kept.

    <run>/checkpoints/step-00001000/     .metadata and one file a rank (torch.distributed.checkpoint), trainer.json

A checkpoint is written as `step-….tmp` and renamed when every rank's part is on disk. It can be read by any number of
ranks. A run in an object store (`train.remote_run`) writes it on the disks of the nodes, each its ranks' files.
"""

import logging
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import torch
import torch.distributed as dist
from pydantic import Field, ValidationError
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    set_model_state_dict,
)
from torch.distributed.checkpoint.state_dict_loader import load as load_sharded
from torch.distributed.checkpoint.state_dict_saver import AsyncSaveResponse, async_save
from torch.distributed.checkpoint.state_dict_saver import save as save_sharded

from schemas.config import FrozenConfig
from train.checkpoint_files import SafeLoadPlanner, SafeReader, UnsafeCheckpointError, read_table
from train.data.state import ReaderState
from train.distributed import leads_node
from train.optim import ShardedAdamW, WeightAverage

log = logging.getLogger("train")

TRAINER = "trainer.json"


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be written or read; the message names the folder, the cause and the next step."""


class TrainerState(FrozenConfig):
    """The file `trainer.json` of a checkpoint: what is not a tensor."""

    format_version: Literal[2] = 2
    stage: Literal[1, 2] = Field(description="Stage of the run.")
    step: int = Field(ge=0, description="Optimiser steps done.")
    world: int = Field(ge=1, description="Ranks that wrote it.")
    reader: ReaderState = Field(description="Place in the order of samples.")
    settings: dict[str, Any] = Field(description="Settings that must stay (`train.resume.fixed_settings`), by name.")


class Checkpointer:
    """Saves and restores one run. Every method is collective: all ranks call it.

    publish: called on every rank with each checkpoint that is written, in the background where writes are; given, each
    node has a `folder` of its own.
    """

    def __init__(
        self,
        *,
        folder: Path,
        model: nn.Module,
        optimizer: ShardedAdamW,
        average: WeightAverage | None,
        keep: int,
        asynchronous: bool,
        publish: Callable[[Path], None] | None = None,
    ) -> None:
        self._folder = folder
        self._model = model
        self._optimizer = optimizer
        self._average = average
        self._keep = keep
        self._asynchronous = asynchronous
        self._publish = publish
        self._leads = dist.get_rank() == 0 if publish is None else leads_node()
        # The background write gathers over a group of its own, or its messages would mix with those of training.
        self._group = dist.new_group(backend="gloo")
        self._background = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: tuple[Future[None], Path] | None = None
        if self._leads:
            folder.mkdir(parents=True, exist_ok=True)
            for leftover in folder.glob("*.tmp"):
                shutil.rmtree(leftover)
        dist.barrier()

    def save(self, state: TrainerState) -> None:
        """Writes a checkpoint; returns when it is copied (asynchronous) or on disk. Raises CheckpointError where it, or
        the one before, cannot be written.
        """
        self.wait()
        final = self._folder / f"step-{state.step:08d}"
        if final.exists():
            return
        with _writing(final):
            self._write(final, state)

    def _write(self, final: Path, state: TrainerState) -> None:
        part = final.with_suffix(".tmp")
        if self._leads:
            part.mkdir(exist_ok=True)
        if dist.get_rank() == 0:
            (part / TRAINER).write_text(state.model_dump_json(indent=2) + "\n")
        dist.barrier(self._group)
        tensors = self._tensors()
        if self._asynchronous:
            response = async_save(tensors, checkpoint_id=part, process_group=self._group)
            written = response.upload_completion if isinstance(response, AsyncSaveResponse) else response
            self._pending = self._background.submit(self._finish, final, written), final
        else:
            save_sharded(tensors, checkpoint_id=part, process_group=self._group)
            self._finish(final)

    def wait(self) -> None:
        """Returns when no write is under way. Raises CheckpointError where one failed."""
        if self._pending is None:
            return
        future, final = self._pending
        self._pending = None
        with _writing(final):
            future.result()

    @contextmanager
    def settling(self) -> Iterator[None]:
        """Where what is inside fails, lets this rank's write under way come to its end before the error goes on: it
        would die with the process group. Waits for no other rank's word, because others may be gone.
        """
        try:
            yield
        except Exception:
            if self._pending is not None:
                future, final = self._pending
                if (error := future.exception()) is not None:
                    log.warning("%s could not be written: %s", final, error)
            raise

    def _finish(self, final: Path, written: Future[Any] | None = None) -> None:
        """Makes a checkpoint visible when all ranks have written it; `written` ends on each when all have."""
        if written is not None:
            written.result()
        if self._leads:
            with suppress(FileNotFoundError):  # nodes that share a disk: another one has renamed it
                final.with_suffix(".tmp").rename(final)
            for old in self._whole()[: -self._keep]:
                shutil.rmtree(old, ignore_errors=True)
        dist.barrier(self._group)
        if self._publish is not None:
            self._publish(final)

    def _whole(self) -> list[Path]:
        if self._publish is None:
            return list_checkpoints(self._folder)
        # Only the first rank's node has the table of contents.
        return sorted(path for path in self._folder.glob("step-*") if path.suffix != ".tmp")

    def restore(self, path: Path) -> TrainerState:
        """Loads a checkpoint, whatever number of ranks wrote it."""
        saved = read_trainer_state(path)
        _check_table(path)
        rank = dist.get_rank()
        tensors = self._tensors()
        if rank >= saved.world:
            # A rank that was not there when it was saved keeps its own generator; nothing of a sample depends on it.
            tensors.pop(_generator_key(rank))
        try:
            load_sharded(tensors, storage_reader=SafeReader(path), planner=SafeLoadPlanner(), process_group=self._group)
        except CheckpointException as error:
            raise CheckpointError(
                f"{path} cannot be loaded: {error}; it is damaged, or of another network: remove it to go on from the "
                "one before, or restore the settings"
            ) from error
        set_model_state_dict(self._model, tensors["model"])
        if (generator := tensors.get(_generator_key(rank))) is not None:
            torch.set_rng_state(generator)
        return saved

    def _tensors(self) -> dict[str, Any]:
        return {
            "model": get_model_state_dict(self._model),
            # Optimiser and averages are loaded in place: these are their own tensors.
            "optimizer": self._optimizer.state_dict(),
            **({"average": self._average.state_dict()} if self._average is not None else {}),
            _generator_key(dist.get_rank()): torch.get_rng_state(),
        }


@contextmanager
def _writing(final: Path) -> Iterator[None]:
    try:
        yield
    except CheckpointError:
        raise
    # The failures of ranks come together as a CheckpointException, which is no Exception.
    except (Exception, CheckpointException) as error:
        ranks = error.failures.values() if isinstance(error, CheckpointException) else [(error, None)]
        causes = "; ".join(str(cause) for cause, _ in ranks)
        raise CheckpointError(
            f"{final} could not be written: {causes}. Is the disk full? Make room and start the run again: it goes on "
            "from the checkpoint before"
        ) from error


def _generator_key(rank: int) -> str:
    return f"generator_{rank}"


def list_checkpoints(folder: Path) -> list[Path]:
    """Finished checkpoints of a folder, oldest first."""
    return sorted(p for p in folder.glob("step-*") if p.suffix != ".tmp" and (p / ".metadata").is_file())


def newest_checkpoint(run: Path) -> Path | None:
    """The newest finished checkpoint of a run, or None."""
    found = list_checkpoints(run / "checkpoints")
    return found[-1] if found else None


def read_trainer_state(path: Path) -> TrainerState:
    """`trainer.json` of a checkpoint. Raises CheckpointError."""
    try:
        return TrainerState.model_validate_json((path / TRAINER).read_bytes())
    except (OSError, ValidationError) as error:
        raise CheckpointError(f"{path} is no checkpoint of this trainer: {error}") from error


def _check_table(path: Path) -> None:
    try:
        read_table(path)
    except UnsafeCheckpointError as error:
        raise CheckpointError(str(error)) from error


def full_state(model: nn.Module) -> dict[str, Tensor]:
    """All weights, gathered into the host memory of rank 0 (empty elsewhere). Collective."""
    state = get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
    return {name: value for name, value in state.items() if isinstance(value, Tensor)}


def read_unsharded(path: Path, model: nn.Module) -> None:
    """Loads the weights of a checkpoint into an unsharded network, in one process."""
    _check_table(path)
    state = {"model": model.state_dict()}
    try:
        load_sharded(state, storage_reader=SafeReader(path), planner=SafeLoadPlanner(), no_dist=True)
    except (RuntimeError, CheckpointException) as error:
        raise CheckpointError(f"{path} does not fit the configured network: {error}") from error
    model.load_state_dict(state["model"])
