"""The executor on a cluster of several Ray nodes: processes of their own on this machine, really killed and added."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bench.chaos.builds import kill_session
from bench.chaos.nodes import Cluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
PATIENCE_S = 600.0

Item = tuple[str, str, float, list[str]]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster() as running:
        yield running


@pytest.fixture(autouse=True)
def no_nodes_left(cluster: Cluster) -> Iterator[None]:
    yield
    for name in list(cluster.nodes):
        cluster.kill(name)


@dataclass
class Driver:
    """One run of the executor in a process of its own."""

    cluster: Cluster
    folder: Path
    stages: dict[str, dict[str, Any]]
    items: list[Item]

    def start(self) -> "subprocess.Popen[str]":
        self.folder.mkdir(exist_ok=True)
        plan = self.folder / "plan.json"
        plan.write_text(json.dumps({"stages": self.stages, "items": self.items}))
        arguments = [self.cluster.address, str(self.folder / "root"), str(plan), str(self.folder / "log")]
        return subprocess.Popen(
            [sys.executable, "-m", "tests.pipeline.executor.driver", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
            env={**os.environ, **self.cluster.environment},
        )  # fmt: skip

    def log(self) -> list[tuple[str, str, str, list[str]]]:
        """Tries so far: stage, item, node, the resources that the worker holds."""
        path = self.folder / "log"
        return [tuple(json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []

    def tries(self) -> Counter[str]:
        return Counter(name for _, name, _, _ in self.log())

    def artifacts(self) -> dict[str, bytes]:
        root = self.folder / "root"
        return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*.parquet"))}


def result(process: "subprocess.Popen[str]") -> dict[str, Any]:
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, output
    return dict(json.loads(output.splitlines()[-1]))


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def plain(count: int, seconds: float) -> list[Item]:
    return [("plain", f"p{number}", seconds, []) for number in range(count)]


def test_stages_land_on_the_nodes_that_have_what_they_need(cluster: Cluster, tmp_path: Path) -> None:
    small = cluster.add(cpus=1)
    graphics = cluster.add(cpus=1, gpus=1)
    disk = cluster.add(cpus=1, resources={"fast_disk": 1})
    # Each node has a resource with its name, so that a stage shows which node is which.
    stages = {
        "gpu": {"cpus": 0.2, "gpus": 0.5, "workers": 2},
        "disk": {"cpus": 0.2, "custom": {"fast_disk": 0.5}},
        **{f"on_{name}": {"cpus": 0.2, "custom": {name: 0.1}, "workers": 1} for name in (small, graphics, disk)},
    }
    items: list[Item] = [(stage, f"{stage}{number}", 0.05, []) for stage in stages for number in range(4)]
    driver = Driver(cluster, tmp_path / "fits", stages, items)
    assert result(driver.start())["done"] == len(items)
    nodes = {stage: {node for s, _, node, _ in driver.log() if s == stage} for stage in stages}
    assert all(len(found) == 1 for found in nodes.values()), nodes
    assert nodes["gpu"] == nodes[f"on_{graphics}"]
    assert nodes["disk"] == nodes[f"on_{disk}"]
    assert len({*nodes[f"on_{small}"], *nodes["gpu"], *nodes["disk"]}) == 3
    held = {stage: resources for stage, _, _, resources in driver.log()}
    assert "GPU" in held["gpu"]
    assert "fast_disk" in held["disk"]
    assert "GPU" not in held["disk"]

    wanting = {"gpu": {"gpus": 2}, "disk": {"custom": {"fast_disk": 1}, "gpus": 1, "cpus": 0}}
    refused = result(Driver(cluster, tmp_path / "no", wanting, [("gpu", "a", 0, []), ("disk", "b", 0, [])]).start())
    assert "run.gpu.gpus" in refused["refused"]
    assert "run.disk.custom.fast_disk" in refused["refused"]  # each is there, but on no single node
    assert "together" in refused["refused"]
    assert Driver(cluster, tmp_path / "no", {}, []).log() == []


def test_a_killed_node_costs_its_items_in_flight_and_blames_none(cluster: Cluster, tmp_path: Path) -> None:
    lost = cluster.add(cpus=2)
    stages = {"plain": {"cpus": 1, "attempts": 1}}  # a single blamed try would be the end of an item
    driver = Driver(cluster, tmp_path / "killed", stages, plain(30, 1.0))
    running = driver.start()
    wait_for(lambda: len(driver.log()) >= 4)
    before = {node for _, _, node, _ in driver.log()}
    cluster.add(cpus=2)
    wait_for(lambda: len({node for _, _, node, _ in driver.log()}) == 2)  # a node that joins is used
    done = len(driver.artifacts())
    cluster.kill(lost)
    outcome = result(running)
    assert (outcome["done"], outcome["failures"], outcome["retried"]) == (30, [], [])
    again = [name for name, tries in driver.tries().items() if tries > 1]
    assert len(again) <= 2  # one a worker of the lost node
    assert {node for name, node in ((n, node) for _, n, node, _ in driver.log()) if name in again} > before
    assert done < 30

    quiet = Driver(cluster, tmp_path / "quiet", stages, plain(30, 0.0))
    assert result(quiet.start())["done"] == 30
    assert driver.artifacts() == quiet.artifacts()


def test_a_killed_driver_is_continued_by_another(cluster: Cluster, tmp_path: Path) -> None:
    cluster.add(cpus=2)
    driver = Driver(cluster, tmp_path / "run", {"plain": {"cpus": 1}}, plain(12, 0.5))
    first = driver.start()
    wait_for(lambda: len(driver.artifacts()) >= 4)
    kill_session(first.pid)
    first.communicate(timeout=PATIENCE_S)
    flying = len(driver.tries()) - len(driver.artifacts())
    assert 0 <= flying <= 2
    assert result(driver.start())["done"] == 12
    tries = driver.tries()
    assert len(tries) == 12
    assert sum(tries.values()) <= 12 + 2  # what was in flight, at most


def test_idle_workers_make_room_where_no_single_node_has_it(cluster: Cluster, tmp_path: Path) -> None:
    """Half a CPU is free on each of two nodes, and a stage wants a whole one: together enough, but on neither."""
    for _ in range(2):
        cluster.add(cpus=1, resources={"half": 1})
    stages = {
        "halves": {"cpus": 0.5, "custom": {"half": 1}, "workers": 2},
        "whole": {"cpus": 1.0, "workers": 1},
    }
    items: list[Item] = [
        ("halves", "a", 3.0, []), ("halves", "b", 3.0, []),
        ("whole", "c", 0.0, ["a", ]), ("whole", "d", 0.0, ["b"]),
        ("halves", "e", 0.0, ["c"]), ("halves", "f", 0.0, ["d"]),
    ]  # fmt: skip
    driver = Driver(cluster, tmp_path / "run", stages, items)
    assert result(driver.start())["done"] == 6
    assert {node for stage, _, node, _ in driver.log() if stage == "halves"} >= {
        node for stage, _, node, _ in driver.log() if stage == "whole"
    }


def test_two_drivers_at_once_share_the_nodes_and_make_everything_once_each(cluster: Cluster, tmp_path: Path) -> None:
    cluster.add(cpus=2)
    drivers = [Driver(cluster, tmp_path / name, {"plain": {"cpus": 1}}, plain(8, 0.3)) for name in ("one", "two")]
    running = [driver.start() for driver in drivers]
    assert [result(process)["done"] for process in running] == [8, 8]
    assert [set(driver.tries().values()) for driver in drivers] == [{1}, {1}]
    assert drivers[0].artifacts() == drivers[1].artifacts()


@pytest.mark.parametrize("frozen_s", [0, 2])
def test_a_lost_head_ends_the_run_with_the_remedy_and_another_cluster_finishes_it(
    tmp_path: Path, frozen_s: float
) -> None:
    """frozen_s: with questions to the head under way, which Ray waits for until it ends the process."""
    stages, items = {"plain": {"cpus": 1}}, plain(40, 0.5)
    with Cluster() as first:
        first.add(cpus=2)
        driver = Driver(first, tmp_path / "run", stages, items)
        running = driver.start()
        wait_for(lambda: len(driver.artifacts()) >= 4)
        first.kill_head(frozen_s=frozen_s)
        refused = result(running)["refused"]
    assert "Start the cluster again" in refused
    assert "run the same command" in refused
    made = driver.artifacts()
    assert 4 <= len(made) < len(items)
    with Cluster() as second:
        second.add(cpus=2)
        again = Driver(second, tmp_path / "run", stages, items)
        assert result(again.start())["done"] == len(items)
        quiet = Driver(second, tmp_path / "quiet", stages, plain(40, 0.0))
        assert result(quiet.start())["done"] == len(items)
    assert again.artifacts() == quiet.artifacts()
    assert made.items() <= again.artifacts().items()
    tries = again.tries()
    assert sum(tries.values()) <= len(items) + 2  # what was in flight, at most
