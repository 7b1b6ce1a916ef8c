"""Fixtures shared by the whole suite."""

import os
from collections.abc import Iterator

import hypothesis
import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
# A slow machine is no failure: an example may take its time, the whole test has pytest's limit.
hypothesis.settings.register_profile("suite", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("suite")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that start Ray come first: they take minutes, which one worker would otherwise spend alone at the end."""
    long = {item.path for item in items if item.get_closest_marker("ray")}
    items.sort(key=lambda item: item.path not in long)


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """One small local Ray cluster for all tests of this process that need one."""
    from pipeline.executor.cluster import cluster

    with cluster(None, object_store_mb=100, cpus=2):
        yield
