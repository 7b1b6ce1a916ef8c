"""A shard without some of its samples: the members of the others are copied byte for byte."""

import hashlib
import io
import secrets
import tarfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.storage import TEMPORARY, Storage
from schemas.release import INDEX_SCHEMA, ShardEntry

_HASH_LENGTH = 16  # hex digits of the content's sha256 at the end of a shard's name


def without_samples(storage: Storage, entry: ShardEntry, kept: Collection[str]) -> ShardEntry:
    """Writes a shard of only the samples in `kept`, in their order, with index and checksum beside it.

    It keeps the old one's stem and number; the content hash at the end of the name tells them apart. The same shard
    and samples give the same bytes and the same name. Raises OSError or tarfile.TarError where it cannot be read.
    """
    places = [place for place, name in enumerate(entry.samples) if name in kept]
    temporary = storage.scratch() / f"{TEMPORARY}{secrets.token_hex(8)}.tar"
    try:
        rows = _copy(storage, entry.path, set(kept), temporary)
        with temporary.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        stem = entry.path.removesuffix(".tar")[: -_HASH_LENGTH - 1]
        path = f"{stem}-{sha256[:_HASH_LENGTH]}.tar"
        new = entry.model_copy(
            update={
                "path": path,
                "sha256": sha256,
                "bytes": temporary.stat().st_size,
                "samples": tuple(entry.samples[place] for place in places),
                "frames": tuple(entry.frames[place] for place in places),
                "frame_steps": tuple(entry.frame_steps[place] for place in places),
                "digests": tuple(entry.digests[place] for place in places) if entry.digests else (),
            }
        )
        index_sha256, _ = storage.write_table(new.index_path, pa.Table.from_pylist(rows, INDEX_SCHEMA))
        storage.write(new.sha256_path, f"{sha256}  {path.rpartition('/')[2]}\n".encode())
        storage.put_file(path, temporary)
    finally:
        temporary.unlink(missing_ok=True)
    return new.model_copy(update={"index_sha256": index_sha256})


def _copy(storage: Storage, path: str, kept: Collection[str], target: Path) -> list[dict[str, Any]]:
    rows = []
    with (
        storage.open(path) as file,
        tarfile.open(fileobj=file, mode="r:") as old,
        tarfile.open(target, "w", format=tarfile.USTAR_FORMAT) as new,
    ):
        for member in old:
            if not member.isreg() or member.issparse():
                raise tarfile.ReadError(
                    f"{path}: member {member.name!r} is no plain file: `mikudance verify` says more"
                )
            sample, _, name = member.name.partition(".")
            data = old.extractfile(member)
            if sample not in kept or data is None:
                continue
            info = tarfile.TarInfo(member.name)
            info.size, info.mtime, info.mode = member.size, 0, 0o644
            new.addfile(info, io.BytesIO(data.read()))
            start = new.offset - tarfile.BLOCKSIZE * -(-member.size // tarfile.BLOCKSIZE)
            rows.append({"sample": sample, "member": name, "offset": start, "size": member.size})
    return rows
