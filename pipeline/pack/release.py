"""Publishes a release: chooses samples, has the missing shards written, and writes `releases/NNNN.json` once."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow.compute as pc

from pipeline.dataset import Dataset, DatasetError
from pipeline.graph import CLIP_STAGES, StageSpec
from pipeline.pack.gates import judged_stages, refusals, warnings
from pipeline.pack.plan import plan_shards
from pipeline.pack.sample import PACKED_STAGES
from pipeline.pack.shard import entry_of
from pipeline.planner import clip_keys, ingest_item
from pipeline.state import State, clips_of_sources, collector_paused, read_items
from pipeline.storage import StorageError
from pipeline.work import SampleWork, WorkItem, artifact_path
from schemas.artifacts.header import ArtifactError
from schemas.ids import SOURCE_ID_LENGTH
from schemas.release import Release, ShardEntry

CONFLICT_TRIES = 20


@dataclass(frozen=True)
class Selection:
    """What may go into a release.

    samples: those that pass. refused: clips with the reasons why not. warned: clips, taken or not, with what is
    doubtful about them. unfinished: clips whose artifacts are still to be made. settled: sources that are cut into
    clips (or cannot be) or retired; of any other source in a published shard, one that is to be cut anew or that
    another writer has just added, nothing can be said yet. idle_rules: rules on a figure that no clip has, although
    its stage has run.
    """

    samples: tuple[SampleWork, ...]
    sizes: Mapping[str, int]
    refused: Mapping[str, tuple[str, ...]]
    warned: Mapping[str, tuple[str, ...]]
    unfinished: frozenset[str]
    settled: frozenset[str]
    idle_rules: tuple[str, ...] = ()

    def open_question(self, clip_id: str) -> bool:
        """Whether a published clip may not be dropped yet."""
        return clip_id in self.unfinished or clip_id[:SOURCE_ID_LENGTH] not in self.settled


@dataclass(frozen=True)
class PackedRelease:
    """The newest release after a pack. new_shards: paths written by this run; refused and warned: as in Selection."""

    release: Release
    new_shards: tuple[str, ...]
    refused: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    warned: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def reasons(self) -> Counter[str]:
        return Counter(reason for reasons in self.refused.values() for reason in reasons)


def select(dataset: Dataset, state: State, graph: Mapping[str, StageSpec]) -> Selection:
    """Judges every clip that the state holds under the dataset's present configuration. Reads nothing else."""
    with collector_paused():
        return _select(dataset, state, graph)


def _select(dataset: Dataset, state: State, graph: Mapping[str, StageSpec]) -> Selection:
    facts, prefixes = state.facts(), {name: spec.prefix for name, spec in graph.items()}
    ingest = {
        source.source_id: ingest_item(graph["ingest"], source.source_id, source.sha256, source.path).key
        for source in state.usable_sources()
    }
    samples, sizes, refused, warned, unfinished = [], {}, {}, {}, set()
    gates = dataset.config.gates
    ran, recorded = set[str](), set[tuple[str, str]]()
    ruled = {(rule.stage, f'"{rule.figure}"') for rule in (*gates.rules, *gates.warnings)}
    for clip in clips_of_sources(state, ingest, ingest):
        keys = clip_keys(graph, clip, facts[clip.source_id], prefixes)
        made = {stage: state.artifacts[keys[stage]] for stage in CLIP_STAGES if keys[stage] in state.artifacts}
        # Only the figures that a rule names are parsed: there may be hundreds of thousands of clips.
        found = [(stage, name) for stage, name in ruled if stage in made and name in made[stage].quality]
        quality: dict[str, dict[str, float]] = {stage: made[stage].figures() for stage, _ in found}
        ran.update(made)
        recorded.update(found)
        if doubts := warnings(clip.kind, quality, gates):
            warned[clip.clip_id] = tuple(doubts)
        if len(made) < len(CLIP_STAGES):
            failed = [stage for stage in CLIP_STAGES if keys[stage] in state.failed]
            if failed:
                refused[clip.clip_id] = tuple(f"{stage} is in quarantine" for stage in failed)
            else:
                unfinished.add(clip.clip_id)
            continue
        status = {stage: artifact.status for stage, artifact in made.items()}
        reasons = refusals(clip.kind, status, quality, gates)
        if reasons:
            refused[clip.clip_id] = tuple(reasons)
            continue
        samples.append(SampleWork(clip, {stage: keys[stage] for stage in PACKED_STAGES}))
        sizes[clip.clip_id] = sum(made[stage].bytes for stage in PACKED_STAGES)
    settled = state.retired().union(
        name for name, key in ingest.items() if key in state.artifacts or key in state.failed
    )
    idle = [str(r) for r in gates.rules if r.stage in ran and (r.stage, f'"{r.figure}"') not in recorded]
    return Selection(tuple(samples), sizes, refused, warned, frozenset(unfinished), settled, tuple(idle))


def publish(
    dataset: Dataset,
    state: State,
    graph: Mapping[str, StageSpec],
    execute_items: Callable[[Sequence[WorkItem]], None],
    run_id: str,
) -> PackedRelease | None:
    """Makes a release of all clips that are finished and pass the gates; the newest one again if nothing changed.

    Of a state that holds some sources only, nothing can be said of the others, so their shards stay as they are; a
    published sample of one of the state's own may have to change, and its neighbours with it: then all are read.

    Another writer may publish meanwhile: releases are written only if absent, and the plan is then made anew on top of
    the other's release. Returns None where there is no sample and no release. Raises DatasetError if a shard could not
    be written.
    """
    chosen = select(dataset, state, graph)
    for _ in range(CONFLICT_TRIES):
        parent = dataset.newest_release()
        if parent is not None and state.only and _holds(parent, state.only):
            read_items(dataset, state, figures_of=judged_stages(dataset.config.gates))
            chosen = select(dataset, state, graph)
        if parent is None and not chosen.samples:
            return None
        plan = plan_shards(chosen.samples, chosen.sizes, chosen.open_question, parent, dataset.config.pack)
        if parent is not None and not plan.items and plan.kept == parent.shards:
            _record(dataset, parent, _unrecorded(dataset, parent), run_id)
            return PackedRelease(parent, (), chosen.refused, chosen.warned)
        for item in plan.items:
            if not _in_place(dataset, item):
                state.artifacts.pop(item.key, None)
        execute_items([item for item in plan.items if item.key not in state.artifacts])
        missing = [item.item_id for item in plan.items if item.key not in state.artifacts]
        if missing:
            raise DatasetError(
                f"{len(missing)} shards were not written (first: {missing[0]}), so there is no new release; "
                "`mikudance status` names the cause, a rerun goes on from here"
            )
        new = tuple(_entry(dataset, item) for item in plan.items)
        release = Release(
            number=parent.number + 1 if parent else 1,
            parent=parent.digest() if parent else "",
            shards=(*plan.kept, *new),
        )
        if dataset.storage.write_if_absent(release.path, release.model_dump_json(indent=1).encode() + b"\n"):
            _record(dataset, release, new, run_id)
            return PackedRelease(release, tuple(entry.path for entry in new), chosen.refused, chosen.warned)
    raise DatasetError(f"other writers published {CONFLICT_TRIES} releases meanwhile; run the command again")


def _holds(release: Release, sources: frozenset[str]) -> bool:
    """Whether a release has samples of any of these sources."""
    return any(name[:SOURCE_ID_LENGTH] in sources for entry in release.shards for name in entry.samples)


def _in_place(dataset: Dataset, item: WorkItem) -> bool:
    """Whether a shard was packed before and its files are there. If not, the artifact that says so is removed."""
    storage, path = dataset.storage, artifact_path(item.stage, item.key)
    if not storage.exists(path):
        return False
    try:
        entry = _entry(dataset, item)
        names: tuple[str, ...] = (entry.path, entry.index_path, entry.sha256_path)
        whole = all(storage.exists(name) for name in names) and storage.size(entry.path) == entry.bytes
    except (StorageError, ArtifactError):
        whole = False
    if not whole:
        storage.remove(path)
    return whole


def _entry(dataset: Dataset, item: WorkItem) -> ShardEntry:
    return entry_of(dataset.storage.read_table(artifact_path(item.stage, item.key)))


def _unrecorded(dataset: Dataset, release: Release) -> list[ShardEntry]:
    """Shards that a run published and was killed, or told by the store that it had failed, before it recorded them."""
    known = set(pc.unique(dataset.catalog.read("shards", ["path"]).column("path")).to_pylist())
    return [entry for entry in release.shards if entry.path not in known]


def _record(dataset: Dataset, release: Release, new: Sequence[ShardEntry], run_id: str) -> None:
    rows = [
        {
            "path": entry.path,
            "sha256": entry.sha256,
            "bytes": entry.bytes,
            "split": entry.split,
            "kind": entry.kind,
            "clip_id": name,
            "position": position,
            "release": release.number,
            "run_id": run_id,
        }
        for entry in new
        for position, name in enumerate(entry.samples)
    ]
    dataset.catalog.append("shards", rows)
