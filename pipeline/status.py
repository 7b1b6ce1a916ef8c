"""How a dataset stands: progress by stage, failures with causes, what is left out and why, releases."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from pipeline.dataset import Dataset
from pipeline.graph import CLIP_STAGES, build_graph
from pipeline.pack.gates import judged_stages
from pipeline.pack.release import Selection, select
from pipeline.planner import Plan, clip_keys, ingest_item, plan_clips, plan_ingest
from pipeline.state import clips_of_sources, read_state
from schemas.release import Release


@dataclass(frozen=True)
class Status:
    """A dataset under its present configuration.

    sources: by kind. clips: by (split, kind). ingest, plan: what is done, to do, quarantined. failures: newest row of
    everything in quarantine under the present configuration. selection: what a release would hold.
    """

    sources: Counter[str]
    clips: Counter[tuple[str, str]]
    ingest: Plan
    plan: Plan
    failures: tuple[dict[str, Any], ...]
    selection: Selection
    release: Release | None


def read_status(dataset: Dataset) -> Status:
    """Reads the catalog and judges it by the present configuration; runs nothing."""
    graph, state = build_graph(dataset.config), read_state(dataset, figures_of=judged_stages(dataset.config.gates))
    items = {s.source_id: ingest_item(graph["ingest"], s.source_id, s.sha256, s.path) for s in state.usable_sources()}
    ingest = plan_ingest(items.values(), state.artifacts.keys(), state.failed)
    clips = clips_of_sources(state, {name: item.key for name, item in items.items()}, items)
    plan = plan_clips(graph, clips, state.facts(), state.artifacts.keys(), state.failed)
    current = plan.failed | ingest.failed
    newest: dict[str, dict[str, Any]] = {}
    for row in sorted(dataset.catalog.rows("failures"), key=lambda row: row["created_s"]):
        if row["key"] in current or (row["key"] in state.failed and row["cause"] == "unreadable"):
            newest[row["key"]] = row
    return Status(
        sources=Counter(source.kind for source in state.usable_sources()),
        clips=Counter((clip.split, clip.kind) for clip in clips),
        ingest=ingest,
        plan=plan,
        failures=tuple(newest.values()),
        selection=select(dataset, state, graph),
        release=dataset.newest_release(),
    )


def clip_facts(dataset: Dataset, clip_id: str) -> list[dict[str, Any]]:
    """The catalog's artifact rows of one clip under the present configuration, in stage order. Empty if unknown."""
    graph, state = build_graph(dataset.config), read_state(dataset, figures_of=())
    items = {
        s.source_id: ingest_item(graph["ingest"], s.source_id, s.sha256, s.path).key for s in state.usable_sources()
    }
    found = [clip for clip in clips_of_sources(state, items, items) if clip.clip_id == clip_id]
    if not found:
        return []
    prefixes = {name: spec.prefix for name, spec in graph.items()}
    keys = clip_keys(graph, found[0], state.facts()[found[0].source_id], prefixes)
    rows = {row["key"]: row for row in dataset.catalog.select("artifacts", "key", set(keys.values()))}
    return [rows[keys[stage]] for stage in CLIP_STAGES if keys[stage] in rows]
