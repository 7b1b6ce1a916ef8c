"""A driver as a process of its own: `python -m tests.pipeline.executor.driver ADDRESS ROOT PLAN LOG`.

PLAN is JSON: stages by name with their resources, and items as [stage, name, seconds, names of its inputs]. Each try of
an item appends a line to LOG: stage, name, node, resources. The outcome is printed as JSON.
"""

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray

from pipeline.executor.cluster import ClusterLostError, cluster
from pipeline.executor.loop import ExecutorError, StageRun, execute
from pipeline.executor.worker import ItemDone, ItemFailed
from pipeline.storage import Storage
from pipeline.work import WorkItem, digest
from schemas.artifacts.header import Header, make_table
from schemas.clip import Clip
from schemas.config import Resources
from tests.pipeline.executor.jobs import SCHEMA


class LoggedJob:
    """Says in a file which node it is on, waits, and writes the item's name and nothing of where or when."""

    def __init__(self, storage: Storage, log: str) -> None:
        self._log = Path(log)
        assigned = ray.get_runtime_context().get_assigned_resources()
        self._node = ray.get_runtime_context().get_node_id()
        self._assigned = sorted(assigned)

    def run(self, item: WorkItem) -> pa.Table:
        with self._log.open("a") as file:  # one short line: appended whole
            file.write(json.dumps([item.stage, item.item_id, self._node, self._assigned]) + "\n")
        assert isinstance(item.payload, Clip)
        time.sleep(item.payload.start_s)
        return make_table({"text": [item.item_id]}, SCHEMA, Header(item.stage, item.item_id))


def item(stage: str, name: str, seconds: float, needs: list[str], stages: dict[str, str]) -> WorkItem:
    """stages: of every item by name."""
    clip = Clip(name, "s", "camera", "train", 0, 16, (30, 1), seconds, "none.mp4")
    inputs = {stages[need]: digest(stages[need], need) for need in needs}
    return WorkItem(stage, digest(stage, name), name, "s", clip, inputs)


class Record:
    """What happened, in numbers."""

    def __init__(self) -> None:
        self.retried_items: list[str] = []
        self.failures: list[str] = []

    def started(self, totals: object) -> None: ...

    def done(self, item: WorkItem, outcome: ItemDone) -> None: ...

    def retried(self, item: WorkItem, failure: ItemFailed, attempt: int) -> None:
        self.retried_items.append(f"{item.item_id}: {failure.error}")

    def quarantined(self, item: WorkItem, failure: ItemFailed, attempts: int) -> None:
        self.failures.append(f"{item.item_id}: {failure.error}")

    def tick(self) -> None: ...


def main() -> None:
    address, root, plan, log = sys.argv[1:]
    data: dict[str, Any] = json.loads(Path(plan).read_text())
    make: Callable[[Storage], LoggedJob] = partial(LoggedJob, log=log)
    stages = {name: StageRun(make, Resources(**settings)) for name, settings in data["stages"].items()}
    owner = {name: stage for stage, name, _, _ in data["items"]}
    items = [item(stage, name, seconds, needs, owner) for stage, name, seconds, needs in data["items"]]
    record = Record()
    with cluster(address, object_store_mb=80):
        try:
            outcome = execute(items, stages, root=root, observer=record, stop=lambda: False)
        except (ClusterLostError, ExecutorError) as error:
            print(json.dumps({"refused": str(error)}))
            return
    result = {
        "done": outcome.done, "quarantined": outcome.quarantined, "left": outcome.left, "broken": outcome.broken,
        "retried": record.retried_items, "failures": record.failures,
    }  # fmt: skip
    print(json.dumps(result))


if __name__ == "__main__":
    main()
