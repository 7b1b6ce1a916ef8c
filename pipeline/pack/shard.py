"""Packs one shard from the artifacts of its clips."""

from functools import partial
from typing import Any

import pyarrow as pa

from pipeline.pack.files import ShardTar, put_shard
from pipeline.pack.sample import sample_digest, sample_members
from pipeline.storage import Storage
from pipeline.work import ShardWork, WorkItem, artifact_path
from schemas.artifacts.header import Header, make_table, read_header
from schemas.release import ShardEntry
from schemas.sample import SampleJson

STAGE = "pack"
SCHEMA = pa.schema([pa.field("entry", pa.string(), nullable=False)])
"""The artifact of a packed shard: one row, the release entry as JSON. The shard itself lies under `shards/`."""


class PackJob:
    """Packs one shard from the artifacts of its clips. The shard is in place before its artifact says so."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def run(self, item: WorkItem) -> pa.Table:
        work: Any = item.payload
        entry = self.write(work)
        columns = {"entry": [entry.canonical_json()]}
        return make_table(columns, SCHEMA, Header(STAGE, item.item_id, quality={"samples": float(len(entry.samples))}))

    def write(self, work: ShardWork) -> ShardEntry:
        """Writes tar, index and checksum; returns the release's entry. The tar's name carries its sha256."""
        return put_shard(self._storage, f"shards/{work.stem}", partial(self._fill, work))

    def _fill(self, work: ShardWork, shard: ShardTar) -> ShardEntry:
        frames, steps = [], []
        for sample in work.samples:
            tables = {stage: self._storage.read_table(artifact_path(stage, key)) for stage, key in sample.keys.items()}
            for member, data in sample_members(sample.clip, tables, sample.keys):
                if member == "json":
                    meta = SampleJson.model_validate_json(data)
                    frames.append(len(meta.timestamps))
                    steps.append(meta.frame_step)
                shard.add(sample.clip.clip_id, member, data)
        return ShardEntry(
            path="",
            sha256="",
            bytes=0,
            index_sha256="",
            split=work.split,
            kind=work.kind,
            samples=tuple(sample.clip.clip_id for sample in work.samples),
            frames=tuple(frames),
            frame_steps=tuple(steps),
            digests=tuple(sample_digest(sample) for sample in work.samples),
        )


def entry_of(table: pa.Table) -> ShardEntry:
    """The release entry that a pack artifact holds."""
    read_header(table, STAGE)
    return ShardEntry.model_validate_json(table.column("entry")[0].as_py())
