"""The driver's loop: items out to workers, outcomes back, until nothing is left to do."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import ray

from pipeline.executor.cluster import nodes, total_resources
from pipeline.executor.pool import Finished, Pool
from pipeline.executor.scaling import decide, default_limit, misfit
from pipeline.executor.tracker import Tracker
from pipeline.executor.worker import ItemDone, ItemFailed, Job
from pipeline.storage import Storage, UnwritableError
from pipeline.work import WorkItem
from schemas.config import Resources

START_TRIES = 3
SCALE_EVERY_S = 0.25
LOST_NODE_TRIES = 10
WRITE_TRIES = 3
"""Tries of one item whose result cannot be written, after which the run ends; fewer where `attempts` is lower."""
FIT_EVERY_S = 5.0
NO_NODE_S = 300.0
"""How long a stage waits for a node that can hold it, once the last such node is gone."""


class ExecutorError(RuntimeError):
    """A run that cannot start; the message names the setting to change."""


@dataclass(frozen=True)
class StageRun:
    """How one stage is run: what its workers do and what they take."""

    make_job: Callable[[Storage], Job]
    resources: Resources


class Observer(Protocol):
    """Told of everything that happens; records it and shows it. Calls come from one thread."""

    def started(self, totals: Mapping[str, int]) -> None: ...
    def done(self, item: WorkItem, outcome: ItemDone) -> None: ...
    def retried(self, item: WorkItem, failure: ItemFailed, attempt: int) -> None: ...
    def quarantined(self, item: WorkItem, failure: ItemFailed, attempts: int) -> None: ...
    def tick(self) -> None: ...


@dataclass
class Outcome:
    """How a run ended.

    left: items for a rerun. broken: why, by stage: its workers do not start, no node is left that can hold one, or a
    source file has to be put back or an artifact repaired first (then only the items that read it are left).
    """

    done: int = 0
    quarantined: int = 0
    left: int = 0
    broken: dict[str, str] = field(default_factory=dict)


@dataclass
class _Excused:
    """Tries, by key, that are no fault of their items: their node was lost; their result could not be written."""

    lost: Counter[str] = field(default_factory=Counter)
    unwritten: Counter[str] = field(default_factory=Counter)


def check_fit(stages: Mapping[str, Resources]) -> None:
    """Raises ExecutorError unless a worker of every stage fits some node of the running cluster."""
    alive = nodes()
    problems = [text for name, needs in stages.items() if (text := misfit(name, needs, alive))]
    if problems:
        raise ExecutorError("; ".join(problems))


def execute(
    items: Iterable[WorkItem],
    stages: Mapping[str, StageRun],
    *,
    root: str,
    observer: Observer,
    stop: Callable[[], bool],
) -> Outcome:
    """Runs items (each once its inputs exist) on the connected Ray cluster. Ray must be initialised.

    stop: asked often; once True, nothing more is handed out, items in flight are waited for, and the call returns.
    Raises ExecutorError where a stage fits no node, UnwritableError where the dataset takes no more files.
    """
    tracker = Tracker(items)
    used = {name: stages[name] for name in tracker.stages()}
    check_fit({name: run.resources for name, run in used.items()})
    pools = {
        name: Pool(stage=name, root=root, make_job=run.make_job, resources=run.resources) for name, run in used.items()
    }
    observer.started(dict(tracker.total))
    outcome = Outcome()
    try:
        _loop(tracker, pools, observer, stop, outcome)
    finally:
        left = [item for pool in pools.values() for item in pool.close()]
        outcome.left += len(left)
    return outcome


def _loop(
    tracker: Tracker, pools: dict[str, Pool], observer: Observer, stop: Callable[[], bool], outcome: Outcome
) -> None:
    excused = _Excused()
    next_scaling = next_fitting = 0.0
    unfit: dict[str, float] = {}
    while True:
        stopping = stop()
        for name, pool in pools.items():
            while not stopping and pool.idle and tracker.ready(name):
                pool.hand_out(tracker.take(name))
            if len(pool.start_failures) >= START_TRIES and not pool.busy and not pool.idle:
                outcome.broken[name] = pool.start_failures[-1]
                outcome.left += len(tracker.drop_stage(name))
        busy = sum(pool.busy for pool in pools.values())
        if not busy and (stopping or not tracker.unfinished()):
            outcome.left += sum(tracker.ready(name) for name in pools)
            return
        if not stopping and time.monotonic() >= next_scaling:
            _scale(tracker, pools)
            next_scaling = time.monotonic() + SCALE_EVERY_S
        if time.monotonic() >= next_fitting:
            _give_up_unfit(tracker, pools, unfit, outcome)
            next_fitting = time.monotonic() + FIT_EVERY_S
        references = [reference for pool in pools.values() for reference in pool.references()]
        settled: list[Finished] = []
        if references:
            ready, _ = ray.wait(references, num_returns=1, timeout=SCALE_EVERY_S)
            if ready:  # take all that are ready by now: a call of ray.wait costs more than an item
                ready, _ = ray.wait(references, num_returns=len(references), timeout=0)
            owners = {reference: pool for pool in pools.values() for reference in pool.references()}
            settled = [f for reference in ready if (f := owners[reference].settle(reference)) is not None]
            if ready:
                next_scaling = min(next_scaling, time.monotonic() + 0.01)
        else:
            time.sleep(0.02)
        for pool in pools.values():
            settled.extend(pool.overdue())
        for finished in settled:
            _take_in(finished, tracker, pools[finished.item.stage].resources.attempts, observer, outcome, excused)
        observer.tick()


def _take_in(
    finished: Finished, tracker: Tracker, attempts: int, observer: Observer, outcome: Outcome, excused: _Excused
) -> None:
    item, result = finished.item, finished.outcome
    if isinstance(result, ItemDone):
        tracker.done(item)
        outcome.done += 1
        observer.done(item, result)
        return
    if finished.blameless and excused.lost[item.key] < LOST_NODE_TRIES:
        excused.lost[item.key] += 1
        tracker.give_back(item)
        return
    if result.cause == "unwritable":
        excused.unwritten[item.key] += 1
        if excused.unwritten[item.key] >= WRITE_TRIES or tracker.attempts(item) + 1 >= attempts:
            raise UnwritableError(result.error)  # every other item would fail alike, and none is to blame
    if tracker.failed(item, 1 if result.cause in ("refused", "gone") else attempts):
        if result.cause in ("gone", "damaged"):  # to be mended elsewhere; a quarantine would outlast the mending
            outcome.broken[item.stage] = f"{item.item_id}: {result.error}"
            outcome.left += 1
            return
        outcome.quarantined += 1
        observer.quarantined(item, result, tracker.attempts(item))
    else:
        observer.retried(item, result, tracker.attempts(item))


def _give_up_unfit(tracker: Tracker, pools: dict[str, Pool], unfit: dict[str, float], outcome: Outcome) -> None:
    """Leaves the items of stages that no living node has been able to hold for a while. unfit: since when, by stage."""
    alive, now = nodes(), time.monotonic()
    for name, pool in pools.items():
        text = misfit(name, pool.resources, alive)
        if text is None or pool.busy or not tracker.ready(name):
            unfit.pop(name, None)
        elif now - unfit.setdefault(name, now) > NO_NODE_S:
            outcome.broken[name] = text
            outcome.left += len(tracker.drop_stage(name))


def _scale(tracker: Tracker, pools: dict[str, Pool]) -> None:
    total = total_resources()  # asked each time: nodes come and go
    states = [
        pool.state(tracker.ready(name), tracker.waiting(name), default_limit(pool.resources, total))
        for name, pool in pools.items()
        if len(pool.start_failures) < START_TRIES
    ]
    decision = decide(states, total)
    for name in decision.release:
        pools[name].release()
    for name in decision.start:
        pools[name].start()
