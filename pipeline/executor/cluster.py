"""Connects to Ray: a local cluster that starts by itself, or an existing one."""

import contextlib
import logging
import os
from collections.abc import Iterator
from typing import Any

import ray


def connected() -> bool:
    return bool(ray.is_initialized())


@contextlib.contextmanager
def cluster(address: str | None, *, object_store_mb: int, cpus: int | None = None) -> Iterator[None]:
    """Ray for the time of a run: `address` joins a cluster ("auto" finds one on this machine), None starts one.

    Leaves a cluster that was connected before as it is. Raises ConnectionError where `address` does not answer.
    """
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray would hide GPUs from workers that ask for none by rewriting CUDA_VISIBLE_DEVICES; its new default, asked for.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    common: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address:
        ray.init(address=address, **common)
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


def nodes() -> list[dict[str, float]]:
    """Resources of every living node."""
    return [dict(node["Resources"]) for node in ray.nodes() if node["Alive"]]


def living_nodes() -> set[str]:
    """Ids of the nodes that the cluster's head believes alive; it notices a dead one after up to 20 seconds."""
    return {str(node["NodeID"]) for node in ray.nodes() if node["Alive"]}


def total_resources() -> dict[str, float]:
    """The living cluster's resources by name."""
    return dict(ray.cluster_resources())
