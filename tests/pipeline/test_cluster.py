"""Two commands on one dataset at once, on a cluster of two Ray nodes, one of which is lost meanwhile."""

import time
from collections import Counter
from pathlib import Path

import pytest

from bench.chaos import builds
from bench.chaos.nodes import Cluster
from pipeline.dataset import Dataset
from pipeline.verify import verify

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def published(root: Path) -> list[str]:
    """Clips of the newest release."""
    release = Dataset.open(str(root)).newest_release()
    assert release is not None
    return [name for entry in release.shards for name in entry.samples]


def shards(root: Path) -> dict[str, bytes]:
    return builds.Dataset.read(root).shards


def test_build_and_add_at_once_lose_and_double_nothing(tmp_path: Path) -> None:
    videos, config = builds.render(tmp_path / "videos"), tmp_path / "config.yaml"
    config.write_text(builds.config_text(attempts=6))
    first, second = (videos / name for name in builds.SOURCES)

    def build(root: Path) -> tuple[str | Path, ...]:
        return ("build", first, "--kind", "character", "--dataset", root, "--config", config)

    def add(root: Path) -> tuple[str | Path, ...]:
        return ("add", second, "--kind", "camera", "--dataset", root)

    for arguments in (build(tmp_path / "quiet"), add(tmp_path / "quiet")):
        code, output = builds.run(*arguments)
        assert code == 0, output

    root = tmp_path / "both"
    with Cluster() as cluster:
        names = [cluster.add(cpus=2), cluster.add(cpus=2)]
        on_cluster = ("--ray-address", cluster.address)
        one = builds.start(*build(root), *on_cluster, environment=cluster.environment)
        while one.poll() is None and not (root / "config.yaml").exists():
            time.sleep(0.05)
        two = builds.start(*add(root), *on_cluster, environment=cluster.environment)
        while one.poll() is None and len(list(root.glob("artifacts/**/*.parquet"))) < 3:
            time.sleep(0.05)
        cluster.kill(names[0])
        results = [builds.finish(process) for process in (one, two)]
    assert [code for code, _ in results] == [0, 0], results
    assert Counter(published(root)) == Counter(published(tmp_path / "quiet"))
    assert set(Counter(published(root)).values()) == {1}
    assert shards(root) == shards(tmp_path / "quiet")
    assert [finding for finding in verify(Dataset.open(str(root))) if finding.damage] == []
    rows = Dataset.open(str(root)).catalog.rows("artifacts", ["key"])
    assert set(Counter(row["key"] for row in rows).values()) == {1}
