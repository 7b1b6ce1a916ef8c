"""Checkpoints on a disk that takes no more."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch.distributed as dist
from torch import nn

from train.checkpoint import Checkpointer, CheckpointError, TrainerState, list_checkpoints
from train.config import ParallelConfig
from train.data.state import ReaderState
from train.distributed import process_group
from train.optim import OptimizerConfig, ShardedAdamW

STATE = ReaderState(release=1, digest="d" * 64, order="o", seed=0, global_batch=1, epoch_size=1)

REFUSED = r"step-00000002 could not be written: .*(File too large|unexpected pos).*Is the disk full"
"""In the system's words, or in torch's."""


@pytest.fixture(scope="module", autouse=True)
def one_rank() -> Iterator[None]:
    with process_group(ParallelConfig(device="cpu")):
        yield
    assert not dist.is_initialized()


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """As on a full disk, the system refuses to write beyond `size` bytes of a file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def checkpointer(folder: Path, *, asynchronous: bool) -> Checkpointer:
    model = nn.Linear(64, 64)
    optimizer = ShardedAdamW(parameters=dict(model.named_parameters()), config=OptimizerConfig(), steps=10, copies=1)
    return Checkpointer(
        folder=folder, model=model, optimizer=optimizer, average=None, keep=2, asynchronous=asynchronous
    )


def save(writer: Checkpointer, step: int) -> None:
    writer.save(TrainerState(stage=1, step=step, world=1, reader=STATE, settings={}))
    writer.wait()


@pytest.mark.parametrize("size", [10, 5000], ids=["trainer.json", "tensors"])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_full_disk_is_named_and_the_checkpoint_before_stays(tmp_path: Path, asynchronous: bool, size: int) -> None:
    writer = checkpointer(tmp_path, asynchronous=asynchronous)
    save(writer, 1)
    with pytest.raises(CheckpointError, match=REFUSED), files_of_at_most(size):
        save(writer, 2)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-00000001"]

    again = checkpointer(tmp_path, asynchronous=asynchronous)  # as a run that is started once there is room
    save(again, 2)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-00000001", "step-00000002"]
    assert again.restore(tmp_path / "step-00000002").step == 2
