"""A dataset as the checks and the audit see it: clips of the present configuration, their artifacts, the release."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.checks.measure import Measurement, measurement_key, measurement_of_row
from pipeline.dataset import Dataset
from pipeline.graph import CLIP_STAGES, StageSpec, build_graph
from pipeline.pack.gates import refusals
from pipeline.planner import clip_keys, ingest_item
from pipeline.state import ArtifactFacts, State, clips_of_sources, read_state
from schemas.clip import Clip
from schemas.release import Release


@dataclass(frozen=True)
class Snapshot:
    """Read once at the start of a command.

    clips: by id, of the present configuration. keys: artifact key by clip and stage. ingest: ingest key by source.
    measured: measurements by clip, of exactly these artifacts.
    """

    dataset: Dataset
    graph: Mapping[str, StageSpec]
    state: State
    clips: Mapping[str, Clip]
    keys: Mapping[str, Mapping[str, str]]
    ingest: Mapping[str, str]
    measured: Mapping[str, Measurement]
    release: Release | None

    def made(self, clip_id: str) -> dict[str, ArtifactFacts]:
        """What exists of a clip, by stage."""
        have, keys = self.state.artifacts, self.keys[clip_id]
        return {stage: have[keys[stage]] for stage in CLIP_STAGES if keys[stage] in have}

    def finished(self, clip_id: str) -> bool:
        return len(self.made(clip_id)) == len(CLIP_STAGES)

    def refused(self, clip_id: str) -> list[str]:
        """Why a clip that is finished is left out of releases; empty if it is not."""
        made, gates = self.made(clip_id), self.dataset.config.gates
        quality = {rule.stage: made[rule.stage].figures() for rule in gates.rules if rule.stage in made}
        return refusals(
            self.clips[clip_id].kind, {stage: facts.status for stage, facts in made.items()}, quality, gates
        )

    @cached_property
    def packed(self) -> dict[str, str]:
        """Path of the shard that holds each clip of the newest release."""
        return {name: entry.path for entry in (self.release.shards if self.release else ()) for name in entry.samples}

    @cached_property
    def failures(self) -> list[dict[str, Any]]:
        """Newest failure of everything in quarantine under the present configuration."""
        current = {key for keys in self.keys.values() for key in keys.values()} | set(self.ingest.values())
        newest: dict[str, dict[str, Any]] = {}
        for row in sorted(self.dataset.catalog.rows("failures"), key=lambda row: row["created_s"]):
            if row["key"] in self.state.failed and (row["key"] in current or row["cause"] == "unreadable"):
                newest[row["key"]] = row
        return list(newest.values())

    def artifact_rows(self, keys: set[str]) -> dict[str, dict[str, Any]]:
        """Catalog rows of some artifacts, by key."""
        table = self.dataset.catalog.read("artifacts")
        chosen = table.filter(pc.is_in(table.column("key"), pa.array(sorted(keys), pa.string())))
        return {row["key"]: row for row in chosen.to_pylist()}


def read_snapshot(dataset: Dataset) -> Snapshot:
    """Reads the catalog and the newest release. Raises FileNotFoundError where a backend's weights are absent, because
    artifact keys contain their digest.
    """
    graph, state = build_graph(dataset.config), read_state(dataset)
    ingest = {
        source.source_id: ingest_item(graph["ingest"], source.source_id, source.sha256, source.path).key
        for source in state.usable_sources()
    }
    prefixes, facts = {name: spec.prefix for name, spec in graph.items()}, state.facts()
    clips = {clip.clip_id: clip for clip in clips_of_sources(state, ingest, ingest)}
    keys = {name: clip_keys(graph, clip, facts[clip.source_id], prefixes) for name, clip in clips.items()}
    known = {row["key"]: row for row in dataset.catalog.rows("measurements")}
    measured = {}
    for name, stages in keys.items() if known else ():
        row = known.get(measurement_key(stages))
        if row is not None:
            measured[name] = measurement_of_row(row)
    return Snapshot(dataset, graph, state, clips, keys, ingest, measured, dataset.newest_release())
