"""Ranks: start and end of the process group, and the few values that all ranks must agree on."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from train.config import ConfigError, ParallelConfig

Decision = TypeVar("Decision")


@dataclass(frozen=True)
class Ranks:
    """This process among the others. device: where its tensors live."""

    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        return self.rank == 0


@contextmanager
def process_group(config: ParallelConfig) -> Iterator[Ranks]:
    """Joins the ranks that torchrun started (or makes a group of one) and leaves them at the end."""
    gpu = torch.cuda.is_available() if config.device == "auto" else config.device == "cuda"
    if gpu and not torch.cuda.is_available():
        raise ConfigError("parallel.device is cuda and torch sees no GPU; set parallel.device: cpu")
    local = int(os.environ.get("LOCAL_RANK", "0"))
    device = torch.device("cuda", local) if gpu else torch.device("cpu")
    if gpu:
        torch.cuda.set_device(device)
    backend = "cpu:gloo,cuda:nccl" if gpu else "gloo"
    if "WORLD_SIZE" in os.environ:
        dist.init_process_group(backend)
    else:
        store = dist.HashStore()  # type: ignore[attr-defined]
        dist.init_process_group(backend, store=store, rank=0, world_size=1)
    try:
        yield Ranks(rank=dist.get_rank(), world=dist.get_world_size(), device=device)
    finally:
        dist.destroy_process_group()


class StopSignal:
    """Remembers SIGTERM, so that the loop can save and leave between two steps."""

    def __init__(self) -> None:
        self.received = False

    @contextmanager
    def listening(self) -> Iterator["StopSignal"]:
        """Handles SIGTERM inside the block, also where this process was started deaf to it (as the reader's worker
        server starts its children); the former handler and mask return after it.
        """

        def remember(_number: int, _frame: FrameType | None) -> None:
            self.received = True

        former = signal.signal(signal.SIGTERM, remember)
        mask = signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        try:
            yield self
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            signal.signal(signal.SIGTERM, former)


def leads_node() -> bool:
    """Whether this rank is the first of its node."""
    return int(os.environ.get("LOCAL_RANK", "0")) == 0


def decided(decide: Callable[[], Decision], ranks: Ranks) -> Decision:
    """What rank 0 decides, on every rank; what it refuses (RuntimeError, ValueError, OSError) is raised on every rank.
    Collective.
    """
    answer: list[Any] = [None, None]
    if ranks.first:
        try:
            answer[0] = decide()
        except (RuntimeError, ValueError, OSError) as error:
            answer[1] = error
    dist.broadcast_object_list(answer, src=0)
    if answer[1] is not None:
        raise answer[1]
    decision: Decision = answer[0]
    return decision


def total(values: list[float], device: torch.device) -> list[float]:
    """Sums over ranks, in float64; the same on every rank."""
    tensor = torch.tensor(values, dtype=torch.float64, device=device)
    dist.all_reduce(tensor)
    return [float(value) for value in tensor.tolist()]


def gather_names(names: list[str], world: int) -> list[str]:
    """The names of all ranks, in rank order."""
    gathered: list[list[str]] = [[] for _ in range(world)]
    dist.all_gather_object(gathered, names)
    return [name for part in gathered for name in part]
