"""A shard without some of its samples: the members of the others are copied byte for byte."""

import tarfile
from collections.abc import Collection

from pipeline.pack.files import HASH_LENGTH, ShardTar, put_shard
from pipeline.storage import Storage
from schemas.release import ShardEntry


def without_samples(storage: Storage, entry: ShardEntry, kept: Collection[str]) -> ShardEntry:
    """Writes a shard of only the samples in `kept`, in their order, with index and checksum beside it.

    It keeps the old one's stem and number; the content hash at the end of the name tells them apart. The same shard
    and samples give the same bytes and the same name. Raises OSError or tarfile.TarError where it cannot be read.
    """
    places = [place for place, name in enumerate(entry.samples) if name in kept]
    left = {
        "samples": tuple(entry.samples[place] for place in places),
        "frames": tuple(entry.frames[place] for place in places),
        "frame_steps": tuple(entry.frame_steps[place] for place in places),
        "digests": tuple(entry.digests[place] for place in places) if entry.digests else (),
    }

    def fill(shard: ShardTar) -> ShardEntry:
        _copy(storage, entry.path, set(kept), shard)
        return entry.model_copy(update=left)

    return put_shard(storage, entry.path.removesuffix(".tar")[: -HASH_LENGTH - 1], fill)


def _copy(storage: Storage, path: str, kept: Collection[str], shard: ShardTar) -> None:
    with storage.open(path) as file, tarfile.open(fileobj=file, mode="r:") as old:
        for member in old:
            if not member.isreg() or member.issparse():
                raise tarfile.ReadError(
                    f"{path}: member {member.name!r} is no plain file: `mikudance verify` says more"
                )
            sample, _, name = member.name.partition(".")
            data = old.extractfile(member)
            if sample in kept and data is not None:
                shard.add(sample, name, data.read())
