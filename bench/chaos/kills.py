"""Drivers, workers and whole nodes, killed at random moments of builds on a cluster of Ray nodes; and its head."""

import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

from bench.chaos import builds
from bench.chaos.disk import wait_for_artifacts
from bench.chaos.ground import Ground
from bench.chaos.nodes import Cluster

NODES = 2
CPUS = 2
VICTIMS = ("driver", "worker", "node")
PATIENCE_S = 600.0
"""How long a kill may wait for a worker with work in hand."""
FROZEN_S = 2.0
"""How long the head stands still before it is killed: drivers then have questions to it under way."""


def victims(rng: Random, count: int) -> Iterator[str]:
    """So many victims: each kind once in every three, in an order that is drawn anew for each three."""
    drawn = (victim for _ in range(-(-count // len(VICTIMS))) for victim in rng.sample(VICTIMS, len(VICTIMS)))
    return (next(drawn) for _ in range(count))


def kills(ground: Ground, *, count: int = 20) -> str:
    """SIGKILL `count` times; each build goes on until it has ended well, then a new one begins."""
    rng = ground.rng("kills")
    todo = list(victims(rng, count))[::-1]
    done: Counter[str] = Counter()
    rounds = held = 0
    with Cluster() as cluster:
        for _ in range(NODES):
            cluster.add(cpus=CPUS)
        while todo:
            root = ground.folder / f"kills-{rounds}"
            left = list(todo)
            code, output, lost = _one(ground, cluster, root, rng, todo)
            done.update(left[len(todo) :])
            held += lost
            ground.must_be_identical(root, code, output)
            shutil.rmtree(root)
            rounds += 1
    killed = ", ".join(f"{done[victim]} {victim}s" for victim in VICTIMS)
    return (
        f"{killed} killed with {held} items in the hands of those workers and nodes, during {rounds} builds on {NODES} "
        "nodes; every build byte-identical"
    )


def _one(ground: Ground, cluster: Cluster, root: Path, rng: Random, todo: list[str]) -> tuple[int, str, int]:
    """One build to its end, with kills of those at the end of `todo`, which they are taken from.

    Returns exit code, output, and how many items killed workers and nodes held.
    """
    process, lost = _start(ground, cluster, root), 0
    while todo:
        try:
            process.wait(rng.uniform(0.05, 0.5) * ground.length)
            break
        except subprocess.TimeoutExpired:
            if todo[-1] == "driver":
                builds.kill_session(process.pid)
                builds.finish(process)
                process = _start(ground, cluster, root)
                held = 0
            elif todo[-1] == "node":
                name = rng.choice(sorted(cluster.nodes))
                held = len(cluster.nodes[name].working())
                cluster.kill(name)
                cluster.add(cpus=CPUS)
            else:
                working = _wait_for_work(cluster, process)
                if not working:
                    break  # this build has ended: the next one's worker then
                builds.kill(rng.choice(working))
                held = 1
            lost += held
            victim = todo.pop()
            items = "" if victim == "driver" else f" that held {held} items"
            print(f"  {time.strftime('%H:%M:%S')} killed a {victim}{items}", flush=True)
    return *builds.finish(process), lost


def _wait_for_work(cluster: Cluster, process: "subprocess.Popen[str]") -> list[int]:
    """Ids of the workers that hold an item, as soon as there is one; empty if the build ends first."""
    deadline = time.monotonic() + PATIENCE_S
    while process.poll() is None:
        if working := [number for name in sorted(cluster.nodes) for number in cluster.nodes[name].working()]:
            return working
        if time.monotonic() > deadline:
            raise RuntimeError(f"for {PATIENCE_S:g} s no worker of a running build had anything in hand")
        time.sleep(0.05)
    return []


def head_node(ground: Ground) -> str:
    """The head of the cluster freezes and is killed in mid-build: refused with the remedy; identical on another."""
    root = ground.folder / "head"
    with Cluster() as cluster:
        cluster.add(cpus=CPUS)
        process = _start(ground, cluster, root)
        wait_for_artifacts(root, ground.rng("head").randint(1, len(ground.quiet.artifacts) - 5), process)
        cluster.kill_head(frozen_s=FROZEN_S)
        began = time.monotonic()
        said = ground.must_be_refused(*builds.finish(process), "Start the cluster again")
        took = time.monotonic() - began
        print(f"  after {took:.0f} s: {said}", flush=True)
    with Cluster() as cluster:
        cluster.add(cpus=CPUS)
        made = sum(1 for _ in root.glob("artifacts/**/*.parquet"))
        ground.must_be_identical(root, *builds.finish(_start(ground, cluster, root)))
    return f"killed with {made} artifacts made: refused with the remedy; byte-identical on a new cluster"


def _start(ground: Ground, cluster: Cluster, root: Path) -> "subprocess.Popen[str]":
    options = ("--ray-address", cluster.address)
    return builds.start_build(root, ground.videos, ground.config, *options, environment=cluster.environment)
