"""The offset index of a shard: where each member of each sample lies in the tar."""

import hashlib
import io
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.release import INDEX_SCHEMA, ShardEntry
from train.data.errors import ShardError
from train.data.fetch import Range, Store

MAX_INDEX_BYTES = 64 << 20
MAX_ROWS_A_SAMPLE = 20_000
KEPT_INDEXES = 256


@dataclass(frozen=True)
class ShardIndex:
    """starts: int64 [samples + 1], the rows of each sample. names: members in tar order. spans: int64 [rows, 2],
    offset and size in bytes.
    """

    starts: np.ndarray
    names: pa.Array
    spans: np.ndarray

    def members(self, row: int) -> dict[str, Range]:
        """Ranges of the members of sample number `row`, by member name."""
        start, stop = int(self.starts[row]), int(self.starts[row + 1])
        names = self.names.slice(start, stop - start).to_pylist()
        return {name: (o, s) for name, (o, s) in zip(names, self.spans[start:stop].tolist(), strict=True)}


def parse_index(data: bytes, shard: ShardEntry) -> ShardIndex:
    """The index of `shard` from the bytes of its Parquet file. Raises ShardError where the bytes are not those that the
    release names, or where a row does not lie in the tar.
    """
    path = shard.index_path
    digest = hashlib.sha256(data).hexdigest()
    if digest != shard.index_sha256:
        raise ShardError(
            f"{path}: sha256 is {digest[:12]}…, the release says {shard.index_sha256[:12]}…: the copy is damaged or "
            "the index was rewritten; copy it again"
        )
    try:
        with pq.ParquetFile(io.BytesIO(data)) as file:
            if file.metadata.num_rows > MAX_ROWS_A_SAMPLE * len(shard.samples):
                raise ShardError(f"{path}: {file.metadata.num_rows} rows for {len(shard.samples)} samples")
            table = file.read(use_threads=False)
    except pa.ArrowException as error:
        raise ShardError(f"{path}: not a Parquet index ({error})") from error
    if not table.schema.equals(INDEX_SCHEMA, check_metadata=False):
        raise ShardError(f"{path}: columns are {table.schema.names}, the contract says {INDEX_SCHEMA.names}")
    samples = table.column("sample").combine_chunks().to_pylist()
    changes = [i for i in range(len(samples)) if i == 0 or samples[i] != samples[i - 1]]
    found = tuple(samples[i] for i in changes)
    if found != shard.samples:
        raise ShardError(f"{path}: lists {len(found)} samples which are not the {len(shard.samples)} of the release")
    spans = np.stack([table.column(name).to_numpy() for name in ("offset", "size")], axis=1)
    # Compared without adding, which could overflow.
    bad = (spans < 0).any(axis=1) | (spans[:, 0] > shard.bytes) | (spans[:, 1] > shard.bytes - spans[:, 0])
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        offset, size = spans[row].tolist()
        raise ShardError(
            f"{path}: member {table.column('member')[row].as_py()!r} of {samples[row]} has offset {offset} and size "
            f"{size}, outside the shard's {shard.bytes} bytes"
        )
    names = table.column("member").combine_chunks()
    return ShardIndex(np.array([*changes, len(samples)], np.int64), names, spans)


class IndexCache:
    """Indexes of the shards in use, loaded when first asked for, the least recently used dropped."""

    def __init__(self, *, store: Store, kept: int = KEPT_INDEXES) -> None:
        self._store = store
        self._kept = kept
        self._indexes: OrderedDict[str, ShardIndex] = OrderedDict()

    def get(self, shard: ShardEntry) -> ShardIndex:
        """The index of a shard. Raises DatasetError or ShardError."""
        key = shard.index_sha256
        if key in self._indexes:
            self._indexes.move_to_end(key)
        else:
            self._indexes[key] = parse_index(self._store.read_file(shard.index_path, MAX_INDEX_BYTES), shard)
            if len(self._indexes) > self._kept:
                self._indexes.popitem(last=False)
        return self._indexes[key]
