"""Hours and bytes of a dataset that is yet to be made, on a machine or cluster that is yet to be had.

The rule: a stage's work is its items × seconds an item. Stages run side by side and share the cluster, so the build
takes at least as long as

    all core hours / cores,    all GPU hours / GPUs,    all hours of a custom resource / its count,
    the longest stage's hours / its workers

whichever is longest. Starts of workers, retries, slow storage and the end, when few items are left, come on top.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.config import DatasetConfig
from pipeline.dataset import Dataset
from pipeline.estimate import TYPICAL_BYTES, TYPICAL_SECONDS, measured_rates
from pipeline.executor.scaling import demand, misfit
from schemas.config import Resources

PAPER_CLIPS_PER_SOURCE = 120_000 / 3_600
"""The paper cut 3,600 animations into 120,000 clips."""


@dataclass(frozen=True)
class Machines:
    """The cluster: cores and GPUs in all, alike on each of `nodes`; custom resources in all, wherever they are."""

    cpus: float
    gpus: float = 0
    nodes: int = 1
    custom: Mapping[str, float] = field(default_factory=dict)

    def workers(self, needs: Resources) -> int:
        """How many workers of a stage find room if it has the cluster to itself, at least 1. A worker has one node."""
        node = {"CPU": self.cpus / self.nodes, "GPU": self.gpus / self.nodes}
        shares = [int(node[name] / amount) * self.nodes for name, amount in demand(needs).items() if name in node]
        shares += [int(self.custom.get(name, 0.0) / amount) for name, amount in needs.custom.items() if amount > 0]
        return max(1, min(shares)) if shares else 1


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
    custom_hours: Mapping[str, float]
    hours: float

    @property
    def bytes(self) -> float:
        return self.items * self.rate.bytes


@dataclass(frozen=True)
class Forecast:
    """A whole build. hours: the least that it can take."""

    stages: tuple[StageForecast, ...]
    machines: Machines

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
        for amount, total in ((self.core_hours, self.machines.cpus), (self.gpu_hours, self.machines.gpus)):
            limits.append(amount / total if total else 0.0)
        for name, total in self.machines.custom.items():
            limits.append(sum(stage.custom_hours.get(name, 0.0) for stage in self.stages) / total)
        return max(limits)


def resources_of(config: DatasetConfig) -> dict[str, Resources]:
    """What a worker of each stage takes, in the order of the stages."""
    return {stage: getattr(config.run, stage) for stage in TYPICAL_SECONDS}


def unfit(config: DatasetConfig, machines: Machines) -> str | None:
    """Why a stage can never run on such machines, naming the setting to lower; None if all can."""
    node = {"CPU": machines.cpus / machines.nodes, "GPU": machines.gpus / machines.nodes, **machines.custom}
    for stage, needs in resources_of(config).items():
        for name in needs.custom:
            if name not in machines.custom:
                return (
                    f"stage {stage!r} asks for the custom resource {name!r} (`run.{stage}.custom`): say how much of it "
                    f"the cluster has, --custom {name}=COUNT"
                )
        if problem := misfit(stage, needs, [node]):
            return problem
    return None


def forecast(
    config: DatasetConfig, rates: Rates, *, clips: int, machines: Machines, frames_scale: float = 1.0
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
        room = machines.workers(needs)
        workers = min(needs.workers or room, room, items)
        worked = items * rate.seconds / 3600
        stages.append(
            StageForecast(
                stage=stage,
                items=items,
                rate=rate,
                workers=workers,
                core_hours=worked * needs.cpus,
                gpu_hours=worked * needs.gpus,
                custom_hours={name: worked * amount for name, amount in needs.custom.items()},
                hours=worked / workers,
            )
        )
    return Forecast(tuple(stages), machines)


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
