import hashlib
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.train.shards import ClipSpec, sample_members, write_shard
from train.data.errors import ShardError
from train.data.fetch import LocalStore
from train.data.index import IndexCache, parse_index
from train.data.release import load_release


@pytest.fixture
def shard(dataset):
    return load_release(LocalStore(root=str(dataset))).shards[1]


def test_members_are_those_that_tarfile_finds(dataset, shard):
    index = parse_index((dataset / shard.index_path).read_bytes(), shard)
    data = (dataset / shard.path).read_bytes()
    found = {
        f"{sample}.{name}": data[offset : offset + size]
        for row, sample in enumerate(shard.samples)
        for name, (offset, size) in index.members(row).items()
    }
    with tarfile.open(dataset / shard.path) as tar:
        members = {info.name: tar.extractfile(info).read() for info in tar}
    assert found == members


def test_samples_of_different_lengths_have_their_own_members(tmp_path):
    specs = [ClipSpec(number=n, frames=frames, size=(16, 16)) for n, frames in enumerate((26, 30, 26))]
    samples = [(spec, sample_members(spec)) for spec in specs]
    shard = write_shard(tmp_path, "mixed", samples)
    index = parse_index((tmp_path / shard.index_path).read_bytes(), shard)
    data = (tmp_path / shard.path).read_bytes()
    for row, (_, members) in enumerate(samples):
        found = index.members(row)
        assert list(found) == list(members)
        assert len(found) == len(members)
        assert {name: data[offset : offset + size] for name, (offset, size) in found.items()} == members
        assert ("frame_029.jpg" in found) == (row == 1)
        with pytest.raises(KeyError):
            found["frame_030.jpg"]


def changed(dataset, shard, change):
    """The shard's index with `change(columns)` applied, and an entry whose checksum agrees with it."""
    table = pq.read_table(dataset / shard.index_path)
    columns = table.to_pydict()
    change(columns)
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns, schema=table.schema), sink)
    data = sink.getvalue().to_pybytes()
    return data, shard.model_copy(update={"index_sha256": hashlib.sha256(data).hexdigest()})


@pytest.mark.parametrize(
    ("column", "value"),
    [("offset", -1), ("size", -1), ("offset", 2**62), ("size", 2**63 - 1), ("size", 10**9)],
)
def test_rows_outside_the_tar_are_refused(dataset, shard, column, value):
    def change(columns):
        columns[column][5] = value

    with pytest.raises(ShardError, match=rf"{shard.index_path}: member .* outside the shard's {shard.bytes} bytes"):
        parse_index(*changed(dataset, shard, change))


def test_other_samples_are_refused(dataset, shard):
    def swap(columns):
        columns["sample"].reverse()

    with pytest.raises(ShardError, match="not the 3 of the release"):
        parse_index(*changed(dataset, shard, swap))


def test_another_checksum_or_format_is_refused(dataset, shard):
    data = (dataset / shard.index_path).read_bytes()
    with pytest.raises(ShardError, match=f"{shard.index_path}: sha256"):
        parse_index(data + b" ", shard)
    junk = b"PAR1 is not enough"
    entry = shard.model_copy(update={"index_sha256": hashlib.sha256(junk).hexdigest()})
    with pytest.raises(ShardError, match="not a Parquet index"):
        parse_index(junk, entry)
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"sample": ["x"]}), sink)
    data = sink.getvalue().to_pybytes()
    entry = shard.model_copy(update={"index_sha256": hashlib.sha256(data).hexdigest()})
    with pytest.raises(ShardError, match="columns are"):
        parse_index(data, entry)


def test_indexes_are_loaded_once_and_the_oldest_dropped(dataset):
    store = LocalStore(root=str(dataset))
    shards = load_release(store).shards
    loads = []
    read_file = store.read_file
    store.read_file = lambda path, limit: loads.append(path) or read_file(path, limit)
    cache = IndexCache(store=store, kept=2)
    for number in (0, 1, 0, 2, 0, 1):
        cache.get(shards[number])
    assert loads == [shards[i].index_path for i in (0, 1, 2, 1)]
