"""One stage's Ray actors: start, hand out, notice death and lateness. One item a worker: a death has one suspect.

A node that is lost takes its workers with it, and Ray tells of the workers before it knows of the node: a worker that
has become unreachable is asked again until Ray can say whether it died alone or with its node.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    GetTimeoutError,
    NodeDiedError,
    OutOfMemoryError,
    RayActorError,
    RayError,
    RaySystemError,
    WorkerCrashedError,
)

from pipeline.executor.cluster import ask, living_nodes
from pipeline.executor.scaling import PoolState, demand
from pipeline.executor.worker import ItemDone, ItemFailed, Job, Worker
from pipeline.storage import Storage
from pipeline.work import WorkItem
from schemas.config import Resources

START_TIMEOUT_S = 900.0
"""A worker that has not loaded its model so long after its process began counts as failed; waiting for a place on a
cluster that is full does not count.
"""

HOMELESS_S = 15.0
"""A stage whose only worker has waited for a place longer than this makes others give up idle workers."""
ASK_EVERY_S = 0.5
DOUBT_S = 120.0
"""An unreachable worker of which Ray can say nothing for so long is ended, and nobody is blamed."""

DEATHS = (ActorDiedError, NodeDiedError, RayActorError, RaySystemError, WorkerCrashedError)


@dataclass(frozen=True)
class _Actor:
    """A worker and the node that it lives on."""

    handle: Any
    node: str = ""


@dataclass
class _Starting:
    """placed: reference to the worker's node, ready once its process runs. since: when it was asked for. loading_since:
    when it was first seen to have a place, None until then.
    """

    handle: Any
    placed: Any
    since: float
    loading_since: float | None = None


@dataclass
class _Busy:
    actor: _Actor
    item: WorkItem
    since: float


@dataclass
class _Doubt:
    """An unreachable worker: since when, and when it was last asked."""

    busy: _Busy
    since: float
    asked: float


@dataclass(frozen=True)
class Finished:
    """A settled item. `blameless`: the node under the worker was lost, so the try does not count."""

    item: WorkItem
    outcome: ItemDone | ItemFailed
    blameless: bool = False


class Pool:
    """The workers of one stage."""

    def __init__(self, *, stage: str, root: str, make_job: Callable[[Storage], Job], resources: Resources) -> None:
        self.stage = stage
        self.resources = resources
        self.start_failures: list[str] = []
        wanted = demand(resources)
        custom = {name: amount for name, amount in wanted.items() if name not in ("CPU", "GPU")}
        options: dict[str, Any] = {
            "num_cpus": wanted.get("CPU", 0),
            "num_gpus": wanted.get("GPU", 0),
            "resources": custom,
            "max_restarts": 0,
            "max_task_retries": 0,
        }
        if resources.runtime_env:
            options["runtime_env"] = resources.runtime_env
        self._actor_class = ray.remote(Worker).options(**options)
        self._arguments = {"root": root, "make_job": make_job}
        self._starting: dict[Any, _Starting] = {}
        self._idle: list[_Actor] = []
        self._busy: dict[Any, _Busy] = {}
        self._doubtful: dict[Any, _Doubt] = {}
        self._next_look = 0.0

    def state(self, ready: int, expected: int, limit: int) -> PoolState:
        """What `scaling.decide` needs to know. limit: workers that the cluster can hold as it is now."""
        return PoolState(
            self.stage,
            ready,
            expected,
            len(self._idle),
            len(self._starting),
            self.busy,
            self.resources,
            self.resources.workers or limit,
            homeless=self._homeless(),
        )

    @property
    def idle(self) -> int:
        return len(self._idle)

    @property
    def busy(self) -> int:
        return len(self._busy) + len(self._doubtful)

    def start(self) -> None:
        """Asks Ray for one more worker; it becomes idle once its model is loaded. Raises ClusterLostError."""
        handle = ask(lambda: self._actor_class.remote(**self._arguments))  # the head keeps the class
        placed = handle.node.remote()
        self._starting[handle.start.remote()] = _Starting(handle, placed, time.monotonic())

    def release(self) -> None:
        """Ends one idle worker."""
        if self._idle:
            ray.kill(self._idle.pop().handle)

    def hand_out(self, item: WorkItem) -> None:
        """Gives an item to an idle worker."""
        actor = self._idle.pop()
        self._busy[actor.handle.run.remote(item)] = _Busy(actor, item, time.monotonic())

    def references(self) -> list[Any]:
        """What the driver waits for."""
        late = time.monotonic() - ASK_EVERY_S
        return [*self._starting, *self._busy, *(r for r, doubt in self._doubtful.items() if doubt.asked < late)]

    def settle(self, reference: Any) -> Finished | None:
        """Takes in one reference that Ray reports as ready: a worker that has started, or an item."""
        if reference in self._starting:
            self._settle_start(reference)
            return None
        if reference in self._doubtful:
            return self._settle_doubt(reference)
        busy = self._busy.pop(reference, None)
        if busy is None:
            return None
        try:
            outcome = ray.get(reference)
        except OutOfMemoryError as error:
            return Finished(
                busy.item, ItemFailed("out_of_memory", f"Ray's memory monitor ended the worker: {error}"[:2000])
            )
        except ActorUnavailableError:
            self._ask(busy, time.monotonic())
            return None
        except DEATHS as error:
            return self._died(busy, error)
        except RayError as error:
            return Finished(busy.item, ItemFailed("raised", f"Ray could not return the result: {error}"[:2000]))
        self._idle.append(busy.actor)
        return Finished(busy.item, outcome)

    def overdue(self) -> list[Finished]:
        """Kills workers that do not start, or whose item has passed the time limit; says which items it was."""
        now, late = time.monotonic(), []
        for reference, busy in list(self._busy.items()):
            if now - busy.since > self.resources.timeout_s:
                del self._busy[reference]
                ray.kill(busy.actor.handle)
                text = (
                    f"not finished after {self.resources.timeout_s:g} s (limit `run.{self.stage}.timeout_s`); "
                    "the worker was ended"
                )
                late.append(Finished(busy.item, ItemFailed("timeout", text)))
        self._note_places(now)
        for reference, worker in list(self._starting.items()):
            if worker.loading_since is not None and now - worker.loading_since > START_TIMEOUT_S:
                del self._starting[reference]
                ray.kill(worker.handle)
                self.start_failures.append(f"a worker had not loaded {START_TIMEOUT_S:g} s after its process began")
        return late

    def _note_places(self, now: float) -> None:
        waiting = [worker for worker in self._starting.values() if worker.loading_since is None]
        if not waiting or now < self._next_look:
            return
        self._next_look = now + ASK_EVERY_S
        references = [worker.placed for worker in waiting]
        placed, _ = ray.wait(references, num_returns=len(references), timeout=0)
        for worker in waiting:
            if worker.placed in placed:
                worker.loading_since = now

    def close(self) -> list[WorkItem]:
        """Ends all workers; returns the items that they held."""
        working = [*self._busy.values(), *(doubt.busy for doubt in self._doubtful.values())]
        actors = [*self._idle, *(busy.actor for busy in working)]
        for handle in [*(actor.handle for actor in actors), *(worker.handle for worker in self._starting.values())]:
            ray.kill(handle)
        self._idle, self._starting, self._busy, self._doubtful = [], {}, {}, {}
        return [busy.item for busy in working]

    def _homeless(self) -> bool:
        if self._idle or self.busy or not self._starting:
            return False
        now = time.monotonic()
        waiting = [worker.placed for worker in self._starting.values() if now - worker.since > HOMELESS_S]
        placed, _ = ray.wait(waiting, num_returns=len(waiting), timeout=0) if waiting else ([], [])
        return bool(waiting) and len(waiting) == len(self._starting) and not placed

    def _settle_start(self, reference: Any) -> None:
        worker = self._starting.pop(reference)
        try:
            ray.get(reference, timeout=0)
            self._idle.append(_Actor(worker.handle, ray.get(worker.placed, timeout=0)))
            self.start_failures.clear()
        except GetTimeoutError:
            self._starting[reference] = worker
        except RayError as error:
            if not isinstance(error, ActorUnavailableError) and not _node_is_gone(error):
                self.start_failures.append(str(error))
            ray.kill(worker.handle)

    def _ask(self, busy: _Busy, since: float) -> None:
        self._doubtful[busy.actor.handle.node.remote()] = _Doubt(busy, since, time.monotonic())

    def _settle_doubt(self, reference: Any) -> Finished | None:
        doubt = self._doubtful.pop(reference)
        now = time.monotonic()
        try:
            ray.get(reference)
        except ActorUnavailableError:
            if now - doubt.since < DOUBT_S:
                self._ask(doubt.busy, doubt.since)
                return None
        except DEATHS as error:
            return self._died(doubt.busy, error)
        ray.kill(doubt.busy.actor.handle)  # it may answer again, but its item's result is lost
        return Finished(doubt.busy.item, ItemFailed("killed", "the connection to the worker was lost"), blameless=True)

    def _died(self, busy: _Busy, error: Exception) -> Finished:
        blameless = _node_is_gone(error) or (busy.actor.node != "" and busy.actor.node not in living_nodes())
        return Finished(busy.item, _death(error), blameless=blameless)


def _death(error: Exception) -> ItemFailed:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    detail = next(
        (line for line in lines if "exit" in line.lower() or "signal" in line.lower()), lines[0] if lines else ""
    )
    if "running low on memory" in str(error):  # Ray's memory monitor; its advice on other deaths names memory too
        return ItemFailed("out_of_memory", f"the worker was ended for using too much memory: {detail}"[:2000])
    return ItemFailed("killed", f"the worker process died while it held this item: {detail}"[:2000], str(error)[-8000:])


def _node_is_gone(error: Exception) -> bool:
    text = str(error).lower()
    return isinstance(error, NodeDiedError) or any(
        words in text for words in ("node died", "node has died", "node was dead")
    )
