"""The reader's worker processes: how they start and end.

Clusters send SIGTERM, and terminals SIGINT, to every process of a job. The trainer answers by finishing its step, for
which it needs its workers; so they and the server that forks them do not hear these signals, and the trainer ends them.
"""

import multiprocessing
import signal
from collections.abc import Generator
from multiprocessing import forkserver, resource_tracker
from typing import Any

import cv2
from torch.utils.data import DataLoader

from train.data.batch import TrainBatch

FOR_THE_TRAINER = {signal.SIGTERM, signal.SIGINT}


def preload_workers() -> None:
    """Makes this process's worker server import the reader once, so that each worker starts in a moment instead of
    importing torch itself. Process-wide, hence for programs to call before their first worker, not for the reader.
    """
    multiprocessing.get_context("forkserver").set_forkserver_preload(["train.data.reader"])


def start_server() -> None:
    """Starts the server that forks workers, deaf to `FOR_THE_TRAINER`; its children inherit that. Does nothing where
    one is running.
    """
    resource_tracker.ensure_running()  # by itself, because it unblocks both signals when it has started
    former = signal.pthread_sigmask(signal.SIG_BLOCK, FOR_THE_TRAINER)
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)


def start_worker(_number: int) -> None:
    """Prepares a worker: one thread, because workers are the parallelism (torch does the same for its own threads),
    and deaf also where another server than that of `start_server` forked it.
    """
    cv2.setNumThreads(1)
    for number in FOR_THE_TRAINER:
        signal.signal(number, signal.SIG_IGN)


def stream(loader: DataLoader[TrainBatch]) -> Generator[TrainBatch, None, None]:
    """The loader's batches; `close()` ends its workers."""
    batches: Any = iter(loader)
    try:
        yield from batches
    finally:
        workers = getattr(batches, "_workers", ())
        if workers:
            batches._shutdown_workers()
        for worker in workers:
            # torch's last resort is SIGTERM, and at exit Python would wait for such a worker for ever.
            if worker.is_alive():
                worker.kill()
