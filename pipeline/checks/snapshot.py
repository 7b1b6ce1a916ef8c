"""A dataset as the checks and the audit see it: clips of the present configuration, their artifacts, the release."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from extractors.weights.store import WeightsError
from pipeline.checks.measure import MEASURED_STAGES, Measurement, measurement_key, measurement_of_row
from pipeline.dataset import Dataset
from pipeline.graph import CLIP_STAGES, StageSpec, build_graph
from pipeline.pack.gates import judged_stages, refusals, warnings
from pipeline.planner import clip_keys, ingest_item
from pipeline.state import ArtifactFacts, State, clips_of_sources, collector_paused, make_clip, read_state
from schemas.clip import Clip
from schemas.release import Release


@dataclass(frozen=True)
class Snapshot:
    """Read once at the start of a command.

    clips: by id. Those of the present configuration, those in the newest release, and those of sources that the present
    configuration has not cut yet. present: artifact keys by clip and stage under the present configuration, for the
    clips it knows. keys: the artifacts that stand for a clip: the present ones where they are made, else those made
    last. ingest: ingest key by source. measured: measurements by clip, of exactly the artifacts in `keys`. problem: why
    present keys are not known (a backend's weights are not on this machine), else empty.
    """

    dataset: Dataset
    state: State
    clips: Mapping[str, Clip]
    present: Mapping[str, Mapping[str, str]]
    keys: Mapping[str, Mapping[str, str]]
    ingest: Mapping[str, str]
    measured: Mapping[str, Measurement]
    release: Release | None
    problem: str = ""

    def made(self, clip_id: str) -> dict[str, ArtifactFacts]:
        """What exists of a clip, by stage."""
        have, keys = self.state.artifacts, self.keys[clip_id]
        return {stage: have[keys[stage]] for stage in CLIP_STAGES if keys.get(stage) in have}

    def finished(self, clip_id: str) -> bool:
        return clip_id in self._finished

    def refused(self, clip_id: str) -> list[str]:
        """Why a clip that is finished is left out of releases; empty if it is not."""
        made, gates = self.made(clip_id), self.dataset.config.gates
        quality: dict[str, dict[str, float]] = {
            rule.stage: made[rule.stage].figures() for rule in gates.rules if rule.stage in made
        }
        return refusals(
            self.clips[clip_id].kind, {stage: facts.status for stage, facts in made.items()}, quality, gates
        )

    def doubts(self, clip_id: str) -> list[str]:
        """What is doubtful about a clip, whether it is left out or not."""
        made, gates = self.made(clip_id), self.dataset.config.gates
        quality: dict[str, dict[str, float]] = {
            rule.stage: made[rule.stage].figures() for rule in gates.warnings if rule.stage in made
        }
        return warnings(self.clips[clip_id].kind, quality, gates)

    @cached_property
    def _finished(self) -> frozenset[str]:
        return frozenset(name for name in self.clips if len(self.made(name)) == len(CLIP_STAGES))

    @cached_property
    def packed(self) -> dict[str, str]:
        """Path of the shard that holds each clip of the newest release."""
        return {name: entry.path for entry in (self.release.shards if self.release else ()) for name in entry.samples}

    @cached_property
    def release_digest(self) -> str:
        """Digest of the newest release, "" without one."""
        return self.release.digest() if self.release else ""

    @cached_property
    def failures(self) -> list[dict[str, Any]]:
        """Newest failure of everything in quarantine under the present configuration."""
        current = {key for keys in self.present.values() for key in keys.values()} | set(self.ingest.values())
        newest: dict[str, dict[str, Any]] = {}
        for row in sorted(self.dataset.catalog.rows("failures"), key=lambda row: row["created_s"]):
            unknown = row["cause"] == "unreadable" or self.problem
            if row["key"] in self.state.failed and (row["key"] in current or unknown):
                newest[row["key"]] = row
        return list(newest.values())


def read_snapshot(dataset: Dataset) -> Snapshot:
    """Reads the catalog and the newest release."""
    with collector_paused():
        return _read_snapshot(dataset)


def _read_snapshot(dataset: Dataset) -> Snapshot:
    # Of the figures, which are most of a catalog, only those that decide what is published.
    state = read_state(dataset, figures_of=judged_stages(dataset.config.gates))
    release = dataset.newest_release()
    graph, problem = _graph(dataset)
    ingest = {}
    present: dict[str, Mapping[str, str]] = {}
    clips: dict[str, Clip] = {}
    if graph:
        ingest = {
            source.source_id: ingest_item(graph["ingest"], source.source_id, source.sha256, source.path).key
            for source in state.usable_sources()
        }
        prefixes, facts = {name: spec.prefix for name, spec in graph.items()}, state.facts()
        clips = {clip.clip_id: clip for clip in clips_of_sources(state, ingest, ingest)}
        present = {name: clip_keys(graph, clip, facts[clip.source_id], prefixes) for name, clip in clips.items()}
    packed = {name for entry in (release.shards if release else ()) for name in entry.samples}
    cut = {clip.source_id for clip in clips.values()}
    for rows in state.clips.values():
        for name, row in rows.items():
            source = state.sources.get(row["source_id"])  # None: retired for one that was taken down
            if source and name not in clips and (name in packed or row["source_id"] not in cut):
                clips[name] = make_clip(row, source)
    keys = _standing(dataset, state, clips, present)
    ordered = {name: clips[name] for name in sorted(clips)}
    measured = _measured(dataset, keys)
    return Snapshot(dataset, state, ordered, present, keys, ingest, measured, release, problem)


def _measured(dataset: Dataset, keys: Mapping[str, Mapping[str, str]]) -> dict[str, Measurement]:
    """The newest measurement of exactly these artifacts, by clip."""
    if not dataset.catalog.exists("measurements"):
        return {}
    complete = (name for name, stages in keys.items() if all(stage in stages for stage in MEASURED_STAGES))
    owners = {measurement_key(keys[name]): name for name in complete}
    measured = {}
    for part in dataset.catalog.batches("measurements"):
        for row in part.to_pylist():
            if name := owners.get(row["key"]):
                measured[name] = measurement_of_row(row)
    return measured


def _graph(dataset: Dataset) -> tuple[dict[str, StageSpec], str]:
    try:
        return build_graph(dataset.config), ""
    except WeightsError as error:  # artifact keys contain the weights' digest
        return {}, f"what the present configuration makes is not known here: {error}"


def _standing(
    dataset: Dataset, state: State, clips: Mapping[str, Clip], present: Mapping[str, Mapping[str, str]]
) -> dict[str, Mapping[str, str]]:
    """The keys that stand for each clip."""
    open_clips = {n for n in clips if n not in present or any(k not in state.artifacts for k in present[n].values())}
    last: dict[str, dict[str, str]] = {name: {} for name in open_clips}
    table = dataset.catalog.matching("artifacts", "item_id", open_clips, ["item_id", "stage", "key", "created_s"])
    for row in table.sort_by("created_s").to_pylist():
        if row["stage"] in CLIP_STAGES:
            last[row["item_id"]][row["stage"]] = row["key"]
    keys: dict[str, Mapping[str, str]] = {}
    for name in clips:
        wanted = present.get(name, {})
        made = {stage: key for stage, key in wanted.items() if key in state.artifacts}
        keys[name] = wanted if name not in last else {**wanted, **last[name], **made}
    return keys
