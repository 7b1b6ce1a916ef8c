"""One stage's Ray actors: start, hand out, notice death and lateness. One item a worker: a death has one suspect."""

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

from pipeline.executor.scaling import PoolState, demand
from pipeline.executor.worker import ItemDone, ItemFailed, Job, Worker
from pipeline.storage import Storage
from pipeline.work import WorkItem
from schemas.config import Resources

START_TIMEOUT_S = 900.0
"""A worker that has not loaded its model by then counts as failed; environments may be built on first use."""

DEATHS = (ActorDiedError, ActorUnavailableError, NodeDiedError, RayActorError, RaySystemError, WorkerCrashedError)


@dataclass
class _Busy:
    actor: Any
    item: WorkItem
    since: float


@dataclass(frozen=True)
class Finished:
    """A settled item. `blameless`: the node under the worker was lost, so the try does not count."""

    item: WorkItem
    outcome: ItemDone | ItemFailed
    blameless: bool = False


class Pool:
    """The workers of one stage."""

    def __init__(
        self, *, stage: str, root: str, make_job: Callable[[Storage], Job], resources: Resources, limit: int
    ) -> None:
        self.stage = stage
        self.resources = resources
        self.limit = limit
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
        self._starting: dict[Any, tuple[Any, float]] = {}
        self._idle: list[Any] = []
        self._busy: dict[Any, _Busy] = {}

    def state(self, ready: int, expected: int) -> PoolState:
        """What `scaling.decide` needs to know."""
        return PoolState(
            self.stage,
            ready,
            expected,
            len(self._idle),
            len(self._starting),
            len(self._busy),
            self.resources,
            self.limit,
        )

    @property
    def idle(self) -> int:
        return len(self._idle)

    @property
    def busy(self) -> int:
        return len(self._busy)

    def start(self) -> None:
        """Asks Ray for one more worker; it becomes idle once its model is loaded."""
        actor = self._actor_class.remote(**self._arguments)
        self._starting[actor.start.remote()] = (actor, time.monotonic())

    def release(self) -> None:
        """Ends one idle worker."""
        if self._idle:
            ray.kill(self._idle.pop())

    def hand_out(self, item: WorkItem) -> None:
        """Gives an item to an idle worker."""
        actor = self._idle.pop()
        self._busy[actor.run.remote(item)] = _Busy(actor, item, time.monotonic())

    def references(self) -> list[Any]:
        """What the driver waits for."""
        return [*self._starting, *self._busy]

    def settle(self, reference: Any) -> Finished | None:
        """Takes in one reference that Ray reports as ready: a worker that has started, or an item."""
        if reference in self._starting:
            self._settle_start(reference)
            return None
        busy = self._busy.pop(reference, None)
        if busy is None:
            return None
        try:
            outcome = ray.get(reference)
        except OutOfMemoryError as error:
            return Finished(
                busy.item, ItemFailed("out_of_memory", f"Ray's memory monitor ended the worker: {error}"[:2000])
            )
        except DEATHS as error:
            return Finished(busy.item, _death(error), blameless=_node_is_gone(error))
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
                ray.kill(busy.actor)
                text = (
                    f"not finished after {self.resources.timeout_s:g} s (limit `run.{self.stage}.timeout_s`); "
                    "the worker was ended"
                )
                late.append(Finished(busy.item, ItemFailed("timeout", text)))
        for reference, (actor, since) in list(self._starting.items()):
            if now - since > START_TIMEOUT_S:
                del self._starting[reference]
                ray.kill(actor)
                self.start_failures.append(f"no worker started within {START_TIMEOUT_S:g} s")
        return late

    def close(self) -> list[WorkItem]:
        """Ends all workers; returns the items that they held."""
        held = [busy.item for busy in self._busy.values()]
        for actor in [*self._idle, *(a for a, _ in self._starting.values()), *(b.actor for b in self._busy.values())]:
            ray.kill(actor)
        self._idle, self._starting, self._busy = [], {}, {}
        return held

    def _settle_start(self, reference: Any) -> None:
        actor, _ = self._starting.pop(reference)
        try:
            ray.get(reference, timeout=0)
        except GetTimeoutError:
            self._starting[reference] = (actor, time.monotonic())
        except RayError as error:
            self.start_failures.append(str(error))
            ray.kill(actor)
        else:
            self._idle.append(actor)
            self.start_failures.clear()


def _death(error: Exception) -> ItemFailed:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    detail = next(
        (line for line in lines if "exit" in line.lower() or "signal" in line.lower()), lines[0] if lines else ""
    )
    if "running low on memory" in str(error):  # Ray's memory monitor; its advice on other deaths names memory too
        return ItemFailed("out_of_memory", f"the worker was ended for using too much memory: {detail}"[:2000])
    return ItemFailed("killed", f"the worker process died while it held this item: {detail}"[:2000], str(error)[-8000:])


def _node_is_gone(error: Exception) -> bool:
    return (
        isinstance(error, NodeDiedError) or "node died" in str(error).lower() or "node was dead" in str(error).lower()
    )
