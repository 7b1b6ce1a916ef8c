"""The actor that applies one stage to one item at a time. Failures of an item come back as values; only the process's
own death reaches the driver as an error.
"""

import errno
import os
import socket
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import pyarrow as pa
import ray

from pipeline.executor.metrics import StageMetrics
from pipeline.storage import Storage, StorageError, UnwritableError
from pipeline.work import WorkItem, artifact_path
from schemas.artifacts.header import ArtifactError, Header, read_header
from schemas.clip import Clip
from stages.base import SourceLostError, SourceStage, Stage, StageError

OWN_ERRORS = ("StageError", "SourceLostError", "ExtractionError", "ArtifactError", "StorageError", "UnwritableError")
"""Errors whose message already is a sentence for people; others are shown with their type."""
DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG})
"""What the system says of a disk that takes no more, wherever the file was to be."""


Cause = Literal[
    "refused", "unreadable", "raised", "killed", "timeout", "out_of_memory", "gone", "damaged", "unwritable"
]


@dataclass(frozen=True)
class ItemDone:
    """An artifact that exists. seconds: wall time of the stage, None where a killed run had already made it."""

    path: str
    sha256: str
    bytes: int
    header: Header
    seconds: float | None
    worker: str


@dataclass(frozen=True)
class ItemFailed:
    """Why an item gave no artifact.

    cause: refused (the stage says that the input cannot be used: another try would say the same) | unreadable (the
    source file) | raised | killed | timeout | out_of_memory | gone (the source file is not there any more, or another)
    | damaged (an artifact that it reads cannot be read) | unwritable (the dataset's disk or store takes nothing). The
    last three are no item's fault and no quarantine.
    """

    cause: Cause
    error: str
    traceback: str = ""


class Job(Protocol):
    """What a worker does with an item: returns the table of its artifact."""

    def run(self, item: WorkItem) -> pa.Table: ...


class Worker:
    """One process of a stage's pool. `start` loads the model; `run` is called for one item after another."""

    def __init__(self, *, root: str, make_job: Callable[[Storage], Job]) -> None:
        self._storage = Storage(root)
        self._make_job = make_job
        self._job: Job | None = None
        self._metrics = StageMetrics()

    def node(self) -> str:
        """Id of the Ray node that it runs on."""
        return str(ray.get_runtime_context().get_node_id())

    def start(self) -> tuple[int, str]:
        """Loads the stage. Returns process id and host name, once the worker can take items."""
        self._job = self._make_job(self._storage)
        return os.getpid(), socket.gethostname()

    def run(self, item: WorkItem) -> ItemDone | ItemFailed:
        """The artifact of one item: an intact one that a killed run left behind is used as it is."""
        assert self._job is not None, "start() comes first"
        try:
            done = self._adopt(item) or self._make(item, self._job)
            self._metrics.done(item.stage, done.header.status, done.bytes, done.seconds)
            return done
        except Exception as error:  # noqa: BLE001 (one bad clip never stops a run; the error is recorded and shown)
            kind, cause = type(error).__name__, _cause(error)
            self._metrics.failed(item.stage, cause)
            text = str(error) if kind in OWN_ERRORS else f"{kind}: {error}"
            if cause == "unwritable" and kind not in OWN_ERRORS:  # a write to an open file does not name it
                text += (
                    f" (on a disk that the dataset {self._storage.root} or its temporary files use): free space or "
                    "make it writable, then run the same command again"
                )
            return ItemFailed(cause, text[:2000], traceback.format_exc()[-8000:])

    def _make(self, item: WorkItem, job: Job) -> ItemDone:
        started = time.perf_counter()
        table = job.run(item)
        header = read_header(table)
        path = artifact_path(item.stage, item.key)
        sha256, size = self._storage.write_table(path, table)
        return ItemDone(path, sha256, size, header, time.perf_counter() - started, socket.gethostname())

    def _adopt(self, item: WorkItem) -> ItemDone | None:
        path = artifact_path(item.stage, item.key)
        if not self._storage.exists(path):
            return None
        try:
            header = read_header(self._storage.read_table(path))
        except (StorageError, ArtifactError):
            return None  # damaged: made again below, which replaces it
        return ItemDone(path, self._storage.sha256(path), self._storage.size(path), header, None, socket.gethostname())


def _cause(error: Exception) -> Cause:
    if isinstance(error, SourceLostError):
        return "gone"
    if isinstance(error, StageError):
        return "refused"
    if isinstance(error, UnwritableError) or (isinstance(error, OSError) and error.errno in DISK_ERRORS):
        return "unwritable"
    if isinstance(error, StorageError):
        return "damaged"
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "out_of_memory"
    return "raised"


class ClipJob:
    """Runs a clip stage on the artifacts of its inputs."""

    def __init__(self, storage: Storage, build: Callable[[], Stage]) -> None:
        self._storage = storage
        self._stage = build()

    def run(self, item: WorkItem) -> pa.Table:
        assert isinstance(item.payload, Clip)
        inputs = {name: self._storage.read_table(artifact_path(name, key)) for name, key in item.inputs.items()}
        return self._stage.run(item.payload, inputs)


class IngestJob:
    """Runs ingest on one source file."""

    def __init__(self, build: Callable[[], SourceStage]) -> None:
        self._stage = build()

    def run(self, item: WorkItem) -> pa.Table:
        work: Any = item.payload
        return self._stage.run(work.source_id, work.video, work.video_stat)
