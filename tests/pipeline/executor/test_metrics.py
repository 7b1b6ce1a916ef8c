"""Metrics of workers, as Prometheus reads them from a real Ray node, and the dashboard that draws them."""

import json
import re
import time
import urllib.request
from pathlib import Path

import pytest
import ray

from pipeline.executor.metrics import StageMetrics

DASHBOARD = Path(__file__).parents[3] / "infra" / "grafana" / "mikudance_build.json"


@ray.remote(num_cpus=0.1)
class Reporter:
    """A worker process that counts two items."""

    def __init__(self) -> None:
        self.metrics = StageMetrics()

    def report(self) -> None:
        self.metrics.done("pose", "ok", 1234, 2.0)
        self.metrics.failed("pose", "raised")


def exported(deadline_s: float = 60.0) -> dict[str, float]:
    """Our samples of this node's exporter: name and labels → value."""
    port = next(node["MetricsExportPort"] for node in ray.nodes() if node["Alive"])
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        text = opener.open(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode()
        lines = [line for line in text.splitlines() if line.startswith("ray_mikudance")]
        if any('stage="pose"' in line and 'outcome="raised"' in line for line in lines):  # other tests count too
            return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines}
        time.sleep(0.5)
    raise AssertionError(f"no metric of ours within {deadline_s} s")


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
def test_what_workers_count_is_exported_under_the_names_that_the_dashboard_asks_for() -> None:
    reporter = Reporter.remote()
    ray.get(reporter.report.remote())
    samples = exported()

    def value(name: str, *labels: str) -> float:
        return sum(
            v for key, v in samples.items() if key.startswith(name + "{") and all(text in key for text in labels)
        )

    assert value("ray_mikudance_items_total", 'stage="pose"', 'outcome="ok"') >= 1
    assert value("ray_mikudance_items_total", 'stage="pose"', 'outcome="raised"') >= 1
    assert value("ray_mikudance_artifact_bytes_total", 'stage="pose"') >= 1234
    assert value("ray_mikudance_item_seconds_bucket", 'stage="pose"', 'le="3.0"') >= 1
    asked = set(re.findall(r"ray_mikudance_\w+", DASHBOARD.read_text()))
    assert asked
    assert asked <= {key.partition("{")[0] for key in samples}


def test_the_dashboard_is_one_that_grafana_reads() -> None:
    board = json.loads(DASHBOARD.read_text())
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert all(target["expr"] for panel in panels for target in panel["targets"])
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len(set(places)) == len(places)
