"""A dataset's files and catalog on a real S3-compatible server on loopback."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import boto3
import pyarrow as pa
import pytest

from pipeline.catalog import Catalog
from pipeline.dataset import Dataset
from pipeline.storage import Storage, StorageError
from schemas.release import Release
from tests.pipeline.test_catalog import run_row


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # A process of its own: delta-rs waits for answers with Python's lock held, and would wait for itself.
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    yield f"http://127.0.0.1:{port}"
    running.terminate()
    running.wait(30)


@pytest.fixture
def root(server: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    settings = {"ACCESS_KEY_ID": "test", "SECRET_ACCESS_KEY": "test", "REGION": "us-east-1", "ENDPOINT_URL": server}
    for name, value in settings.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    bucket = request.node.name.replace("_", "-")[:60].strip("-")
    boto3.client("s3", endpoint_url=server, region_name="us-east-1").create_bucket(Bucket=bucket)
    return f"s3://{bucket}/data/mmd"


def test_files(root: str) -> None:
    storage = Storage(root)
    assert not storage.exists("a/b")
    assert list(storage.list("a")) == []
    storage.write("a/b", b"one")
    storage.write("a/b", b"two!")
    assert (storage.read("a/b"), storage.size("a/b"), storage.exists("a/b")) == (b"two!", 4, True)
    table = pa.table({"x": [1, 2, 3]})
    sha256, size = storage.write_table("a/t.parquet", table)
    assert storage.read_table("a/t.parquet").equals(table)
    assert (storage.sha256("a/t.parquet"), storage.size("a/t.parquet")) == (sha256, size)
    assert list(storage.list("a")) == ["a/b", "a/t.parquet"]
    storage.remove("a/b")
    storage.remove("a/b")
    assert not storage.exists("a/b")
    with pytest.raises(StorageError, match=r"none\.parquet is missing"):
        storage.read_table("none.parquet")


def test_of_many_writers_exactly_one_wins(root: str) -> None:
    def claim(number: int) -> bool:
        return Storage(root).write_if_absent("releases/0001.json", str(number).encode())

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(claim, range(8)))
    assert sum(won) == 1
    assert Storage(root).read("releases/0001.json") == str(won.index(True)).encode()


def test_the_catalog_is_written_by_two_writers_at_once(root: str) -> None:
    def append(name: str) -> None:
        catalog = Catalog(Storage(root))
        for number in range(5):
            catalog.append("runs", [run_row(f"{name}{number}")])

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(append, "ab"))
    rows = Catalog(Storage(root)).rows("runs", ["run_id"])
    assert sorted(row["run_id"] for row in rows) == sorted(f"{name}{n}" for name in "ab" for n in range(5))


def test_a_dataset_opens_and_finds_its_newest_release(root: str) -> None:
    dataset = Dataset.create_or_open(root, None)
    assert dataset.newest_release() is None
    for number in range(1, 6):
        release = Release(number=number, shards=())
        assert dataset.storage.write_if_absent(release.path, release.model_dump_json().encode())
    newest = Dataset.open(root).newest_release()
    assert newest is not None
    assert newest.number == 5
