"""When to start and when to release workers: a pure function of what the pools look like now.

The rule, in order:

| situation of a stage                                | decision                                                   |
|-----------------------------------------------------|------------------------------------------------------------|
| work ready, no idle or starting worker, room left   | start one (stages without any worker first)                |
| work ready, no worker at all, no room               | release idle workers of stages without ready work, then start |
| Ray finds no node with room for a starting worker,  | release one idle worker of a stage without ready work,     |
| and the stage has no other                          | which may stand where the room is                          |
| no work ready or expected                           | release its idle workers                                   |

So stages that do not fit together run one after another instead of waiting for each other for ever, and a worker with
work at hand is never taken away (its model stays loaded).
"""

from dataclasses import dataclass

from schemas.config import Resources


@dataclass(frozen=True)
class PoolState:
    """One stage's pool: items ready to run, items that may become ready, and its workers.

    homeless: its only workers are starting ones that Ray has not placed on a node for a while: the cluster has what
    they ask for, but no single node has it free.
    """

    stage: str
    ready: int
    expected: int
    idle: int
    starting: int
    busy: int
    resources: Resources
    limit: int
    homeless: bool = False

    @property
    def alive(self) -> int:
        return self.idle + self.starting + self.busy


@dataclass(frozen=True)
class Decision:
    """Stages to start one worker of (a stage may come twice), and stages to release one idle worker of."""

    start: tuple[str, ...] = ()
    release: tuple[str, ...] = ()


def demand(resources: Resources) -> dict[str, float]:
    """A worker's needs under Ray's resource names."""
    wanted = {"CPU": resources.cpus, "GPU": resources.gpus, **resources.custom}
    return {name: amount for name, amount in wanted.items() if amount > 0}


def decide(pools: list[PoolState], total: dict[str, float]) -> Decision:
    """What to start and release. `total`: the cluster's resources by name."""
    free = dict(total)
    for pool in pools:
        for name, amount in demand(pool.resources).items():
            free[name] = free.get(name, 0.0) - amount * pool.alive
    release = [p.stage for p in pools if p.ready == 0 and p.expected == 0 for _ in range(p.idle)]
    spare = {p.stage: p.idle for p in pools if p.ready == 0 and p.expected > 0}
    by_name = {p.stage: p for p in pools}
    for stage in release:
        _give(free, by_name[stage].resources)

    if any(p.homeless for p in pools) and any(spare.values()):
        victim = max(spare, key=lambda stage: spare[stage])
        spare[victim] -= 1
        release.append(victim)
        _give(free, by_name[victim].resources)

    start: list[str] = []
    wanting = sorted((p for p in pools if _wanted(p) > 0), key=lambda p: p.alive > 0)
    for pool in wanting:
        while pool.alive == 0 and not _fits(free, pool.resources) and any(spare.values()):
            victim = max(spare, key=lambda stage: spare[stage])
            spare[victim] -= 1
            release.append(victim)
            _give(free, by_name[victim].resources)
        if pool.alive == 0 and _fits(free, pool.resources):
            _take(free, pool.resources)
            start.append(pool.stage)
    more = True
    while more:
        more = False
        for pool in wanting:
            if start.count(pool.stage) < _wanted(pool) and _fits(free, pool.resources):
                _take(free, pool.resources)
                start.append(pool.stage)
                more = True
    return Decision(tuple(start), tuple(release))


def default_limit(resources: Resources, total: dict[str, float]) -> int:
    """Workers of a stage when its `workers` setting is 0: as many as the whole cluster could hold."""
    shares = [total.get(name, 0.0) / amount for name, amount in demand(resources).items()]
    return max(1, int(min(shares))) if shares else 1


def misfit(stage: str, resources: Resources, nodes: list[dict[str, float]]) -> str | None:
    """Why no node can ever hold a worker of a stage, naming the setting to lower; None if one can."""
    wanted = demand(resources)
    if not nodes:
        return "the Ray cluster has no living node"
    if any(all(node.get(name, 0.0) >= amount for name, amount in wanted.items()) for node in nodes):
        return None
    best = {name: max(node.get(name, 0.0) for node in nodes) for name in wanted}
    short = max(wanted, key=lambda name: wanted[name] - best[name])
    if best[short] >= wanted[short]:
        needs = " and ".join(f"{amount:g} {name}" for name, amount in wanted.items())
        settings = " or ".join(f"`{_setting(stage, name)}`" for name in wanted)
        return (
            f"stage {stage!r} asks for {needs} on one node, and no node has them together: lower {settings} or add one"
        )
    return (
        f"stage {stage!r} asks for {wanted[short]:g} {short} a worker but no node that could run it has more than "
        f"{best[short]:g}: lower `{_setting(stage, short)}` or add a node"
    )


def _setting(stage: str, resource: str) -> str:
    names = {"CPU": "cpus", "GPU": "gpus"}
    return f"run.{stage}.{names.get(resource, f'custom.{resource}')}"


def _wanted(pool: PoolState) -> int:
    return max(0, min(pool.ready - pool.idle - pool.starting, pool.limit - pool.alive))


def _fits(free: dict[str, float], resources: Resources) -> bool:
    return all(free.get(name, 0.0) >= amount - 1e-9 for name, amount in demand(resources).items())


def _take(free: dict[str, float], resources: Resources) -> None:
    for name, amount in demand(resources).items():
        free[name] -= amount


def _give(free: dict[str, float], resources: Resources) -> None:
    for name, amount in demand(resources).items():
        free[name] = free.get(name, 0.0) + amount
