"""Everything that the index page says, gathered from a snapshot: coverage, failures, distributions, provenance."""

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc

from pipeline.audit.charts import Threshold
from pipeline.checks.snapshot import Snapshot
from pipeline.checks.verdict import CheckLimits, CheckResult
from pipeline.graph import CLIP_STAGES

MEASURED = "measured"
"""The name under which the checks' own measurements stand beside the stages'."""


@dataclass(frozen=True)
class StageFacts:
    """Coverage and cost of one stage. seconds: of an item, on average, None where none was timed."""

    stage: str
    made: int
    quarantined: int
    open: int
    bytes: int
    seconds: float | None
    total_seconds: float
    statuses: Mapping[str, int]
    backends: tuple[str, ...]


def stage_facts(snapshot: Snapshot) -> list[StageFacts]:
    """One entry a stage, ingest first."""
    rates = _rates(snapshot)
    failed = Counter(row["stage"] for row in snapshot.failures)
    made: dict[str, list[str]] = defaultdict(list)
    for keys in snapshot.keys.values():
        for stage, key in keys.items():
            if key in snapshot.state.artifacts:
                made[stage].append(key)
    made["ingest"] = [key for key in snapshot.ingest.values() if key in snapshot.state.artifacts]
    wanted = dict.fromkeys(CLIP_STAGES, len(snapshot.clips)) | {"ingest": len(snapshot.state.usable_sources())}
    found = []
    for stage in ("ingest", *CLIP_STAGES):
        artifacts = [snapshot.state.artifacts[key] for key in made[stage]]
        seconds, total, backends = rates.get(stage, (None, 0.0, ()))
        found.append(
            StageFacts(
                stage=stage,
                made=len(artifacts),
                quarantined=failed[stage],
                open=max(wanted[stage] - len(artifacts) - failed[stage], 0),
                bytes=sum(facts.bytes for facts in artifacts),
                seconds=seconds,
                total_seconds=total,
                statuses=dict(Counter(facts.status for facts in artifacts).most_common()),
                backends=backends,
            )
        )
    return found


def _rates(snapshot: Snapshot) -> dict[str, tuple[float | None, float, tuple[str, ...]]]:
    """(seconds an item, seconds in all, backends with version and weights) by stage, over everything ever made."""
    table = snapshot.dataset.catalog.read(
        "artifacts", ["stage", "seconds", "backend", "backend_version", "weights_digest"]
    )
    rates = table.group_by("stage").aggregate([("seconds", "mean"), ("seconds", "sum")]).to_pylist()
    groups = table.group_by(["stage", "backend", "backend_version", "weights_digest"]).aggregate([]).to_pylist()
    backends = defaultdict(list)
    for row in groups:
        if row["backend"]:
            weights = f", weights {row['weights_digest'][:12]}" if row["weights_digest"] else ""
            backends[row["stage"]].append(f"{row['backend']} version {row['backend_version']}{weights}")
    return {
        row["stage"]: (row["seconds_mean"], row["seconds_sum"] or 0.0, tuple(sorted(backends[row["stage"]])))
        for row in rates
    }


def figure_columns(snapshot: Snapshot) -> dict[str, np.ndarray]:
    """Columns by "stage.figure", float32 [clips] in the order of `snapshot.clips`, NaN where a clip has none."""
    columns: dict[str, np.ndarray] = {}
    count = len(snapshot.clips)

    def put(name: str, place: int, value: float) -> None:
        if name not in columns:
            columns[name] = np.full(count, np.nan, np.float32)
        columns[name][place] = value

    places = {name: place for place, name in enumerate(snapshot.clips)}
    columns_read = ["item_id", "stage", "key", "quality"]
    for part in snapshot.dataset.catalog.batches("artifacts", columns_read):  # not held: most of what a catalog is
        for item, stage, key, quality in zip(*(part.column(name).to_pylist() for name in columns_read), strict=True):
            if item in places and snapshot.keys[item].get(stage) == key:
                for figure, value in json.loads(quality).items():
                    put(f"{stage}.{figure}", places[item], value)
    for name, measurement in snapshot.measured.items():
        for figure, value in measurement.figures.items():
            put(f"{MEASURED}.{figure}", places[name], value)
    order = {stage: number for number, stage in enumerate((MEASURED, *CLIP_STAGES))}
    return dict(sorted(columns.items(), key=lambda item: (order[item[0].split(".")[0]], item[0])))


def clip_figures(snapshot: Snapshot, names: Collection[str]) -> dict[str, dict[str, dict[str, float]]]:
    """Figures by clip and stage of some clips, in the order of stages."""
    keys = {name: {stage: snapshot.keys[name][stage] for stage in snapshot.made(name)} for name in names}
    wanted = {key for stages in keys.values() for key in stages.values()}
    rows = snapshot.dataset.catalog.select("artifacts", "key", wanted, ["key", "quality"])
    qualities = {row["key"]: json.loads(row["quality"]) for row in rows}
    return {name: {stage: qualities[key] for stage, key in stages.items()} for name, stages in keys.items()}


def thresholds(snapshot: Snapshot, limits: CheckLimits) -> dict[str, list[Threshold]]:
    """Limits by figure: the gates of the configuration and those of the checks."""
    found: dict[str, list[Threshold]] = defaultdict(list)
    for rule in snapshot.dataset.config.gates.rules:
        for value, side in ((rule.minimum, "min"), (rule.maximum, "max")):
            if value is not None:
                found[f"{rule.stage}.{rule.figure}"].append(Threshold(value, side, "gate"))
    for figure, value, side in (
        ("keypoints_in_frame", limits.least_keypoints_in_frame, "min"),
        ("camera_jerk", limits.most_camera_jerk, "max"),
        ("camera_orthonormal", limits.most_camera_orthonormal, "max"),
        ("depth_rank", limits.least_depth_rank, "min"),
        ("motion_mismatch_px", limits.most_motion_mismatch_px, "max"),
        ("warp_gain", limits.most_warp_gain, "max"),
        ("static_change", limits.most_static_change, "max"),
    ):
        found[f"{MEASURED}.{figure}"].append(Threshold(value, side, "check"))
    return found


def problems(snapshot: Snapshot, results: Sequence[CheckResult]) -> dict[str, list[str]]:
    """What is wrong with each clip, in words: failures, findings of checks, why it is left out, what is doubtful."""
    found: dict[str, list[str]] = defaultdict(list)
    for row in snapshot.failures:
        if row["item_id"] in snapshot.clips:
            found[row["item_id"]].append(f"{row['stage']} failed ({row['cause']}): {row['error']}")
    owners = {}
    if any(finding.check == "artifacts" for result in results for finding in result.findings):
        table = snapshot.dataset.catalog.read("artifacts", ["path", "item_id"])
        owners = dict(zip(table.column("path").to_pylist(), table.column("item_id").to_pylist(), strict=True))
    for result in results:
        for finding in result.findings:
            clip = owners.get(finding.subject, finding.subject)
            if clip in snapshot.clips:
                found[clip].append(f"{finding.check}: {finding.message}")
    for name in snapshot.clips:
        if snapshot.finished(name):
            found[name] += [f"left out: {reason}" for reason in snapshot.refused(name)]
        found[name] += [f"doubtful: {doubt}" for doubt in snapshot.doubts(name)]
    return {name: texts for name, texts in found.items() if texts}


def runs(snapshot: Snapshot) -> list[dict[str, Any]]:
    """The newest row of every run, newest run first."""
    newest = {row["run_id"]: row for row in sorted(snapshot.dataset.catalog.rows("runs"), key=lambda r: r["created_s"])}
    return sorted(newest.values(), key=lambda row: row["created_s"], reverse=True)


def balance(snapshot: Snapshot) -> list[tuple[str, Counter[str]]]:
    """(split, samples by kind) of the newest release."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for entry in snapshot.release.shards if snapshot.release else ():
        counts[entry.split][entry.kind] += len(entry.samples)
    return sorted(counts.items())


def stored_bytes(snapshot: Snapshot) -> int:
    """Bytes of every artifact that the catalog names, also of settings no longer in force."""
    return int(pc.sum(snapshot.dataset.catalog.read("artifacts", ["bytes"]).column("bytes")).as_py() or 0)
