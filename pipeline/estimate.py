"""Hours and bytes of work that is still to be done, from what this dataset's own items took."""

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.dataset import Dataset

TYPICAL_SECONDS: Mapping[str, float] = {
    "ingest": 2.0,
    "decode": 2.0,
    "pose": 12.0,
    "camera": 15.0,
    "depth": 2.0,
    "scene_motion": 0.5,
    "stylize": 0.5,
    "pack": 2.0,
}
"""Seconds an item of 85 frames at 768 px on one CPU core with the embedded backends: the guess for a stage that has not
run yet in this dataset. Measured rates replace it after the first clips."""
TYPICAL_BYTES: Mapping[str, float] = {
    "ingest": 2e4,
    "decode": 2e7,
    "pose": 5e5,
    "camera": 2e5,
    "depth": 1e6,
    "scene_motion": 5e6,
    "stylize": 4e5,
    "pack": 2.6e7,
}


@dataclass(frozen=True)
class StageEstimate:
    """items: to run. seconds, bytes: an item's, on average. measured: from this dataset (else typical figures)."""

    stage: str
    items: int
    seconds: float
    bytes: float
    measured: bool

    @property
    def core_hours(self) -> float:
        return self.items * self.seconds / 3600


def measured_rates(dataset: Dataset) -> dict[str, tuple[float, float]]:
    """(seconds, bytes) an item by stage, averaged over the artifacts whose making was timed."""
    rows = dataset.catalog.read("artifacts", ["stage", "seconds", "bytes"])
    means = rows.group_by("stage").aggregate([("seconds", "mean"), ("bytes", "mean")]).to_pylist()
    return {row["stage"]: (row["seconds_mean"], row["bytes_mean"]) for row in means if row["seconds_mean"] is not None}


def estimate(todo: Mapping[str, int], rates: Mapping[str, tuple[float, float]]) -> list[StageEstimate]:
    """An estimate for each stage with work."""
    found = []
    for stage, items in todo.items():
        seconds, size = rates.get(stage, (TYPICAL_SECONDS[stage], TYPICAL_BYTES[stage]))
        found.append(StageEstimate(stage, items, seconds, size, stage in rates))
    return found
