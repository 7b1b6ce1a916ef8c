"""Hours and bytes of a dataset that is yet to be made, on a machine or cluster that is yet to be had.

The rule: a stage's work is its items × seconds an item. Stages run side by side and share the cluster, so the build
takes at least as long as

    all core hours / cores,    all GPU hours / GPUs,    the longest stage's hours / its workers

whichever is longest. Starts of workers, retries, slow storage and the end, when few items are left, come on top.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.config import DatasetConfig
from pipeline.dataset import Dataset
from pipeline.estimate import TYPICAL_BYTES, TYPICAL_SECONDS, measured_rates
from pipeline.executor.scaling import default_limit, misfit
from schemas.config import Resources

PAPER_CLIPS_PER_SOURCE = 120_000 / 3_600
"""The paper cut 3,600 animations into 120,000 clips."""


@dataclass(frozen=True)
class Rate:
    """What one item of a stage costs, and where the figure is from (measured, given, typical)."""

    seconds: float
    bytes: float
    basis: str


@dataclass(frozen=True)
class Rates:
    """stages: by name, an item being a clip, for ingest a source. clips_per_source: how many clips a source gives."""

    stages: Mapping[str, Rate]
    clips_per_source: float
    clips_basis: str


@dataclass(frozen=True)
class StageForecast:
    """One stage. hours: with all the workers that it may have and nothing else running."""

    stage: str
    items: int
    rate: Rate
    workers: int
    core_hours: float
    gpu_hours: float
    hours: float

    @property
    def bytes(self) -> float:
        return self.items * self.rate.bytes


@dataclass(frozen=True)
class Forecast:
    """A whole build. hours: the least that it can take."""

    stages: tuple[StageForecast, ...]
    cpus: float
    gpus: float

    @property
    def core_hours(self) -> float:
        return sum(stage.core_hours for stage in self.stages)

    @property
    def gpu_hours(self) -> float:
        return sum(stage.gpu_hours for stage in self.stages)

    @property
    def bytes(self) -> float:
        return sum(stage.bytes for stage in self.stages)

    @property
    def hours(self) -> float:
        limits = [stage.hours for stage in self.stages]
        for amount, total in ((self.core_hours, self.cpus), (self.gpu_hours, self.gpus)):
            limits.append(amount / total if total else 0.0)
        return max(limits)


def resources_of(config: DatasetConfig) -> dict[str, Resources]:
    """What a worker of each stage takes, in the order of the stages."""
    return {stage: getattr(config.run, stage) for stage in TYPICAL_SECONDS}


def unfit(config: DatasetConfig, *, cpus: float, gpus: float) -> str | None:
    """Why a stage can never run with so many cores and GPUs, naming the setting to lower; None if all can.

    Custom resources are the cluster's own affair and count as there.
    """
    for stage, needs in resources_of(config).items():
        if problem := misfit(stage, needs, [{"CPU": cpus, "GPU": gpus, **needs.custom}]):
            return problem
    return None


def forecast(
    config: DatasetConfig, rates: Rates, *, clips: int, cpus: float, gpus: float, frames_scale: float = 1.0
) -> Forecast:
    """The build of `clips` new clips. frames_scale: their frames over those of the clips that the rates are from.

    Every stage must fit (`unfit`).
    """
    stages = []
    for stage, needs in resources_of(config).items():
        base = rates.stages[stage]
        rate = Rate(base.seconds * frames_scale, base.bytes * frames_scale, base.basis)
        items = clips if stage != "ingest" else max(1, round(clips / rates.clips_per_source))
        if stage == "ingest":
            rate = base  # a source is as long as it is
        total = {"CPU": cpus, "GPU": gpus, **{name: float("inf") for name in needs.custom}}
        workers = min(needs.workers or default_limit(needs, total), items)
        worked = items * rate.seconds / 3600
        stages.append(
            StageForecast(stage, items, rate, workers, worked * needs.cpus, worked * needs.gpus, worked / workers)
        )
    return Forecast(tuple(stages), cpus, gpus)


def typical_rates() -> Rates:
    """Rates of the embedded backends on one core each, for where nothing was measured."""
    stages = {stage: Rate(TYPICAL_SECONDS[stage], TYPICAL_BYTES[stage], "typical") for stage in TYPICAL_SECONDS}
    return Rates(stages, PAPER_CLIPS_PER_SOURCE, "the paper's")


def dataset_rates(dataset: Dataset) -> Rates:
    """What this dataset's own items took; typical figures for stages that have not run in it."""
    typical = typical_rates()
    stages = dict(typical.stages)
    for stage, (seconds, size) in measured_rates(dataset).items():
        if stage in stages and stage != "pack":
            stages[stage] = Rate(seconds, size, "measured")
    stages["pack"] = _packing(dataset) or typical.stages["pack"]
    clips = dataset.catalog.rows("clips", ["clip_id", "source_id"])
    if not clips:
        return Rates(stages, typical.clips_per_source, typical.clips_basis)
    ratio = len({c["clip_id"] for c in clips}) / len({c["source_id"] for c in clips})
    return Rates(stages, ratio, "this dataset's")


def mean_frames(dataset: Dataset) -> float | None:
    """Frames of this dataset's clips on average, or None where it has none."""
    rows = {row["clip_id"]: row["frame_count"] for row in dataset.catalog.rows("clips", ["clip_id", "frame_count"])}
    return sum(rows.values()) / len(rows) if rows else None


def with_given(rates: Rates, given: Mapping[str, float]) -> Rates:
    """`rates` with seconds an item laid over, by stage."""
    stages = {
        name: Rate(given[name], rate.bytes, "given") if name in given else rate for name, rate in rates.stages.items()
    }
    return Rates(stages, rates.clips_per_source, rates.clips_basis)


def _packing(dataset: Dataset) -> Rate | None:
    """Seconds and shard bytes a clip: an item of `pack` is a shard of many."""
    columns = ["stage", "seconds", "quality"]
    timed = [row for row in dataset.catalog.rows("artifacts", columns) if row["stage"] == "pack" and row["seconds"]]
    samples = sum(json.loads(row["quality"]).get("samples", 0.0) for row in timed)
    shards = dataset.catalog.rows("shards", ["path", "bytes", "clip_id"])
    if not samples or not shards:
        return None
    size = sum({row["path"]: row["bytes"] for row in shards}.values()) / len(shards)
    return Rate(sum(row["seconds"] for row in timed) / samples, size, "measured")
