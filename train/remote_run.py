"""A run whose output is a URI: it works in a scratch folder of each node, and what is whole goes to the store.

1. At the start the nodes' folders are emptied but for the newest checkpoint that `run.json` names; what a node lacks of
   it is fetched.
2. When a checkpoint is whole on the nodes' disks, each rank uploads the files that it wrote. When all have, rank 0
   uploads the table of contents and what else is new (metrics, pictures, exports), then `run.json`, which names it.
3. After that, checkpoints beyond `checkpoint.keep` are removed from the store.
4. At the end rank 0 uploads what is new.

2 and 3 happen where checkpoints are written: in the background with `checkpoint.asynchronous`.
"""

import shutil
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import torch.distributed as dist

from train.checkpoint import CheckpointError
from train.checkpoint_files import METADATA
from train.config import TrainConfig
from train.distributed import leads_node
from train.run_store import RunIndex, RunStore, StoredFolder, find_folder, is_marked, mark, run_and_folder

Answer = TypeVar("Answer")

LONGEST = timedelta(hours=2)
"""That ranks wait for the slowest upload or download."""
METRICS = "metrics.jsonl"
PLAIN = ("tensorboard", "validation")
"""Folders of a run whose files are uploaded as they come."""


class Together:
    """Does something on every rank, and fails on all where it fails on one. Collective."""

    def __init__(self) -> None:
        # A group of its own: uploads in the background must not mix with training's messages.
        self._group = dist.new_group(backend="gloo", timeout=LONGEST)

    def __call__(self, action: Callable[[], Answer]) -> list[Answer]:
        """What `action` gives on each rank, in rank order. Raises CheckpointError, on every rank, where one fails."""
        answer: tuple[Answer | None, str] = None, ""
        try:
            answer = action(), ""
        except (RuntimeError, ValueError, OSError) as error:
            answer = None, str(error) or repr(error)
        answers = [answer] * dist.get_world_size()
        dist.all_gather_object(answers, answer, group=self._group)
        if failures := sorted({failure for _, failure in answers if failure}):
            raise CheckpointError("; ".join(failures))
        return [value for value, _ in answers]  # type: ignore[misc]

    def first(self, action: Callable[[], Answer]) -> Answer:
        """What `action` gives on rank 0, on every rank."""
        return self(lambda: action() if dist.get_rank() == 0 else None)[0]  # type: ignore[return-value]

    def node(self, action: Callable[[], object]) -> None:
        """Does something once on each node."""
        self(lambda: action() if leads_node() else None)


class RemoteRun:
    """The run behind a URI, and this node's folder of it. Every method but `exported` is collective."""

    def __init__(self, *, uri: str, folder: Path, keep: int) -> None:
        self._together = Together()
        self._store = RunStore(uri)
        self._folder = folder
        self._keep = keep
        self._index = RunIndex()
        self._uploaded: dict[str, tuple[int, int]] = {}
        """Size and time of change, by path in the run, of files that lie in the store as they are."""

    def fetch(self) -> None:
        """Makes the nodes' folders what the store says: a local run that can go on from its newest checkpoint."""
        self._index = self._together.first(self._newest)
        newest = self._index.checkpoints[-1] if self._index.checkpoints else None
        self._together.node(lambda: self._clear(newest))
        if newest is not None:
            self._together.node(lambda: self._store.get_folder(newest, self._folder / newest.name))
            self._together.first(self._fetch_metrics)

    def publish(self, final: Path) -> None:
        """Uploads a checkpoint that every rank has written its part of, and names it when it is whole."""
        rank = dist.get_rank()
        name = final.relative_to(self._folder).as_posix()
        try:
            parts = self._together(lambda: self._put_parts(sorted(final.glob(f"__{rank}_*")), name))
            stored = self._together.first(lambda: self._name(final, name, parts))
            self._together.node(lambda: mark(final, stored))
        except CheckpointError as error:
            raise CheckpointError(
                f"{self._store.uri}/{name} could not be uploaded: {error}. Then start the run again: it goes on from "
                f"the newest checkpoint that run.json names. The nodes' own copies stay in {final} until then"
            ) from error

    def finish(self) -> None:
        """Uploads what is new since the last checkpoint."""
        try:
            self._together.first(lambda: self._put_rest(None))
        except CheckpointError as error:
            raise CheckpointError(
                f"{self._store.uri} lacks what came after its newest checkpoint: {error}. Then start the run again: it "
                "makes and uploads what is left"
            ) from error

    def exported(self, step: int) -> bool:
        """Whether the network of a step lies in the store."""
        return any(export.step == step for export in self._index.exports)

    def _newest(self) -> RunIndex:
        """`run.json` up to the newest checkpoint that is still there: who removes a damaged one takes `.metadata`
        away, as in a local run. Written back: a store that takes nothing is found out before the first step.
        """
        index = self._store.read_index() or RunIndex()
        checkpoints = index.checkpoints
        while checkpoints and not self._store.has(f"{checkpoints[-1].name}/{METADATA}"):
            checkpoints = checkpoints[:-1]
        self._write(index.model_copy(update={"checkpoints": checkpoints}))
        return self._index

    def _clear(self, newest: StoredFolder | None) -> None:
        # What a killed run left here may be of other steps than those that were taken elsewhere since.
        checkpoints = self._folder / "checkpoints"
        checkpoints.mkdir(parents=True, exist_ok=True)
        for path in (*self._folder.iterdir(), *checkpoints.iterdir()):
            if path == checkpoints or (
                newest is not None and path == self._folder / newest.name and is_marked(path, newest)
            ):
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)  # nodes that share a disk remove the same
            else:
                path.unlink(missing_ok=True)

    def _fetch_metrics(self) -> None:
        with suppress(FileNotFoundError):
            self._store.get(METRICS, self._folder / METRICS)

    def _put_parts(self, files: list[Path], name: str) -> dict[str, int]:
        for file in files:
            self._store.put(file, f"{name}/{file.name}")
        return {file.name: file.stat().st_size for file in files}

    def _name(self, final: Path, name: str, parts: list[dict[str, int]]) -> StoredFolder:
        step = int(final.name[-8:])
        rest = [path for path in final.iterdir() if not path.name.startswith("__") and path.name != METADATA]
        sizes = self._put_parts([*rest, final / METADATA], name)
        files = {file: size for part in (*parts, sizes) for file, size in part.items()}
        stored = StoredFolder(name=name, files=files)
        self._put_rest(step)
        older = [entry for entry in self._index.checkpoints if entry.step < step]
        kept = (*older, stored)[-self._keep :]
        gone = [entry for entry in older if entry not in kept]
        gone += [entry for entry in self._index.dropped if entry.name not in {own.name for own in kept}]
        self._write(self._index.model_copy(update={"checkpoints": kept, "dropped": tuple(gone)}))
        for entry in gone:
            self._store.remove(entry)
        self._index = self._index.model_copy(update={"dropped": ()})
        return stored

    def _put_rest(self, step: int | None) -> None:
        """Uploads what is no checkpoint. step: exports of later steps may be in the making yet."""
        inner = [path for folder in PLAIN for path in (self._folder / folder).rglob("*")]
        for path in sorted((*self._folder.iterdir(), *inner)):
            if path.is_file() and path.suffix != ".tmp":
                self._put_changed(path, path.relative_to(self._folder).as_posix())
        for folder in sorted((self._folder / "export").glob("step-*")):
            if folder.suffix != ".tmp" and (step is None or int(folder.name[-8:]) <= step):
                self._put_export(folder, f"export/{folder.name}")

    def _put_changed(self, path: Path, name: str) -> None:
        status = path.stat()
        state = status.st_size, status.st_mtime_ns
        if self._uploaded.get(name) != state:
            self._store.put(path, name)
            self._uploaded[name] = state

    def _put_export(self, folder: Path, name: str) -> None:
        if name in self._uploaded:
            return
        others = tuple(entry for entry in self._index.exports if entry.name != name)
        if len(others) < len(self._index.exports):  # steps that are taken again: no half-replaced export is named
            self._write(self._index.model_copy(update={"exports": others}))
        stored = self._store.put_folder(folder, name)
        exports = tuple(sorted((*others, stored), key=lambda entry: entry.step))
        self._write(self._index.model_copy(update={"exports": exports}))
        self._uploaded[name] = 0, 0

    def _write(self, index: RunIndex) -> None:
        self._store.write_index(index)
        self._index = index


def open_remote(config: TrainConfig) -> RemoteRun | None:
    """The run of a configuration whose output is a URI, fetched; None where it is a folder. Collective."""
    if isinstance(config.output, Path):
        return None
    run = RemoteRun(uri=config.output, folder=config.folder, keep=config.checkpoint.keep)
    run.fetch()
    return run


def with_local_stage1(config: TrainConfig) -> TrainConfig:
    """The configuration with `weights.stage1` on the node's disk, fetched where it is a URI: the newest export of a run
    (else its newest checkpoint), or the one that is named. Collective.
    """
    uri = config.weights.stage1
    if config.stage == 1 or not isinstance(uri, str):
        return config
    together = Together()
    store = RunStore(run_and_folder(uri)[0])
    stored = together.first(lambda: _stage1_folder(uri))
    # Not the folder of that run itself, which may be under way on this node.
    folder = config.scratch(f"{store.uri}/read") / stored.name
    together.node(lambda: store.get_folder(stored, folder))
    weights = config.weights.model_copy(update={"stage1": folder})
    return config.model_copy(update={"weights": weights})


def _stage1_folder(uri: str) -> StoredFolder:
    try:
        return find_folder(uri)[1]
    except CheckpointError as error:
        raise CheckpointError(f"weights.stage1: {error}") from error
