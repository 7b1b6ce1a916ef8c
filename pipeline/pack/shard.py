"""Writes one shard: a plain tar with fixed header fields, its offset index, and its checksum file."""

import hashlib
import io
import secrets
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.pack.sample import sample_digest, sample_members
from pipeline.storage import TEMPORARY, Storage
from pipeline.work import ShardWork, WorkItem, artifact_path
from schemas.artifacts.header import Header, make_table, read_header
from schemas.release import INDEX_SCHEMA, ShardEntry
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
        temporary = self._storage.scratch() / f"{TEMPORARY}{secrets.token_hex(8)}.tar"
        try:
            rows, frames, steps = self._write_tar(temporary, work)
            sha256 = _file_sha256(temporary)
            size = temporary.stat().st_size
            path = f"shards/{work.stem}-{sha256[:16]}.tar"
            entry = ShardEntry(
                path=path,
                sha256=sha256,
                bytes=size,
                index_sha256="",
                split=work.split,
                kind=work.kind,
                samples=tuple(sample.clip.clip_id for sample in work.samples),
                frames=tuple(frames),
                frame_steps=tuple(steps),
                digests=tuple(sample_digest(sample) for sample in work.samples),
            )
            # The tar last: whoever sees it finds index and checksum beside it.
            index_sha256, _ = self._storage.write_table(entry.index_path, pa.Table.from_pylist(rows, INDEX_SCHEMA))
            self._storage.write(entry.sha256_path, f"{sha256}  {path.rpartition('/')[2]}\n".encode())
            self._storage.put_file(path, temporary)
        finally:
            temporary.unlink(missing_ok=True)
        return entry.model_copy(update={"index_sha256": index_sha256})

    def _write_tar(self, target: Path, work: ShardWork) -> tuple[list[dict[str, Any]], list[int], list[int]]:
        rows: list[dict[str, Any]] = []
        frames, steps = [], []
        with tarfile.open(target, "w", format=tarfile.USTAR_FORMAT) as tar:
            for sample in work.samples:
                tables = {
                    stage: self._storage.read_table(artifact_path(stage, key)) for stage, key in sample.keys.items()
                }
                for member, data in sample_members(sample.clip, tables, sample.keys):
                    if member == "json":
                        meta = SampleJson.model_validate_json(data)
                        frames.append(len(meta.timestamps))
                        steps.append(meta.frame_step)
                    info = tarfile.TarInfo(f"{sample.clip.clip_id}.{member}")
                    info.size, info.mtime, info.mode = len(data), 0, 0o644
                    tar.addfile(info, io.BytesIO(data))
                    start = tar.offset - tarfile.BLOCKSIZE * -(-len(data) // tarfile.BLOCKSIZE)
                    rows.append({"sample": sample.clip.clip_id, "member": member, "offset": start, "size": len(data)})
        return rows, frames, steps


def entry_of(table: pa.Table) -> ShardEntry:
    """The release entry that a pack artifact holds."""
    read_header(table, STAGE)
    return ShardEntry.model_validate_json(table.column("entry")[0].as_py())


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
