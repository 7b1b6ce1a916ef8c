"""One build: ingest sources, run the clip stages, pack shards, publish a release. Wires the parts, no more."""

import json
import platform
import secrets
import socket
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from pipeline.dataset import Dataset, DatasetError
from pipeline.executor.cluster import cluster
from pipeline.executor.loop import Outcome, StageRun, check_fit, execute
from pipeline.executor.worker import ClipJob, IngestJob, ItemDone, ItemFailed
from pipeline.graph import CLIP_STAGES, StageSpec, build_graph
from pipeline.ingest.clips import clips_of
from pipeline.ingest.sources import SourceFile
from pipeline.pack.gates import judged_stages, warnings
from pipeline.pack.release import PackedRelease, publish
from pipeline.pack.shard import PackJob
from pipeline.planner import Plan, ingest_item, plan_clips, plan_ingest
from pipeline.progress import ProgressView
from pipeline.record import Recorder
from pipeline.sources import Registration, register
from pipeline.state import ArtifactFacts, State, clip_row, clips_of_sources, read_items, read_sources
from pipeline.unreadable import stays_unreadable, unreadable_before, unreadable_item
from pipeline.version import code_version
from pipeline.work import WorkItem
from schemas.clip import Clip
from schemas.config import Resources


@dataclass
class RunOptions:
    """How one command runs.

    address: Ray cluster to join (None starts a local one). retry_failed: quarantined items are tried again. stop:
    asked often; once True, the run ends as soon as nothing is in flight. reassign: kinds and splits of known sources
    may be changed.
    """

    command: str = "build"
    address: str | None = None
    retry_failed: bool = False
    reassign: bool = False
    stop: Callable[[], bool] = field(default=lambda: False)


@dataclass
class RunSummary:
    """What a run did. made, reused, failed: items by stage. release: the newest one. left: items not run."""

    made: Counter[str] = field(default_factory=Counter)
    reused: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    quarantined: Counter[str] = field(default_factory=Counter)
    left: int = 0
    broken: dict[str, str] = field(default_factory=dict)
    release: PackedRelease | None = None
    seconds: float = 0.0
    stage_seconds: dict[str, float] = field(default_factory=dict)

    @property
    def idle(self) -> bool:
        """Whether there was nothing to do."""
        return not self.made and not self.failed and not self.left


class Run:
    """State shared by the phases of one command."""

    def __init__(self, dataset: Dataset, view: ProgressView, options: RunOptions) -> None:
        self.dataset = dataset
        self.view = view
        self.options = options
        self.graph = build_graph(dataset.config)
        # The newest row of a name wins: runs that follow each other within a second need an order too.
        self.run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{secrets.token_hex(4)}"
        self.state = State(sources=read_sources(dataset))
        self.summary = RunSummary()
        self._started = time.time()
        self._recorder = Recorder(
            catalog=dataset.catalog,
            graph=self.graph,
            view=view,
            config=dataset.config.run,
            run_id=self.run_id,
            on_done=self._on_done,
            on_quarantined=lambda item: self.state.failed.add(item.key),
        )
        self._recorded_start = False
        self._ended = False

    def build(self, files: Sequence[SourceFile], *, only_given: bool = False) -> RunSummary:
        """Registers files, runs what is missing and publishes a release if anything changed.

        only_given: work on these files alone; the dataset's other sources stay as they are.
        """
        known, reassign = self.state.sources, self.options.reassign
        registered = register(self.dataset, known, files, self.run_id, reassign=reassign)
        given = {*registered.source_ids, *(file.source_id for file in registered.unreadable)}
        figures = judged_stages(self.dataset.config.gates)
        read_items(self.dataset, self.state, figures_of=figures, only=given if only_given else None)
        self._report(registered)
        self._unreadable(registered, only_given=only_given)
        try:
            self._ingest()
            plan = self._clips()
            if not self.summary.left and not self.options.stop():
                self._pack(plan)
            self._ended = True
        finally:
            self._finish()
        return self.summary

    def _report(self, registered: Registration) -> None:
        if registered.changed:
            self.view.line(f"{len(registered.changed)} new or changed sources")
        for file, used in registered.duplicates:
            self.view.line(f"{file.uri} has the same content as {used}, which is used instead")
        for file in registered.refused:
            self.view.line(f"{file.uri} is refused: its content was removed from this dataset on request", style="red")
        for old, new in registered.retired:
            self.view.line(f"{new.uri} is another file now: {new.source_id} takes the place of {old.source_id}")

    def _unreadable(self, registered: Registration, *, only_given: bool) -> None:
        """Files that cannot be read are in quarantine under their path, until they can be read or are gone."""
        again = unreadable_before(self.dataset)
        for file in registered.unreadable:
            item = unreadable_item(self.dataset, file)
            if again.pop(item.item_id, None) is None:
                self._recorder.quarantined(item, ItemFailed("unreadable", str(file.error)), 1)
            else:
                self.view.line(f"{file.error}", style="red")
                self.summary.quarantined["ingest"] += 1
        over = {uri: key for uri, key in again.items() if not stays_unreadable(self.dataset, uri)}
        self.summary.quarantined["ingest"] += 0 if only_given else len(again) - len(over)
        self.dataset.catalog.forget("failures", "key", list(over.values()))
        self.state.failed -= set(over.values())
        registered_now = {self.dataset.portable_uri(source.path) for source in self.state.sources.values()}
        for uri in over.keys() - registered_now:
            self.view.line(f"{uri} was unreadable and is not now, or is gone: name it again to take it in")

    def _ingest_items(self) -> dict[str, WorkItem]:
        spec = self.graph["ingest"]
        return {
            s.source_id: ingest_item(spec, s.source_id, s.sha256, s.path, (s.bytes, s.mtime_ns))
            for s in self.state.usable_sources()
        }

    def _failed(self) -> set[str]:
        return set() if self.options.retry_failed else self.state.failed

    def _ingest(self) -> None:
        plan = plan_ingest(self._ingest_items().values(), self.state.artifacts.keys(), self._failed())
        self._run_plan(
            plan, {"ingest": StageRun(partial(_ingest_job, self.graph["ingest"]), self.dataset.config.run.ingest)}
        )

    def _clips(self) -> Plan:
        items = self._ingest_items()
        clips = clips_of_sources(self.state, {name: item.key for name, item in items.items()}, items)
        plan = plan_clips(self.graph, clips, self.state.facts(), self.state.artifacts.keys(), self._failed())
        stages = {
            name: StageRun(partial(_clip_job, self.graph[name]), self.graph[name].resources) for name in CLIP_STAGES
        }
        self._run_plan(plan, stages)
        return plan

    def _pack(self, plan: Plan) -> None:
        def execute_items(items: Sequence[WorkItem]) -> None:
            self._execute(items, {"pack": StageRun(PackJob, self.dataset.config.run.pack)})
            if reason := self.summary.broken.get("pack"):
                raise DatasetError(f"there is no new release: stage pack could not go on: {reason}")

        self.summary.release = publish(self.dataset, self.state, self.graph, execute_items, self.run_id)

    def _run_plan(self, plan: Plan, stages: dict[str, StageRun]) -> None:
        self.summary.reused.update(plan.done)
        self.summary.quarantined.update(plan.quarantined)
        self._execute(plan.todo, stages)

    def _execute(self, items: Sequence[WorkItem], stages: dict[str, StageRun]) -> None:
        if not items:
            return  # Ray is started for work only
        if not self._recorded_start:
            self._record_run("started")
            self._recorded_start = True
        config = self.dataset.config.run
        with cluster(self.options.address, object_store_mb=config.object_store_mb):
            check_fit(self._reachable(items))
            outcome: Outcome = execute(
                items, stages, root=self.dataset.root, observer=self._recorder, stop=self.options.stop
            )
        self._recorder.flush()
        self.summary.left += outcome.left
        self.summary.broken |= outcome.broken

    def _reachable(self, items: Sequence[WorkItem]) -> dict[str, Resources]:
        """What the stages that may still run ask for: a misfit of the last is refused before the first has begun."""
        stages = {item.stage for item in items} | {"pack"}
        if "ingest" in stages:  # any clip stage may be wanted by the clips that it finds
            stages |= set(CLIP_STAGES)
        return {name: getattr(self.dataset.config.run, name) for name in sorted(stages)}

    def _on_done(self, item: WorkItem, outcome: ItemDone) -> None:
        header = outcome.header
        self.state.artifacts[item.key] = ArtifactFacts(
            outcome.bytes, header.status, json.dumps(header.quality, sort_keys=True)
        )
        self.state.failed.discard(item.key)
        if item.stage == "ingest":
            self._add_clips(item, outcome)
        if isinstance(item.payload, Clip):
            for text in warnings(item.payload.kind, {item.stage: header.quality}, self.dataset.config.gates):
                self.view.line(f"{item.item_id}: {text}", style="yellow")

    def _add_clips(self, item: WorkItem, outcome: ItemDone) -> None:
        source = self.state.sources[item.source_id]
        table = self.dataset.storage.read_table(outcome.path)
        clips = clips_of(table, source, self.dataset.config.ingest)
        rows = [clip_row(clip, item.key, self.run_id) for clip in clips]
        known = self.state.clips.setdefault(item.key, {})
        self._recorder.clips([row for row in rows if row["clip_id"] not in known])
        known.update({row["clip_id"]: row for row in rows})

    def _finish(self) -> None:
        self._recorder.flush()
        self.summary.made, self.summary.failed = self._recorder.made, self._recorder.failed
        self.summary.stage_seconds = self._recorder.seconds
        self.summary.seconds = time.time() - self._started
        if self._recorded_start:
            whole = self._ended and not self.options.stop() and not self.summary.left
            self._record_run("finished" if whole else "interrupted")
            self.dataset.catalog.tidy()

    def _record_run(self, state: str) -> None:
        self.dataset.catalog.append(
            "runs",
            [
                {
                    "run_id": self.run_id,
                    "command": self.options.command,
                    "state": state,
                    "config_digest": self.dataset.config_digest(),
                    "code_version": code_version(),
                    "host": socket.gethostname(),
                    "python": platform.python_version(),
                    "created_s": time.time(),
                    "seconds": time.time() - self._started,
                    "counts": json.dumps({"made": self._recorder.made, "failed": self._recorder.failed}),
                }
            ],
        )


def _ingest_job(spec: StageSpec, storage: object) -> IngestJob:
    return IngestJob(spec.build)


def _clip_job(spec: StageSpec, storage: object) -> ClipJob:
    return ClipJob(storage, spec.build)  # type: ignore[arg-type]
