"""A Ray cluster of several nodes on one machine: each is `ray start --block` in a session of its own."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType

from bench.chaos.builds import kill_session, processes, stop, working

START_S = 300.0
RAY = [sys.executable, "-c", "from ray.scripts.scripts import main; main()"]


class Node:
    """One node as a process group. `kill` is what the loss of a machine is."""

    def __init__(self, arguments: list[str], log: Path, environment: dict[str, str]) -> None:
        self.log = log
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                [*RAY, "start", "--block", "--disable-usage-stats", "--object-store-memory=80000000", *arguments],
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **environment, "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"},
            )

    def working(self) -> list[int]:
        """Ids of the workers on this node that hold an item."""
        return working(self.process.pid)

    def kill(self) -> None:
        kill_session(self.process.pid)
        self.process.wait()


class Cluster:
    """A head without CPUs and any number of nodes. Use it as a context: its end kills what is left.

    environment: what a driver needs to be let in. Without a token set for all, a head that finds one in the user's home
    asks for it, and nodes do not send it.
    """

    def __init__(self) -> None:
        # Unix sockets have short names, so not below the dataset; of its own, so that no other Ray finds it.
        self._folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
        self.nodes: dict[str, Node] = {}
        self.address = ""
        self.environment = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}

    def __enter__(self) -> "Cluster":
        port = _free_port()
        self.address = f"127.0.0.1:{port}"
        arguments = [
            "--head",
            f"--port={port}",
            "--num-cpus=0",
            "--include-dashboard=false",
            "--node-ip-address=127.0.0.1",
        ]
        self._head = Node([*arguments, f"--temp-dir={self._folder}"], self._folder / "head.log", self.environment)
        _wait(self._head)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for node in [*self.nodes.values(), self._head]:
            node.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def add(self, *, cpus: int = 0, gpus: int = 0, resources: dict[str, float] | None = None) -> str:
        """Starts a node and waits until it has joined; returns its name, also a resource of it of amount 1."""
        name = f"node-{secrets.token_hex(3)}"
        amounts = json.dumps({**(resources or {}), name: 1})
        arguments = [f"--address={self.address}", f"--num-cpus={cpus}", f"--num-gpus={gpus}", f"--resources={amounts}"]
        arguments += ["--node-ip-address=127.0.0.1", f"--dashboard-agent-listen-port={_free_port()}"]
        node = self.nodes[name] = Node(arguments, self._folder / f"{name}.log", self.environment)
        _wait(node)
        return name

    def kill(self, name: str) -> None:
        """Kills a node at once, with everything on it."""
        self.nodes.pop(name).kill()

    def kill_head(self, *, frozen_s: float = 0.0) -> None:
        """Kills the head; the nodes are left to themselves.

        frozen_s: how long it stands still before, so that questions which it has not answered are under way when it
        dies. Without it they are only by chance.
        """
        if frozen_s:
            stop(*processes(self._head.process.pid))
            time.sleep(frozen_s)
        self._head.kill()


def _wait(node: Node) -> None:
    """Returns once a node runs. Raises RuntimeError with its log where it does not."""
    deadline = time.monotonic() + START_S
    while "Ray runtime started" not in (log := node.log.read_text(errors="replace")):
        if node.process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"a Ray node did not start: {log[-2000:]}")
        time.sleep(0.2)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
