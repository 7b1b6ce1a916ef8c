"""Prometheus metrics of a build, through Ray's own exporter (each node's metrics port; `infra/grafana` draws them)."""

from ray.util.metrics import Counter, Histogram

SECONDS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 1800.0)
"""Upper bounds of the histogram of an item's seconds."""


class StageMetrics:
    """Counts what one worker process does; Ray adds the node to every series. Items that kill their worker or run out
    of time are the driver's to count: the catalog's failures have them.
    """

    def __init__(self) -> None:
        self._items = Counter(
            "mikudance_items", "Items by stage, and status or cause of failure.", ("stage", "outcome")
        )
        self._bytes = Counter("mikudance_artifact_bytes", "Bytes of artifacts written, by stage.", ("stage",))
        self._seconds = Histogram(
            "mikudance_item_seconds", "Wall seconds of one item, by stage.", list(SECONDS), ("stage",)
        )

    def done(self, stage: str, status: str, size: int, seconds: float | None) -> None:
        """Counts an artifact of `size` bytes. seconds: None where a killed run had made it already."""
        self._items.inc(tags={"stage": stage, "outcome": status})
        if seconds is not None:
            self._bytes.inc(max(size, 1), tags={"stage": stage})
            self._seconds.observe(max(seconds, 1e-6), tags={"stage": stage})

    def failed(self, stage: str, cause: str) -> None:
        """Counts an item that gave no artifact."""
        self._items.inc(tags={"stage": stage, "outcome": cause})
