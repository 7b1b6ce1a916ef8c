"""Drivers, workers and whole nodes, killed at random moments of builds on a cluster of three Ray nodes."""

import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path
from random import Random

from bench.chaos import builds
from bench.chaos.ground import Ground
from bench.chaos.nodes import Cluster

NODES = 2
CPUS = 2
VICTIMS = ("driver", "worker", "node")


def kills(ground: Ground, *, count: int = 20) -> str:
    """SIGKILL `count` times; each build goes on until it has ended well, then a new one begins."""
    rng = ground.rng("kills")
    done: Counter[str] = Counter()
    rounds = 0
    with Cluster() as cluster:
        for _ in range(NODES):
            cluster.add(cpus=CPUS)
        while done.total() < count:
            root = ground.folder / f"kills-{rounds}"
            code, output = _one(ground, cluster, root, rng, done, count)
            ground.must_be_identical(root, code, output)
            shutil.rmtree(root)
            rounds += 1
    killed = ", ".join(f"{done[victim]} {victim}s" for victim in VICTIMS)
    return f"{killed} killed during {rounds} builds on {NODES} nodes; every build byte-identical"


def _one(ground: Ground, cluster: Cluster, root: Path, rng: Random, done: Counter[str], count: int) -> tuple[int, str]:
    """One build to its end, with kills until there have been `count`."""
    process = _start(ground, cluster, root)
    while True:
        if done.total() >= count:
            return builds.finish(process)
        try:
            process.wait(rng.uniform(0.05, 0.5) * ground.length)
        except subprocess.TimeoutExpired:
            victim = rng.choice(VICTIMS)
            if victim == "driver":
                builds.kill_session(process.pid)
                process.communicate()
                process = _start(ground, cluster, root)
            elif victim == "node":
                cluster.kill(rng.choice(sorted(cluster.nodes)))
                cluster.add(cpus=CPUS)
            else:
                workers = [number for name in sorted(cluster.nodes) for number in cluster.nodes[name].workers()]
                if not workers:
                    continue
                builds.kill(rng.choice(workers))
            done[victim] += 1
            print(f"  {time.strftime('%H:%M:%S')} killed a {victim}", flush=True)
        else:
            return builds.finish(process)


def _start(ground: Ground, cluster: Cluster, root: Path) -> "subprocess.Popen[str]":
    options = ("--ray-address", cluster.address)
    return builds.start_build(root, ground.videos, ground.config, *options, environment=cluster.environment)
