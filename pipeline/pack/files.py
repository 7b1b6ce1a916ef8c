"""A shard's files: the tar with fixed header fields, its offset index and its checksum, as packing and takedowns write
them.
"""

import io
import secrets
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.storage import TEMPORARY, Storage
from schemas.config import file_sha256
from schemas.release import INDEX_SCHEMA, ShardEntry

HASH_LENGTH = 16
"""Hex digits of the content's sha256 at the end of a shard's name."""
Row = dict[str, Any]
"""A row of the index (INDEX_SCHEMA)."""


class ShardTar:
    """The tar of a shard while it is written. rows: of its index so far."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self.rows: list[Row] = []

    def add(self, sample: str, member: str, data: bytes) -> None:
        """Appends one member; the header holds no clock and no owner, so that equal content gives equal bytes."""
        info = tarfile.TarInfo(f"{sample}.{member}")
        info.size, info.mtime, info.mode = len(data), 0, 0o644
        self._tar.addfile(info, io.BytesIO(data))
        start = self._tar.offset - tarfile.BLOCKSIZE * -(-len(data) // tarfile.BLOCKSIZE)
        self.rows.append({"sample": sample, "member": member, "offset": start, "size": len(data)})


def put_shard(storage: Storage, stem: str, fill: Callable[[ShardTar], ShardEntry]) -> ShardEntry:
    """Writes tar, index and checksum, and returns the release's entry. `fill` writes the members and returns an entry
    whose path, sizes and digests are still to be filled in; the tar is named `<stem>-<content hash>.tar`.
    """
    temporary = storage.scratch() / f"{TEMPORARY}{secrets.token_hex(8)}.tar"
    try:
        with tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
            shard = ShardTar(tar)
            entry = fill(shard)
        sha256 = file_sha256(temporary)
        path = f"{stem}-{sha256[:HASH_LENGTH]}.tar"
        entry = entry.model_copy(update={"path": path, "sha256": sha256, "bytes": temporary.stat().st_size})
        # The tar last: whoever sees it finds index and checksum beside it.
        index_sha256, _ = storage.write_table(entry.index_path, pa.Table.from_pylist(shard.rows, INDEX_SCHEMA))
        storage.write(entry.sha256_path, checksum_line(entry))
        storage.put_file(path, temporary)
    finally:
        temporary.unlink(missing_ok=True)
    return entry.model_copy(update={"index_sha256": index_sha256})


def checksum_line(entry: ShardEntry) -> bytes:
    """What the checksum file of a shard holds, in sha256sum's format."""
    return f"{entry.sha256}  {Path(entry.path).name}\n".encode()
