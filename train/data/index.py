"""The offset index of a shard: where each member of each sample lies in the tar."""

import hashlib
import io
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.release import INDEX_SCHEMA, ShardEntry
from train.data.errors import ShardError
from train.data.fetch import Range, Store

MAX_INDEX_BYTES = 64 << 20
MAX_ROWS_A_SAMPLE = 20_000
KEPT_INDEXES = 256


class Members(Mapping[str, Range]):
    """Ranges of one sample's members by name, in tar order. A window wants a few of many, so none is looked up ahead.

    rows: number of each member in `spans`, int64 [members, 2], offset and size in bytes.
    """

    def __init__(self, rows: Mapping[str, int], spans: np.ndarray) -> None:
        self._rows = rows
        self._spans = spans

    def __getitem__(self, name: str) -> Range:
        row = self._rows[name]
        return self._spans.item(row, 0), self._spans.item(row, 1)

    def __contains__(self, name: object) -> bool:
        return name in self._rows

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


@dataclass(frozen=True)
class ShardIndex:
    """starts: int64 [samples + 1], the rows of each sample. names: the different member names; codes: int32 [rows],
    the name of each row. spans: int64 [rows, 2], offset and size in bytes.
    """

    starts: np.ndarray
    names: list[str]
    codes: np.ndarray
    spans: np.ndarray
    _rows: dict[bytes, dict[str, int]] = field(default_factory=dict)
    """Row in the sample by member name, for each list of codes met: samples of equal length share theirs."""

    def members(self, row: int) -> Members:
        """Ranges of the members of sample number `row`, by member name."""
        start, stop = int(self.starts[row]), int(self.starts[row + 1])
        codes = self.codes[start:stop]
        key = codes.tobytes()
        if key not in self._rows:
            self._rows[key] = {self.names[code]: at for at, code in enumerate(codes.tolist())}
        return Members(self._rows[key], self.spans[start:stop])


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
    names = table.column("member").combine_chunks().dictionary_encode()
    starts = np.array([*changes, len(samples)], np.int64)
    return ShardIndex(starts, names.dictionary.to_pylist(), names.indices.to_numpy(), spans)


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
