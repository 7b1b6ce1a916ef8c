"""A dataset's files and catalog on a real S3-compatible server on loopback."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import pyarrow as pa
import pytest

from pipeline.catalog import Catalog
from pipeline.dataset import Dataset
from pipeline.storage import Storage, StorageError
from schemas.config import file_sha256
from schemas.release import Release
from tests.pipeline.s3 import faults, served
from tests.pipeline.test_catalog import run_row


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with served() as address:
        yield address


@pytest.fixture
def root(server: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[str]:
    settings = {"ACCESS_KEY_ID": "test", "SECRET_ACCESS_KEY": "test", "REGION": "us-east-1", "ENDPOINT_URL": server}
    for name, value in settings.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    bucket = request.node.name.replace("_", "-")[:60].strip("-")
    boto3.client("s3", endpoint_url=server, region_name="us-east-1").create_bucket(Bucket=bucket)
    yield f"s3://{bucket}/data/mmd"
    faults(server, every=0, lost="", hold="")


def test_files(root: str) -> None:
    storage = Storage(root)
    assert not storage.exists("a/b")
    assert list(storage.list("a")) == []
    storage.write("a/b", b"one")
    storage.write("a/b", b"two!")
    assert (storage.read("a/b"), storage.size("a/b"), storage.exists("a/b")) == (b"two!", 4, True)
    assert abs(storage.modified("a/b") - time.time()) < 60
    with pytest.raises(FileNotFoundError):
        storage.modified("a/none")
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


def test_refused_requests_are_tried_again(server: str, root: str) -> None:
    """Each third request is turned away (throttling, an internal error, no answer): everything still succeeds."""
    storage, catalog = Storage(root), Catalog(Storage(root))
    before = faults(server, every=3)["refused"]
    for number in range(4):
        storage.write(f"a/{number}", str(number).encode())
        catalog.append("runs", [run_row(str(number))])
    assert [storage.read(f"a/{number}") for number in range(4)] == [b"0", b"1", b"2", b"3"]
    assert list(storage.list("a")) == [f"a/{number}" for number in range(4)]
    assert {row["run_id"] for row in catalog.rows("runs", ["run_id"])} == {"0", "1", "2", "3"}
    assert storage.write_if_absent("b", b"first")
    assert not storage.write_if_absent("b", b"second")
    assert storage.read("b") == b"first"
    assert faults(server)["refused"] > before


def test_a_commit_whose_answer_is_lost_is_not_lost(server: str, root: str) -> None:
    """The commit is tried again; at worst a row stands twice, and equal keys count once."""
    catalog = Catalog(Storage(root))
    catalog.append("runs", [run_row("a")])
    faults(server, lost="_delta_log/00000000000000000001.json")
    catalog.append("runs", [run_row("b")])
    assert faults(server)["lost"] == 1
    assert {row["run_id"] for row in catalog.rows("runs", ["run_id"])} == {"a", "b"}


def test_rows_are_deleted_and_files_merged_also_where_the_answer_is_lost(
    server: str, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = Catalog(Storage(root))
    for number in range(5):
        catalog.append("runs", [run_row(str(number))])
    before = faults(server, lost="_delta_log/00000000000000000005.json")["lost"]
    catalog.forget("runs", "run_id", ["1"])
    assert faults(server)["lost"] == before + 1
    catalog.append("runs", [run_row("5")])
    monkeypatch.setattr("pipeline.catalog.COMPACT_ABOVE_FILES", 1)
    catalog.tidy(["runs"])
    assert len(catalog.delta("runs").file_uris()) == 1
    assert [row["run_id"] for row in catalog.rows("runs", ["run_id"])] == ["0", "2", "3", "4", "5"]


UPLOAD = """
import sys
from pathlib import Path
from pipeline.storage import Storage
Storage(sys.argv[1]).put_file("shards/big.tar", Path(sys.argv[2]))
"""


def test_a_large_file_is_never_visible_half_written(server: str, root: str, tmp_path: Path) -> None:
    """Its upload in parts is stopped in the middle, and its process then killed; a second one goes through."""
    storage, file = Storage(root), tmp_path / "big.tar"
    file.write_bytes(bytes(range(256)) * (110 * 4096))  # above the 100 MB from which s3fs sends parts
    faults(server, hold="partNumber=2")
    upload = [sys.executable, "-c", UPLOAD, root, str(file)]
    with subprocess.Popen(upload) as running:
        deadline = time.monotonic() + 60
        while not faults(server)["held"] and time.monotonic() < deadline:
            time.sleep(0.05)
        assert faults(server)["held"], "no part came: the file was not sent in parts"
        assert not storage.exists("shards/big.tar")
        assert list(storage.list("shards")) == []
        running.kill()
    assert running.returncode == -signal.SIGKILL
    assert not storage.exists("shards/big.tar")
    faults(server, hold="", every=4)
    subprocess.run(upload, check=True)
    faults(server, every=0)
    assert storage.size("shards/big.tar") == file.stat().st_size
    assert storage.sha256("shards/big.tar") == file_sha256(file)
