"""`mikudance` on a dataset in an object store, end to end: commands as a user types them, a server that fails now and
then, and the same bytes as on local disk.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from pipeline.config_file import dump
from pipeline.dataset import Dataset
from pipeline.demo import render_demo
from tests.pipeline.s3 import faults, served
from tests.pipeline.small import small_config

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1800)]
COMMAND = [sys.executable, "-c", "from pipeline.cli.main import main; main()"]
ROOT = "s3://bucket/data/mmd"
FOLDERS = ("catalog", "artifacts", "shards", "releases")
SECRET = "not-in-any-file"  # moto takes any


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A server's address; the environment holds what its clients need."""
    with served() as address, pytest.MonkeyPatch.context() as patch:
        names = ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "REGION", "ENDPOINT_URL")
        for name, value in zip(names, ("somebody", SECRET, "us-east-1", address), strict=True):
            patch.setenv(f"AWS_{name}", value)
        yield address


def mikudance(*arguments: str, code: int = 0) -> str:
    """What a command prints, in a process of its own with this one's environment."""
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def build(root: str, videos: Path, config: Path) -> None:
    mikudance("build", str(videos / "character_cut.mp4"), "-d", root, "--config", str(config))
    mikudance("add", str(videos / "camera_dolly.mp4"), "-d", root, "--kind", "camera")


@pytest.fixture(scope="module")
def local(server: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two videos made into the same dataset twice: in a folder, and in the bucket of a server that fails at times."""
    home = tmp_path_factory.mktemp("home")
    boto3.client("s3", endpoint_url=server, region_name="us-east-1").create_bucket(Bucket="bucket")
    render_demo(home / "videos", size=128, frames=32)
    config = home / "config.yaml"
    config.write_text(dump(small_config(gates={"refuse_status": {}, "refuse_status_character": {}})))
    build(str(home / "dataset"), home / "videos", config)
    faults(server, every=25)
    build(ROOT, home / "videos", config)
    assert faults(server, every=0)["refused"] > 20
    return str(home / "dataset")


def test_nothing_is_left_to_do(local: str, server: str) -> None:
    faults(server, every=25)
    assert "nothing to do: everything is up to date" in mikudance("build", "-d", ROOT)
    assert "0 damaged, 0 loose files" in mikudance("verify", "-d", ROOT)
    status = json.loads(mikudance("status", "-d", ROOT, "--json"))
    faults(server, every=0)
    assert status["release"] == 2
    assert status["sources"] == {"character": 1, "camera": 1}
    assert sum(status["clips"].values()) == 3
    assert not status["todo"]
    assert not status["failures"]


def test_the_same_bytes_as_on_disk_and_no_credentials(local: str, server: str) -> None:
    there, here = Dataset.open(ROOT), Dataset.open(local)
    assert there.release(2).digest() == here.release(2).digest()
    for folder in ("artifacts", "shards", "releases"):
        names = list(here.storage.list(folder))
        assert list(there.storage.list(folder)) == names
        for path in names:
            assert there.storage.read(path) == here.storage.read(path), path
    for path in ("config.yaml", *(path for folder in FOLDERS for path in there.storage.list(folder))):
        assert SECRET.encode() not in there.storage.read(path), path


def test_damage_is_found_and_mended(local: str) -> None:
    """One artifact is cut off, one shard changed."""
    dataset = Dataset.open(ROOT)
    artifact = next(path for path in dataset.storage.list("artifacts/pose"))
    shard = next(path for path in dataset.storage.list("shards") if path.endswith(".tar"))
    whole = {path: dataset.storage.read(path) for path in (artifact, shard)}
    dataset.storage.write(artifact, whole[artifact][:100])
    dataset.storage.write(shard, whole[shard][:-1] + b"x")
    found = mikudance("verify", "-d", dataset.root, "--repair", code=4)
    assert f"changed: {artifact}" in found
    assert f"shard: {shard}" in found
    mikudance("build", "-d", dataset.root)
    assert dataset.storage.read(artifact) == whole[artifact]
    assert dataset.storage.read(shard) != whole[shard], "a shard is never replaced by itself"
    dataset.storage.write(shard, whole[shard])


@pytest.mark.parametrize("absent", ["bucket", "credentials", "server"])
def test_what_is_absent_is_named(server: str, monkeypatch: pytest.MonkeyPatch, absent: str, tmp_path: Path) -> None:
    if absent == "credentials":
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    if absent == "server":
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    command = [*COMMAND, "status", "-d", "s3://nowhere/data"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout
    assert done.stderr.startswith("error: "), done.stderr
    assert {"bucket": "s3://nowhere/data", "credentials": "credentials", "server": "127.0.0.1:9"}[absent] in done.stderr
