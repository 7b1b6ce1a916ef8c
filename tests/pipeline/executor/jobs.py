"""Small real jobs for executor tests: each item makes a one-row table, or misbehaves as its id says."""

import errno
import os
import signal
import time

import pyarrow as pa

from pipeline.storage import Storage
from pipeline.work import WorkItem, digest
from schemas.artifacts.header import Header, make_table
from schemas.clip import Clip
from stages.base import SourceLostError, StageError

SCHEMA = pa.schema([pa.field("text", pa.string())])


class EchoJob:
    """Writes the item's id; raises, dies or hangs where the id asks for it."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def run(self, item: WorkItem) -> pa.Table:
        if "raise" in item.item_id:
            raise ValueError(f"cannot do {item.item_id}")
        if "refuse" in item.item_id:
            raise StageError(f"{item.item_id} is empty: leave it out")
        if "gone" in item.item_id:
            raise SourceLostError(f"/videos/{item.item_id}.mp4: the file is gone")
        if "damaged" in item.item_id:
            self.storage.read_table("artifacts/first/aa/absent.parquet")
        if "full" in item.item_id:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/data/tmp/x")
        if "die" in item.item_id:
            os.kill(os.getpid(), signal.SIGKILL)
        if "hang" in item.item_id:
            time.sleep(600)
        return make_table({"text": [item.item_id]}, SCHEMA, Header(item.stage, item.item_id))


class BrokenJob:
    """A stage whose model does not load."""

    def __init__(self, storage: Storage) -> None:
        raise RuntimeError("the model file is damaged")


def chain(name: str, stages: tuple[str, ...]) -> list[WorkItem]:
    """One item a stage, each needing the one before."""
    clip = Clip(name, "s", "camera", "train", 0, 16, (30, 1), 0.0, "none.mp4")
    items: list[WorkItem] = []
    for stage in stages:
        inputs = {items[-1].stage: items[-1].key} if items else {}
        items.append(WorkItem(stage, digest(stage, name), name, "s", clip, inputs))
    return items
