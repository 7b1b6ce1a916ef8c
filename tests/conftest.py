"""Fixtures shared by the whole suite."""

import os
from collections.abc import Iterator

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """One small local Ray cluster for all tests of this process that need one."""
    from pipeline.executor.cluster import cluster

    with cluster(None, object_store_mb=100, cpus=2):
        yield
