"""Range reads from a folder, from fsspec's memory file system with failures, and from an S3 server on loopback."""

import multiprocessing
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from itertools import islice
from pathlib import Path

import fsspec
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.release import ShardEntry
from train.data.batch import TrainBatch
from train.data.cache import BlockCache
from train.data.config import ReaderConfig
from train.data.errors import DatasetError, ShardError
from train.data.fetch import LocalStore, RemoteStore, open_store

DATA = bytes(range(256)) * 37
SHARD = ShardEntry(
    path="shards/x.tar",
    sha256="ab" * 32,
    bytes=len(DATA),
    index_sha256="",
    split="train",
    kind="camera",
    samples=(),
    frames=(),
    frame_steps=(),
)
RANGES = st.lists(
    st.integers(0, len(DATA)).flatmap(lambda o: st.tuples(st.just(o), st.integers(0, len(DATA) - o))), max_size=6
)


class Flaky:
    """fsspec's memory file system, of whose range reads the first `failures` fail; `reads` holds those that came."""

    def __init__(self, failures: int = 0, error: Exception | None = None) -> None:
        self.memory = fsspec.filesystem("memory")
        self.memory.pipe("/flaky/shards/x.tar", DATA)
        self.failures, self.error = failures, error or ConnectionError("reset by peer")
        self.reads: list[tuple[int, int]] = []

    def cat_ranges(self, paths, starts, ends, on_error):
        answers = []
        for path, start, end in zip(paths, starts, ends, strict=True):
            if self.failures:
                self.failures -= 1
                answers.append(self.error)
            else:
                self.reads.append((start, end))
                answers.append(self.memory.cat_file(path, start, end))
        return answers


def remote(filesystem, cache=None, attempts=3, block=1000) -> tuple[RemoteStore, list[float]]:
    waits: list[float] = []
    store = RemoteStore(
        root="memory://flaky",
        filesystem=filesystem,
        prefix="/flaky",
        cache=cache,
        block_bytes=block,
        attempts=attempts,
        pause=waits.append,
    )
    return store, waits


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("store")
    (root / "shards").mkdir()
    (root / "shards/x.tar").write_bytes(DATA)
    return root


@settings(max_examples=40)
@given(RANGES, st.integers(1, 3000))
def test_all_stores_give_the_bytes_of_the_file(folder, tmp_path_factory, ranges, block):
    expected = [DATA[o : o + s] for o, s in ranges]
    assert LocalStore(root=str(folder)).read(SHARD, ranges) == expected
    assert remote(Flaky())[0].read(SHARD, ranges) == expected
    cache = BlockCache(folder=tmp_path_factory.mktemp("cache"), max_bytes=1 << 20)
    store, _ = remote(Flaky(), cache, block=block)
    assert store.read(SHARD, ranges) == expected
    filesystem = Flaky()
    assert remote(filesystem, cache, block=block)[0].read(SHARD, ranges) == expected
    assert filesystem.reads == [], "the second reading comes from the cache"


def test_ranges_beyond_the_file_are_errors(folder):
    wrong = SHARD.model_copy(update={"bytes": len(DATA) + 1})
    with pytest.raises(ShardError, match="incomplete or was changed"):
        LocalStore(root=str(folder)).read(wrong, [(0, 1)])
    with pytest.raises(ShardError, match=r"shards/x\.tar: only 10 of 11 bytes"):
        LocalStore(root=str(folder)).read(SHARD, [(len(DATA) - 10, 11)])
    with pytest.raises(ShardError, match="only 10 of 11 bytes"):
        remote(Flaky())[0].read(SHARD, [(len(DATA) - 10, 11)])
    with pytest.raises(ShardError, match="only 10 of 11 bytes"):
        remote(Flaky())[0].read(wrong, [(len(DATA) - 10, 11)])
    absent = SHARD.model_copy(update={"path": "shards/y.tar"})
    for store in (LocalStore(root=str(folder)), remote(Flaky())[0]):
        with pytest.raises(DatasetError, match=r"shards/y\.tar: there is no such file"):
            store.read(absent, [(0, 1)])


def test_failed_ranges_are_read_again_and_the_others_are_not():
    filesystem = Flaky(failures=2)
    store, waits = remote(filesystem)
    assert store.read(SHARD, [(0, 5), (100, 5), (200, 5)]) == [DATA[0:5], DATA[100:105], DATA[200:205]]
    assert waits == [0.5]
    assert filesystem.reads == [(200, 205), (0, 5), (100, 105)]


def test_gives_up_after_the_last_attempt_and_never_retries_what_is_final():
    store, waits = remote(Flaky(failures=99), attempts=4)
    with pytest.raises(DatasetError, match="4 tries failed, the last with: ConnectionError"):
        store.read(SHARD, [(0, 5)])
    assert waits == [0.5, 1.0, 2.0]
    store, waits = remote(Flaky(failures=99, error=PermissionError("no")))
    with pytest.raises(PermissionError):
        store.read(SHARD, [(0, 5)])
    assert waits == []


def test_small_files(folder):
    (folder / "a.json").write_bytes(b"{}")
    store = LocalStore(root=str(folder))
    assert store.read_file("a.json", 2) == b"{}"
    with pytest.raises(DatasetError, match="above the limit of 1"):
        store.read_file("a.json", 1)
    assert store.exists("a.json")
    assert not store.exists("absent/a.json")


def test_cache_stays_below_its_bound_and_drops_the_oldest(tmp_path):
    cache = BlockCache(folder=tmp_path, max_bytes=64_000)
    for number in range(100):
        cache.put(f"{number:064x}-1000", bytes(1000))
        os.utime(tmp_path / "00" / f"{number:064x}-1000", (number, number))
        held = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
        assert held <= 64_000
        if number == 40:
            assert cache.get(f"{0:064x}-1000", 1000) is not None  # now the most recently used
    assert cache.get(f"{99:064x}-1000", 1000) == bytes(1000)
    assert cache.get(f"{0:064x}-1000", 1000) is not None
    assert cache.get(f"{1:064x}-1000", 1000) is None
    assert not list(tmp_path.glob("tmp-*"))


def test_cut_off_blocks_are_not_believed(tmp_path):
    cache = BlockCache(folder=tmp_path, max_bytes=64_000)
    cache.put("ab-0", b"1234")
    (tmp_path / "ab" / "ab-0").write_bytes(b"12")
    assert cache.get("ab-0", 4) is None
    assert not (tmp_path / "ab" / "ab-0").exists()


def test_a_cache_that_cannot_write_is_off(tmp_path, caplog):
    cache = BlockCache(folder=tmp_path, max_bytes=64_000)
    (tmp_path / "ab").write_text("a file where the cache wants a folder")
    cache.put("ab-0", b"1234")
    assert "is off" in caplog.text


@pytest.fixture(scope="module")
def s3():
    """An S3 server on loopback with one bucket; yields nothing but the environment that points at it."""
    pytest.importorskip("moto.server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # A process of its own: in this one the server's thread would share the interpreter with the readers under test.
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    host = "127.0.0.1"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        filesystem = fsspec.filesystem("s3", skip_instance_cache=True)
        filesystem.mkdir("bucket")
        yield filesystem
    server.terminate()
    server.wait(30)


def _batches(root: str, workers: int, settings: dict[str, object]) -> list[TrainBatch]:
    reader = ReaderConfig(workers=workers, **settings).build(root=root, global_batch=4)
    with closing(reader.batches(reader.start(), rank=0, world=1, micro_batch=2)) as batches:
        return list(islice(batches, 4))


def test_s3_gives_the_same_batches_as_the_folder(s3, dataset, tmp_path):
    s3.put(f"{dataset}/", "bucket/set/", recursive=True)
    settings = {"stage": 2, "frames": 8, "size": (64, 64), "cache_dir": tmp_path, "block_bytes": 16384}
    batches = [_batches(str(dataset), 0, settings), _batches("s3://bucket/set", 0, settings)]
    # A fresh process: this one's worker server may be older than the endpoint and keys in the environment.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as fresh:
        batches.append(fresh.submit(_batches, "s3://bucket/set/", 2, settings).result(timeout=200))
    for local, *others in zip(*batches, strict=True):
        for other in others:
            assert other.sample_ids == local.sample_ids
            for name, value in local.tensors().items():
                assert torch.equal(value, other.tensors()[name]), name
    assert any(path.is_file() for path in tmp_path.rglob("*-16384-*"))


def test_s3_errors_name_the_file(s3, tmp_path):
    store = open_store("s3://bucket/nothing", ReaderConfig(cache_dir=tmp_path, attempts=1))
    assert not store.exists("releases/0001.json")
    with pytest.raises(DatasetError, match=r"s3://bucket/nothing/releases/0001\.json: there is no such file"):
        store.read_file("releases/0001.json", 10)


@pytest.mark.parametrize("root", ["gs://bucket/d", "foo://bucket/d"])
def test_a_store_that_nothing_opens_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch, root: str) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)  # also where it happens to be installed
    with pytest.raises(DatasetError, match=f"{root} cannot be opened: .*mount it"):
        open_store(root, ReaderConfig())
