"""Lineage of a clip: from its place in a shard back to the bytes of its source, as a record and in words."""

import json
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.checks.snapshot import Snapshot
from pipeline.dataset import DatasetError
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
    current: whether it is what the present configuration makes. note: why the sample itself could not be read, or "".
    """

    clip: Mapping[str, Any]
    source: Mapping[str, Any]
    place: Place | None
    keys: Mapping[str, str]
    rows: Mapping[str, Mapping[str, Any]]
    runs: Mapping[str, Mapping[str, Any]]
    failures: Mapping[str, Mapping[str, Any]]
    current: bool
    note: str = ""

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return {**vars(self), "place": vars(self.place) if self.place else None}


def lineage(snapshot: Snapshot, clip_id: str) -> Lineage:
    """The chain of one clip. Raises DatasetError for an id that the catalog does not know."""
    found = lineages(snapshot, [clip_id])
    if clip_id not in found:
        raise DatasetError(
            f"{clip_id} is no clip of {snapshot.dataset.root}; the catalog's table `clips` lists them (`mikudance sql`)"
        )
    return found[clip_id]


def lineages(snapshot: Snapshot, clip_ids: Collection[str]) -> dict[str, Lineage]:
    """The chains of several clips that the catalog knows, from one scan of each table."""
    select = snapshot.dataset.catalog.select
    clips = {row["clip_id"]: row for row in _by_run(select("clips", "clip_id", clip_ids))}
    keys, notes = {}, {}
    for name in clips:
        packed, notes[name] = _packed_keys(snapshot, name)
        keys[name] = packed or dict(snapshot.keys.get(name, {}))
    wanted = {key for stages in keys.values() for key in stages.values()} | {r["ingest_key"] for r in clips.values()}
    rows = {row["key"]: row for row in select("artifacts", "key", wanted)}
    # A sample names what was packed; what only fed into it (depth) is found through the inputs.
    for name, stages in keys.items():
        motion = rows.get(stages.get("scene_motion", ""))
        keys[name] = {**(json.loads(motion["inputs"]) if motion else {}), **stages}
    fed = {key for stages in keys.values() for key in stages.values()} - rows.keys()
    rows |= {row["key"]: row for row in select("artifacts", "key", fed)}
    sources = {
        r["source_id"]: r for r in _by_run(select("sources", "source_id", {c["source_id"] for c in clips.values()}))
    }
    runs = {row["run_id"]: row for row in select("runs", "run_id", {row["run_id"] for row in rows.values()})}
    failures: dict[str, dict[str, Any]] = {name: {} for name in clips}
    for row in _by_run(select("failures", "item_id", set(clips))):
        failures[row["item_id"]][row["stage"]] = row
    found = {}
    for name, clip in clips.items():
        made = {stage: rows[key] for stage, key in keys[name].items() if key in rows}
        if clip["ingest_key"] in rows:
            made = {"ingest": rows[clip["ingest_key"]], **made}
        present = snapshot.present.get(name, {})
        found[name] = Lineage(
            clip=clip,
            source=sources.get(clip["source_id"], {}),
            place=_place(snapshot, name),
            keys=keys[name],
            rows=made,
            runs={row["run_id"]: runs[row["run_id"]] for row in made.values() if row["run_id"] in runs},
            failures={stage: row for stage, row in failures[name].items() if stage not in made},
            current=bool(present) and all(present.get(stage) == key for stage, key in keys[name].items()),
            note=notes[name],
        )
    return found


def in_words(found: Lineage) -> str:
    """The chain as sentences, the shard first and the source last."""
    clip, source = found.clip, found.source
    lines = [_placed(found), *([found.note] if found.note else [])]
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


def _packed_keys(snapshot: Snapshot, clip_id: str) -> tuple[dict[str, str], str]:
    """The artifact keys in the sample's own json, empty where no shard holds it; and why it could not be read."""
    entry = _entry(snapshot, clip_id)
    if entry is None:
        return {}, ""
    try:
        return dict(read_sample(snapshot.dataset, entry, clip_id, only=("json",))["json"]["artifacts"]), ""
    except (OSError, KeyError, ValueError) as error:
        return {}, f"Its sample cannot be read ({error}); what follows is from the catalog alone."


def _entry(snapshot: Snapshot, clip_id: str) -> ShardEntry | None:
    path = snapshot.packed.get(clip_id)
    entries = snapshot.release.shards if snapshot.release and path else ()
    return next((entry for entry in entries if entry.path == path), None)


def _place(snapshot: Snapshot, clip_id: str) -> Place | None:
    entry, release = _entry(snapshot, clip_id), snapshot.release
    if entry is None or release is None:
        return None
    return Place(release.number, snapshot.release_digest, entry.path, entry.sha256, entry.samples.index(clip_id))


def _by_run(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows, the oldest run's first."""
    return sorted(rows, key=lambda row: row["run_id"])
