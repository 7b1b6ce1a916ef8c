"""One stage's workers on a real Ray cluster: what counts as loading, and what as waiting for a place."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import ray

from pipeline.executor import pool as module
from pipeline.executor.pool import Pool
from pipeline.storage import Storage
from schemas.config import Resources
from tests.pipeline.executor.jobs import EchoJob

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]


class SlowJob:
    """A model that takes its time to load."""

    def __init__(self, storage: Storage) -> None:
        time.sleep(120)


@ray.remote(num_cpus=2)
class Other:
    """Another driver's worker, which fills the cluster of two cores."""

    def there(self) -> None: ...


def settle_until(pool: Pool, condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Does what the driver's loop does for a pool."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        ready, _ = ray.wait(pool.references(), timeout=0.1)
        for reference in ready:
            pool.settle(reference)
        assert pool.overdue() == []


def test_waiting_for_a_place_on_a_full_cluster_is_no_failed_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "START_TIMEOUT_S", 1.0)
    monkeypatch.setattr(module, "ASK_EVERY_S", 0.05)
    other = Other.remote()
    ray.get(other.there.remote())
    pool = Pool(stage="first", root=str(tmp_path), make_job=EchoJob, resources=Resources(cpus=1))
    pool.start()
    began = time.monotonic()
    settle_until(pool, lambda: time.monotonic() - began > 3.0)
    assert pool.start_failures == []
    monkeypatch.setattr(module, "START_TIMEOUT_S", 60.0)
    ray.kill(other)
    settle_until(pool, lambda: pool.idle == 1)
    assert pool.start_failures == []
    assert pool.close() == []


def test_a_worker_that_has_a_place_and_does_not_load_counts_as_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "START_TIMEOUT_S", 1.0)
    monkeypatch.setattr(module, "ASK_EVERY_S", 0.05)
    pool = Pool(stage="first", root=str(tmp_path), make_job=SlowJob, resources=Resources(cpus=1))
    pool.start()
    settle_until(pool, lambda: bool(pool.start_failures))
    assert "had not loaded 1 s after its process began" in pool.start_failures[0]
    assert pool.references() == []
