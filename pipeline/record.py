"""Writes what a run does into the catalog, in batches, and shows it."""

import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipeline.catalog import Catalog
from pipeline.config import RunConfig
from pipeline.executor.worker import ItemDone, ItemFailed
from pipeline.graph import StageSpec
from pipeline.progress import ProgressView
from pipeline.work import WorkItem

PAUSE = 10.0
"""A commit is followed by a pause of so many times its own length, so that slow commits take a tenth of the time."""


class Recorder:
    """The observer of a run. Rows wait for `commit_rows` others or `commit_seconds`; `flush` writes them now."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        graph: Mapping[str, StageSpec],
        view: ProgressView,
        config: RunConfig,
        run_id: str,
        on_done: Callable[[WorkItem, ItemDone], None],
        on_quarantined: Callable[[WorkItem], None],
    ) -> None:
        self._catalog = catalog
        self._graph = graph
        self._view = view
        self._config = config
        self._run_id = run_id
        self._on_done = on_done
        self._on_quarantined = on_quarantined
        self._artifacts: list[dict[str, Any]] = []
        self._failures: list[dict[str, Any]] = []
        self._clips: list[dict[str, Any]] = []
        self._flushed = time.monotonic()
        self._took = 0.0
        self.made: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.seconds: defaultdict[str, float] = defaultdict(float)

    def started(self, totals: Mapping[str, int]) -> None:
        self._view.started(totals)

    def done(self, item: WorkItem, outcome: ItemDone) -> None:
        spec = self._graph.get(item.stage)
        self._artifacts.append(
            {
                "key": item.key,
                "stage": item.stage,
                "stage_version": spec.version if spec else 1,
                "item_id": item.item_id,
                "source_id": item.source_id,
                "path": outcome.path,
                "sha256": outcome.sha256,
                "bytes": outcome.bytes,
                "status": outcome.header.status,
                "quality": json.dumps(outcome.header.quality, sort_keys=True),
                "inputs": json.dumps(item.inputs, sort_keys=True),
                "backend": spec.backend if spec else "",
                "backend_version": spec.backend_version if spec else 0,
                "weights_digest": spec.weights_digest if spec else "",
                "params": spec.params if spec else "{}",
                "seconds": outcome.seconds,
                "worker": outcome.worker,
                "created_s": time.time(),
                "run_id": self._run_id,
            }
        )
        self.made[item.stage] += 1
        self.seconds[item.stage] += outcome.seconds or 0.0
        self._view.done(item.stage)
        self._on_done(item, outcome)
        self._flush_if_due()

    def retried(self, item: WorkItem, failure: ItemFailed, attempt: int) -> None:
        self._view.retried(item.stage, item.item_id, failure.error, attempt)

    def quarantined(self, item: WorkItem, failure: ItemFailed, attempts: int) -> None:
        self._failures.append(
            {
                "key": item.key,
                "stage": item.stage,
                "item_id": item.item_id,
                "source_id": item.source_id,
                "cause": failure.cause,
                "error": failure.error,
                "traceback": failure.traceback,
                "attempts": attempts,
                "created_s": time.time(),
                "run_id": self._run_id,
            }
        )
        self.failed[item.stage] += 1
        self._view.failed(item.stage, item.item_id, failure.error)
        self._on_quarantined(item)
        self._flush_if_due()

    def clips(self, rows: Sequence[dict[str, Any]]) -> None:
        """Rows of clips that an ingest artifact cut; they are committed no later than the artifact's own row."""
        self._clips.extend(rows)

    def tick(self) -> None:
        self._view.tick()
        self._flush_if_due()

    def flush(self) -> None:
        """Commits everything that waits."""
        started = time.monotonic()
        clips, self._clips = self._clips, []
        artifacts, self._artifacts = self._artifacts, []
        failures, self._failures = self._failures, []
        # Clips before the artifact that names them done: a run killed between the two ingests again, and loses nothing.
        self._catalog.append("clips", clips)
        self._catalog.append("artifacts", artifacts)
        self._catalog.append("failures", failures)
        self._flushed = time.monotonic()
        self._took = self._flushed - started

    def _flush_if_due(self) -> None:
        waiting, since = len(self._artifacts) + len(self._failures), time.monotonic() - self._flushed
        due = waiting >= self._config.commit_rows or (waiting and since > self._config.commit_seconds)
        if due and since > PAUSE * self._took:
            self.flush()
