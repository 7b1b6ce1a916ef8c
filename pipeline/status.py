"""How a dataset stands: progress by stage, failures with causes, what is left out and why, releases."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from extractors.weights.store import WeightsError
from pipeline.config import PackConfig
from pipeline.dataset import Dataset
from pipeline.graph import CLIP_STAGES, StageSpec, build_graph
from pipeline.pack.gates import judged_stages
from pipeline.pack.plan import plan_shards
from pipeline.pack.release import Selection, select
from pipeline.planner import Plan, clip_keys, ingest_item, plan_clips, plan_ingest
from pipeline.state import clips_of_sources, read_state
from pipeline.work import ShardWork
from schemas.release import Release


@dataclass(frozen=True)
class Status:
    """A dataset under its present configuration.

    sources: by kind. clips: by (split, kind). ingest, plan: what is done, to do, quarantined. failures: newest row of
    everything in quarantine under the present configuration. selection: what a release would hold. absent: stages whose
    weights cannot be read here, so that those of the newest artifacts are taken for the present ones.
    """

    sources: Counter[str]
    clips: Counter[tuple[str, str]]
    ingest: Plan
    plan: Plan
    failures: tuple[dict[str, Any], ...]
    selection: Selection
    release: Release | None
    absent: tuple[str, ...] = ()


@dataclass(frozen=True)
class PackChange:
    """What a release made now would change against the newest. entering, leaving, renewed: samples that are new, gone,
    or packed again; shards: new ones.
    """

    number: int
    entering: int
    leaving: int
    renewed: int
    shards: int


def pack_change(status: Status, config: PackConfig) -> PackChange | None:
    """None where a build would publish nothing."""
    chosen, parent = status.selection, status.release
    plan = plan_shards(chosen.samples, chosen.sizes, chosen.open_question, parent, config)
    before = {name for entry in (parent.shards if parent else ()) for name in entry.samples}
    shards = [item.payload for item in plan.items if isinstance(item.payload, ShardWork)]
    packed = {sample.clip.clip_id for shard in shards for sample in shard.samples}
    after = packed.union(*(entry.samples for entry in plan.kept))
    if (parent and not plan.items and plan.kept == parent.shards) or not (parent or after):
        return None
    return PackChange(
        number=parent.number + 1 if parent else 1,
        entering=len(after - before),
        leaving=len(before - after),
        renewed=len(packed & before),
        shards=len(plan.items),
    )


def looking_graph(dataset: Dataset) -> tuple[dict[str, StageSpec], tuple[str, ...]]:
    """The graph for commands that only look, and the stages whose weights cannot be read here: their digest is that of
    the newest artifact. Raises WeightsError where there is none.
    """
    try:
        return build_graph(dataset.config), ()
    except WeightsError:
        pass
    columns = ["stage", "backend", "backend_version", "weights_digest"]
    table = dataset.catalog.read("artifacts", [*columns, "created_s"])
    rows = table.group_by(columns).aggregate([("created_s", "max")]).to_pylist()
    newest = {
        (row["stage"], row["backend"], row["backend_version"]): row["weights_digest"]
        for row in sorted(rows, key=lambda row: row["created_s_max"])
    }
    stages: list[str] = []

    def recorded(stage: str, backend: str, version: int) -> str | None:
        stages.append(stage)
        return newest.get((stage, backend, version))

    return build_graph(dataset.config, absent=recorded), tuple(stages)


def read_status(dataset: Dataset) -> Status:
    """Reads the catalog and judges it by the present configuration; runs nothing."""
    graph, absent = looking_graph(dataset)
    state = read_state(dataset, figures_of=judged_stages(dataset.config.gates))
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
        absent=absent,
    )


def clip_facts(dataset: Dataset, clip_id: str) -> list[dict[str, Any]]:
    """The catalog's artifact rows of one clip under the present configuration, in stage order. Empty if unknown."""
    (graph, _), state = looking_graph(dataset), read_state(dataset, figures_of=())
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
