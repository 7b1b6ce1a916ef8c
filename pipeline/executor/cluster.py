"""Connects to Ray: a local cluster that starts by itself, or an existing one."""

import contextlib
import logging
import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import ray
from ray.util.client import ray as ray_client

Answer = TypeVar("Answer")

ASK_S = 2.0
"""How long the head may take to accept a connection or to answer, before it is looked at again."""


class ClusterLostError(ConnectionError):
    """The head of the cluster is gone in mid-run; the message says what to do."""


@contextlib.contextmanager
def cluster(address: str | None, *, object_store_mb: int, cpus: int | None = None) -> Iterator[None]:
    """Ray for the time of a run: `address` joins a cluster ("auto" finds one on this machine), None starts one.

    Leaves a cluster that was connected before as it is. Raises ConnectionError where `address` does not answer, or does
    not take this driver.
    """
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray would hide GPUs from workers that ask for none by rewriting CUDA_VISIBLE_DEVICES; its new default, asked for.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    common: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address:
        _join(address, common)
    else:
        ray.init(
            address="local",  # without it Ray joins whatever cluster it finds on this machine
            num_cpus=cpus,
            include_dashboard=False,
            object_store_memory=object_store_mb * 1_000_000,
            **common,
        )
    try:
        yield
    finally:
        ray.shutdown()


def _join(address: str, options: dict[str, Any]) -> None:
    try:
        ray.init(address=address, **options)
    except (RuntimeError, ValueError) as error:  # other versions of Ray or Python, no such cluster, a foreign token
        raise ConnectionError(
            f"the Ray cluster at {address} does not take this driver: {' '.join(str(error).split())[:600]}. Driver and "
            "nodes need the same Ray, the same minor version of Python, and the same RAY_AUTH_MODE and RAY_AUTH_TOKEN"
        ) from error


def nodes() -> list[dict[str, float]]:
    """Resources of every living node. Raises ClusterLostError."""
    return [dict(node["Resources"]) for node in ask(ray.nodes) if node["Alive"]]


def living_nodes() -> set[str]:
    """Ids of the nodes that the cluster's head believes alive; it notices a dead one after up to 20 seconds.

    Raises ClusterLostError.
    """
    return {str(node["NodeID"]) for node in ask(ray.nodes) if node["Alive"]}


def total_resources() -> dict[str, float]:
    """The living cluster's resources by name. Raises ClusterLostError."""
    return dict(ask(ray.cluster_resources))


def ask(question: Callable[[], Answer]) -> Answer:
    """What the cluster's head answers. Raises ClusterLostError where it is gone, and what the question raises.

    A question waits for a head that is gone without end; after a minute Ray then ends the process, with catalog rows
    still to be written and without a word of what to do. So it is asked from a thread, which is left behind where no
    answer comes: the head may go at any moment, after it was looked at too.
    """
    wait_for_head()
    answers: queue.SimpleQueue[tuple[Answer | None, Exception | None]] = queue.SimpleQueue()

    def put() -> None:
        try:
            answers.put((question(), None))
        except Exception as error:  # noqa: BLE001 (whatever it is, it is raised below)
            answers.put((None, error))

    threading.Thread(target=put, name="question to Ray", daemon=True).start()
    while True:
        try:
            answer, error = answers.get(timeout=ASK_S)
        except queue.Empty:
            wait_for_head()
            continue
        if error is not None:
            raise error
        return answer  # type: ignore[return-value]


def head_patience_s() -> float:
    """How long a head may be away: half of what Ray waits before it ends every process of the cluster, this one too."""
    return float(os.environ.get("RAY_gcs_rpc_server_reconnect_timeout_s", "60")) / 2  # noqa: SIM112 (Ray's own name)


def wait_for_head() -> None:
    """Returns once the cluster's head accepts a connection. Raises ClusterLostError where it does not come back."""
    if ray_client.is_connected():
        return  # an address ray://…: a proxy answers, and says so itself where it cannot
    address = ray.get_runtime_context().gcs_address
    host, _, port = address.rpartition(":")
    deadline = time.monotonic() + head_patience_s()
    while True:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=ASK_S).close()
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise ClusterLostError(
                    f"the head of the Ray cluster at {address} is gone ({error}) and has not come back for "
                    f"{head_patience_s():g} s. Start the cluster again, head and nodes, then run the same command: it "
                    "resumes, what is finished is kept"
                ) from error
        time.sleep(ASK_S)
