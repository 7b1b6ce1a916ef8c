"""What has to run: a pure function of the graph, the clips and what the catalog knows."""

from collections import Counter
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field

from pipeline.graph import CLIP_STAGES, StageSpec, clip_part
from pipeline.work import SourceWork, WorkItem, digest
from schemas.clip import Clip


@dataclass(frozen=True)
class SourceFacts:
    """What of a source enters artifact keys."""

    sha256: str
    camera_track_sha256: str = ""


@dataclass(frozen=True)
class Plan:
    """Items to run, inputs before what needs them, and how everything else stands, counted by stage."""

    todo: tuple[WorkItem, ...] = ()
    done: Mapping[str, int] = field(default_factory=dict)
    quarantined: Mapping[str, int] = field(default_factory=dict)
    blocked: Mapping[str, int] = field(default_factory=dict)
    failed: frozenset[str] = frozenset()
    """Those of the plan's keys that are in quarantine, blocked ones included."""

    def todo_by_stage(self) -> dict[str, int]:
        return dict(Counter(item.stage for item in self.todo))


def ingest_item(
    spec: StageSpec, source_id: str, sha256: str, video: str, video_stat: tuple[int, int] | None = None
) -> WorkItem:
    """The ingest of one source. video_stat: as in SourceWork."""
    work = SourceWork(source_id, video, video_stat)
    return WorkItem("ingest", digest(spec.prefix, sha256), source_id, source_id, work)


def clip_keys(
    graph: Mapping[str, StageSpec], clip: Clip, facts: SourceFacts, prefixes: Mapping[str, str]
) -> dict[str, str]:
    """The key of every clip stage. Needs no file: keys hash the keys of inputs, not their content."""
    keys: dict[str, str] = {}
    for stage in CLIP_STAGES:
        own = clip_part(stage, clip, facts.sha256, facts.camera_track_sha256)
        keys[stage] = digest(prefixes[stage], own, *[keys[name] for name in graph[stage].inputs])
    return keys


def plan_ingest(items: Iterable[WorkItem], have: Container[str], failed: Container[str]) -> Plan:
    """Which sources are still to be ingested."""
    todo, done, stuck = [], 0, []
    for item in items:
        if item.key in have:
            done += 1
        elif item.key in failed:
            stuck.append(item.key)
        else:
            todo.append(item)
    return Plan(tuple(todo), {"ingest": done}, {"ingest": len(stuck)}, failed=frozenset(stuck))


def plan_clips(
    graph: Mapping[str, StageSpec],
    clips: Iterable[Clip],
    facts: Mapping[str, SourceFacts],
    have: Container[str],
    failed: Container[str],
) -> Plan:
    """Which stages of which clips are still to run.

    have: keys of artifacts that exist. failed: keys in quarantine; what depends on one is blocked.
    """
    prefixes = {name: spec.prefix for name, spec in graph.items()}
    todo: list[WorkItem] = []
    counts = {name: dict.fromkeys(CLIP_STAGES, 0) for name in ("done", "quarantined", "blocked")}
    all_failed: set[str] = set()
    for clip in clips:
        keys = clip_keys(graph, clip, facts[clip.source_id], prefixes)
        all_failed.update(key for key in keys.values() if key in failed)
        stuck: set[str] = set()
        for stage in CLIP_STAGES:
            key = keys[stage]
            if key in have:
                counts["done"][stage] += 1
            elif any(name in stuck for name in graph[stage].inputs):
                counts["blocked"][stage] += 1
                stuck.add(stage)
            elif key in failed:
                counts["quarantined"][stage] += 1
                stuck.add(stage)
            else:
                inputs = {name: keys[name] for name in graph[stage].inputs}
                todo.append(WorkItem(stage, key, clip.clip_id, clip.source_id, clip, inputs))
    order = {stage: number for number, stage in enumerate(CLIP_STAGES)}
    todo.sort(key=lambda item: order[item.stage])
    return Plan(tuple(todo), counts["done"], counts["quarantined"], counts["blocked"], frozenset(all_failed))
