"""Lineage of a clip: from its place in a shard back to the bytes of its source, as a record and in words."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.checks.snapshot import Snapshot
from pipeline.dataset import Dataset, DatasetError
from pipeline.graph import CLIP_STAGES
from pipeline.pack.read import read_sample
from schemas.release import ShardEntry


@dataclass(frozen=True)
class Place:
    """Where a sample lies: release, shard, position in the shard."""

    release: int
    release_digest: str
    shard: str
    sha256: str
    position: int


@dataclass(frozen=True)
class Lineage:
    """Everything that made a clip what it is.

    place: in the newest release, None where no release holds it. keys: artifact key by stage, of the packed sample
    where there is one, else of the present configuration. rows: the catalog's artifact rows by stage (absent where one
    was never made). runs: the runs that made them, newest row of each. failures: of this clip, newest by stage.
    current: whether it is what the present configuration makes.
    """

    clip: Mapping[str, Any]
    source: Mapping[str, Any]
    place: Place | None
    keys: Mapping[str, str]
    rows: Mapping[str, Mapping[str, Any]]
    runs: Mapping[str, Mapping[str, Any]]
    failures: Mapping[str, Mapping[str, Any]]
    current: bool

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return {**vars(self), "place": vars(self.place) if self.place else None}


def lineage(snapshot: Snapshot, clip_id: str) -> Lineage:
    """The chain of one clip. Raises DatasetError for an id that neither the catalog nor the newest release knows."""
    dataset = snapshot.dataset
    found = _rows(dataset, "clips", "clip_id", [clip_id])
    entry = _entry(snapshot, clip_id)
    if not found:
        raise DatasetError(
            f"{clip_id} is no clip of {dataset.root}; the catalog's table `clips` lists them (`mikudance sql`)"
        )
    present = dict(snapshot.present.get(clip_id, {}))
    packed = dict(read_sample(dataset, entry, clip_id, only=("json",))["json"]["artifacts"]) if entry else {}
    keys = (
        packed | {stage: key for stage, key in present.items() if stage not in packed}
        if packed
        else dict(snapshot.keys.get(clip_id, {}))
    )
    rows = {row["key"]: row for row in _rows(dataset, "artifacts", "key", [*keys.values(), found[-1]["ingest_key"]])}
    if packed and "scene_motion" in packed and packed["scene_motion"] in rows:
        # The sample names what was packed; what only fed into it (depth) is found through the inputs.
        inputs = json.loads(rows[packed["scene_motion"]]["inputs"])
        keys |= {stage: key for stage, key in inputs.items() if stage not in packed}
        missing = [key for key in inputs.values() if key not in rows]
        rows |= {row["key"]: row for row in _rows(dataset, "artifacts", "key", missing)}
    by_stage = {stage: rows[key] for stage, key in keys.items() if key in rows}
    if found[-1]["ingest_key"] in rows:
        by_stage = {"ingest": rows[found[-1]["ingest_key"]], **by_stage}
    source = _rows(dataset, "sources", "source_id", [found[-1]["source_id"]])
    run_ids = sorted({row["run_id"] for row in by_stage.values()})
    failures = {row["stage"]: row for row in _rows(dataset, "failures", "item_id", [clip_id])}
    return Lineage(
        clip=found[-1],
        source=source[-1] if source else {},
        place=_place(snapshot, entry, clip_id),
        keys=keys,
        rows=by_stage,
        runs={row["run_id"]: row for row in _rows(dataset, "runs", "run_id", run_ids)},
        failures={stage: row for stage, row in failures.items() if stage not in by_stage},
        current=bool(present) and all(present.get(stage) == key for stage, key in keys.items()),
    )


def in_words(found: Lineage) -> str:
    """The chain as sentences, the shard first and the source last."""
    clip, source = found.clip, found.source
    lines = [_placed(found)]
    for stage in reversed(CLIP_STAGES):
        if stage in found.rows:
            lines.append(_made(stage, found))
        elif stage in found.failures:
            row = found.failures[stage]
            lines.append(f"{stage} failed after {row['attempts']} tries ({row['cause']}): {row['error']}")
        else:
            lines.append(f"{stage} was not made yet.")
    rate = clip["fps_numerator"] / clip["fps_denominator"]
    first, count = clip["first_frame"], clip["frame_count"]
    start = clip["start_s"] + first / rate
    lines.append(
        f"The clip is frames {first} to {first + count - 1} of its source at {rate:g} frames a second: seconds "
        f"{start:.3f} to {start + count / rate:.3f}."
    )
    if "ingest" in found.rows:
        lines.append(_made("ingest", found))
    if source:
        licence = f", licence {source['licence']}" if source["licence"] else ", no licence recorded"
        lines.append(
            f"The source {source['source_id']} is {source['uri']}, {source['bytes']} bytes, sha256 {source['sha256']}, "
            f"kind {source['kind']}, split {source['split']}{licence}."
        )
        if source["camera_track"]:
            lines.append(f"Its cameras come from {source['camera_track']}, sha256 {source['camera_track_sha256']}.")
    return "\n".join(lines)


def _placed(found: Lineage) -> str:
    name, place = found.clip["clip_id"], found.place
    if place is None:
        return f"{name} is in no shard of the newest release."
    state = (
        "This is what the present configuration makes."
        if found.current
        else "The present configuration makes something else of it: a build packs it anew."
    )
    return (
        f"{name} is sample {place.position} of {place.shard} (sha256 {place.sha256}) in release {place.release} "
        f"({place.release_digest}). {state}"
    )


def _made(stage: str, found: Lineage) -> str:
    row = found.rows[stage]
    inputs = json.loads(row["inputs"])
    source = f" from {', '.join(inputs)}" if inputs else " from the source's bytes"
    backend = f" with the backend {row['backend']} (version {row['backend_version']})" if row["backend"] else ""
    weights = f", weights {row['weights_digest']}" if row["weights_digest"] else ""
    run = found.runs.get(row["run_id"], {})
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(row["created_s"]))
    by = (
        f" by `{run['command']}` run {row['run_id']}, code {run['code_version']}" if run else f" by run {row['run_id']}"
    )
    return (
        f"{stage} (version {row['stage_version']}) was made{source}{backend}{weights}: {row['status']}, artifact "
        f"{row['key']}, {row['bytes']} bytes, sha256 {row['sha256']}; on {row['worker']}, {when},{by}. "
        f"Parameters: {row['params']}"
    )


def _entry(snapshot: Snapshot, clip_id: str) -> ShardEntry | None:
    path = snapshot.packed.get(clip_id)
    entries = snapshot.release.shards if snapshot.release else ()
    return next((entry for entry in entries if entry.path == path), None)


def _place(snapshot: Snapshot, entry: ShardEntry | None, clip_id: str) -> Place | None:
    release = snapshot.release
    if entry is None or release is None:
        return None
    return Place(release.number, release.digest(), entry.path, entry.sha256, entry.samples.index(clip_id))


def _rows(dataset: Dataset, table: str, column: str, values: list[str]) -> list[dict[str, Any]]:
    """Rows whose `column` is one of `values`, oldest run first."""
    found = dataset.catalog.read(table)
    chosen = found.filter(pc.is_in(found.column(column), pa.array(values, pa.string()))).to_pylist()
    return sorted(chosen, key=lambda row: row.get("run_id") or "")
