"""Runs whose output is a URI, on an S3 server on loopback that can be told to fail."""

import json
import os
import shutil
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

from tests.pipeline.s3 import faults, served
from tests.train.ranks import losses, stage2, start_ranks, tiny_train
from train.__main__ import main
from train.checkpoint import CheckpointError
from train.config import TrainConfig
from train.loop import train

ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a server with one bucket, which the environment points at."""
    pytest.importorskip("moto.server")
    s3fs = pytest.importorskip("s3fs")
    with served() as address, pytest.MonkeyPatch.context() as patch:
        for name, value in ({"AWS_ENDPOINT_URL": address, "AWS_MAX_ATTEMPTS": "1"} | ENVIRONMENT).items():
            patch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()  # those of other tests know other servers
        fsspec.filesystem("s3").mkdir("bucket")
        yield address
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def uri(server: str, request: pytest.FixtureRequest) -> Iterator[str]:
    yield f"s3://bucket/{request.node.name.partition('[')[0]}"
    faults(server, every=0, cut="", lost="", hold="")


@pytest.fixture(scope="module")
def local_losses(small_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    """Of four steps of a run in a folder, never interrupted."""
    config = tiny_train(small_shards, tmp_path_factory.mktemp("local"), "steps=4", "micro_batch=4")
    train(config)
    return losses(config)


def remote(dataset: Path, uri: str, scratch: Path, *settings: str) -> TrainConfig:
    return tiny_train(
        dataset,
        uri,
        f"checkpoint.scratch={scratch}",
        "checkpoint.every=1",
        "micro_batch=4",
        "steps=4",
        *settings,
    )


def as_node(rank: int, *, server: str, scratch: Path, nodes: str) -> None:
    """Makes each rank the only one of a node whose cache is a folder of its own."""
    os.environ |= ENVIRONMENT | {"AWS_ENDPOINT_URL": server, "AWS_MAX_ATTEMPTS": "1", "LOCAL_RANK": "0"}
    os.environ["MIKUDANCE_CACHE"] = str(scratch / nodes[rank])


def index(uri: str) -> dict[str, Any]:
    return dict(json.loads(fsspec.filesystem("s3").cat_file(f"{uri}/run.json")))


def names(uri: str, what: str = "checkpoints") -> list[str]:
    return [entry["name"] for entry in index(uri)[what]]


def stored(uri: str) -> set[str]:
    """All objects of a run, by their path in it."""
    store = fsspec.filesystem("s3")
    store.invalidate_cache()
    return {path.split("/", 2)[2] for path in store.find(uri)}


def named_files(uri: str) -> set[str]:
    entries = [entry for what in ("checkpoints", "exports") for entry in index(uri)[what]]
    return {f"{entry['name']}/{file}" for entry in entries for file in entry["files"]}


def test_a_run_killed_in_an_upload_goes_on_from_an_empty_disk_bit_by_bit(
    server: str, uri: str, small_shards: Path, tmp_path: Path, local_losses: list[float]
) -> None:
    config = remote(small_shards, uri, tmp_path / "one")
    key = uri.removeprefix("s3:/")
    faults(server, hold=f"PUT {key}/checkpoints/step-00000002/.metadata")
    held = faults(server)["held"]
    (process,) = start_ranks(config, 1, partial(as_node, server=server, scratch=tmp_path, nodes="a"))
    deadline = time.monotonic() + 120
    while faults(server)["held"] == held:
        assert time.monotonic() < deadline, "the upload did not begin"
        time.sleep(0.05)
    process.kill()
    process.join()
    faults(server, hold="")
    assert names(uri) == ["checkpoints/step-00000001"]
    again = remote(small_shards, uri, tmp_path / "two")
    assert train(again).step == 4
    assert losses(again) == local_losses
    assert names(uri) == ["checkpoints/step-00000003", "checkpoints/step-00000004"]
    assert names(uri, "exports") == ["export/step-00000004"]


@pytest.mark.parametrize("asynchronous", ["true", pytest.param("false", marks=pytest.mark.slow)])
def test_an_upload_that_fails_ends_the_run_and_the_checkpoint_before_is_gone_on_from(
    server: str,
    uri: str,
    small_shards: Path,
    tmp_path: Path,
    local_losses: list[float],
    monkeypatch: pytest.MonkeyPatch,
    asynchronous: str,
) -> None:
    uri = f"{uri}/{asynchronous}"
    monkeypatch.setattr("train.run_store.ATTEMPTS", 2)
    config = remote(small_shards, uri, tmp_path, f"checkpoint.asynchronous={asynchronous}")
    faults(server, cut=f"PUT {uri.removeprefix('s3:/')}/checkpoints/step-00000002")
    with pytest.raises(
        CheckpointError, match=r"step-00000002 could not be uploaded: .*2 tries failed.*See to the store"
    ):
        train(config)
    assert names(uri) == ["checkpoints/step-00000001"]
    assert (config.folder / "checkpoints/step-00000002/.metadata").is_file()
    faults(server, cut="")
    assert train(config).step == 4
    assert losses(config) == local_losses


@pytest.mark.slow
def test_nodes_with_disks_of_their_own_and_other_numbers_of_ranks(
    server: str, uri: str, small_shards: Path, tmp_path: Path, local_losses: list[float]
) -> None:
    for steps, nodes in ((2, "ab"), (3, "bc"), (4, "a")):
        config = tiny_train(small_shards, uri, f"steps={steps}", "checkpoint.every=1")
        prepare = partial(as_node, server=server, scratch=tmp_path, nodes=nodes)
        processes = start_ranks(config, len(nodes), prepare)
        for process in processes:
            process.join(240)
        assert [process.exitcode for process in processes] == [0] * len(nodes)
        assert names(uri)[-1] == f"checkpoints/step-{steps:08d}"
        if steps == 2:
            parts = [list(tmp_path.glob(f"{node}/runs/*/checkpoints/step-00000002/__*")) for node in nodes]
            assert [[part.name for part in own] for own in parts] == [["__0_0.distcp"], ["__1_0.distcp"]]
    lines = fsspec.filesystem("s3").cat_file(f"{uri}/metrics.jsonl").splitlines()
    np.testing.assert_allclose([json.loads(line)["loss"] for line in lines], local_losses, rtol=1e-5)


def test_a_throttling_store_gets_the_whole_run_and_keeps_the_newest_checkpoints(
    server: str, uri: str, small_shards: Path, tmp_path: Path, local_losses: list[float]
) -> None:
    settings = (
        "checkpoint.export_every=3",
        "validation.samples=1",
        "validation.every=4",
        "validation.sampling.steps=1",
    )
    config = remote(small_shards, uri, tmp_path, "checkpoint.keep=2", *settings)
    before = faults(server, every=6)["refused"]
    train(config)
    assert faults(server, every=0)["refused"] > before + 5
    assert losses(config) == local_losses
    assert names(uri) == ["checkpoints/step-00000003", "checkpoints/step-00000004"]
    assert names(uri, "exports") == ["export/step-00000003", "export/step-00000004"]
    files = stored(uri)
    rest = files - named_files(uri)
    assert files > named_files(uri)
    assert {"run.json", "config.yaml", "metrics.jsonl"} < rest
    assert {name.split("/")[0] for name in rest if "/" in name} == {"tensorboard", "validation"}
    assert f"output: {uri}\n" in (config.folder / "config.yaml").read_text()
    # Nothing is left to do: nothing is made or uploaded again.
    asked = index(uri)
    shutil.rmtree(tmp_path)
    assert train(config).step == 4
    assert index(uri) == asked
    assert not (config.folder / "export").exists()


def test_stage_2_takes_stage_1_from_the_store(server: str, uri: str, small_shards: Path, tmp_path: Path) -> None:
    first = remote(small_shards, f"{uri}/one", tmp_path, "steps=1", "reader.size=[128, 128]")
    train(first)
    settings = ("steps=1", "global_batch=1", "weights.random=false")
    found = []
    for place in (
        first.folder,
        f"{uri}/one",
        f"{uri}/one/export/step-00000001",
        f"{uri}/one/checkpoints/step-00000001",
    ):
        more = ["weights.random=true"] if "checkpoints" in str(place) else []
        config = stage2(
            *(small_shards, tmp_path / f"two{len(found)}", *settings, f"weights.stage1={place}", *more),
            f"checkpoint.scratch={tmp_path}",
        )
        train(config)
        found.append(losses(config))
    assert found == [found[0]] * 4
    with pytest.raises(CheckpointError, match=r"weights\.stage1: there is no s3://bucket/none/run\.json"):
        train(stage2(small_shards, tmp_path / "none", *settings, "weights.stage1=s3://bucket/none"))
    with pytest.raises(
        CheckpointError,
        match=r"weights\.stage1: .*names no export/step-00000009 .*it has export/step-00000001, checkpoints",
    ):
        train(stage2(small_shards, tmp_path / "none", *settings, f"weights.stage1={uri}/one/export/step-00000009"))


def test_a_dry_run_leaves_the_store_alone(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("train.run_store.open_filesystem", lambda uri: pytest.fail(f"{uri} was opened"))
    assert main(["tiny.yaml", "--output", "s3://bucket/run", "--dry-run", "--ranks", "1"]) == 0
    assert "parameters" in capsys.readouterr().out


def test_a_store_that_refuses_is_named_with_the_remedy(
    server: str, small_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("train.run_store.ATTEMPTS", 1)
    config = remote(small_shards, "s3://no-such-bucket/run", tmp_path)
    with pytest.raises(CheckpointError, match=r"s3://no-such-bucket/run.*See to the store.*credentials"):
        train(config)


@pytest.mark.slow
def test_the_checkpoint_before_a_removed_one_is_gone_on_from(
    server: str, uri: str, small_shards: Path, tmp_path: Path, local_losses: list[float]
) -> None:
    config = remote(small_shards, uri, tmp_path)
    train(config)
    fsspec.filesystem("s3").rm_file(f"{uri}/checkpoints/step-00000004/.metadata")
    train(config)
    assert losses(config) == local_losses
    # A file that another hand has changed is refused.
    fsspec.filesystem("s3").pipe_file(f"{uri}/checkpoints/step-00000004/__0_0.distcp", b"short")
    shutil.rmtree(config.folder)
    with pytest.raises(CheckpointError, match=r"__0_0\.distcp has 5 bytes and should have \d+"):
        train(config)
