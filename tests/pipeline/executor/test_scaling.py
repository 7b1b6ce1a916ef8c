"""The scaling rule, row by row, and by simulation."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.executor.scaling import PoolState, decide, misfit
from schemas.config import Resources


def pool(stage: str, **changes: object) -> PoolState:
    values: dict[str, object] = {
        "ready": 0, "expected": 0, "idle": 0, "starting": 0, "busy": 0, "resources": Resources(), "limit": 4
    }  # fmt: skip
    return PoolState(stage=stage, **(values | changes))  # type: ignore[arg-type]


def test_stages_without_a_worker_come_first() -> None:
    decision = decide([pool("a", ready=9, busy=1), pool("b", ready=1)], {"CPU": 2})
    assert decision.start == ("b",)


def test_idle_workers_of_waiting_stages_make_room() -> None:
    decision = decide([pool("a", expected=3, idle=2), pool("b", ready=1)], {"CPU": 2})
    assert decision.release == ("a",)
    assert decision.start == ("b",)


def test_busy_workers_are_never_taken() -> None:
    decision = decide([pool("a", ready=5, busy=2), pool("b", ready=1)], {"CPU": 2})
    assert decision == decide([], {})


def test_finished_stages_are_released() -> None:
    assert decide([pool("a", idle=2)], {"CPU": 8}).release == ("a", "a")


def test_misfit_names_the_setting() -> None:
    text = misfit("camera", Resources(gpus=1), [{"CPU": 4}, {"CPU": 8}])
    assert text is not None
    assert "run.camera.gpus" in text
    assert misfit("camera", Resources(cpus=8), [{"CPU": 4}, {"CPU": 8}]) is None
    text = misfit("camera", Resources(cpus=1, gpus=1), [{"CPU": 4}, {"GPU": 1}])
    assert text is not None
    assert "run.camera.cpus" in text
    assert "run.camera.gpus" in text


def test_a_worker_without_a_place_makes_others_give_up_one_idle_worker_at_a_time() -> None:
    waiting = pool("b", ready=1, starting=1, homeless=True)
    decision = decide([pool("a", expected=3, idle=2), waiting], {"CPU": 4})
    assert decision.release == ("a",)
    working = pool("a", ready=2, idle=2)
    assert decide([working, waiting], {"CPU": 4}).release == ()  # never those with work at hand


@given(
    counts=st.lists(st.integers(0, 6), min_size=1, max_size=8),
    cpus=st.integers(1, 4),
    needs=st.lists(st.sampled_from([0.25, 0.5, 1.0]), min_size=8, max_size=8),
)
def test_everything_is_done_whatever_the_sizes(counts: list[int], cpus: int, needs: list[float]) -> None:
    """Items flow through a chain of stages; each round every worker finishes one. All must get through."""
    ready = [counts[0]] + [0] * (len(counts) - 1)
    resources = [Resources(cpus=needs[i]) for i in range(len(counts))]
    idle = [0] * len(counts)
    for _ in range(400):
        expected = [sum(ready[:i]) for i in range(len(counts))]
        states = [PoolState(str(i), ready[i], expected[i], idle[i], 0, 0, resources[i], 4) for i in range(len(counts))]
        decision = decide(states, {"CPU": float(cpus)})
        for name in decision.release:
            idle[int(name)] -= 1
        for name in decision.start:
            idle[int(name)] += 1
        assert min(idle) >= 0
        assert sum(resources[i].cpus * idle[i] for i in range(len(counts))) <= cpus + 1e-6
        moved = [min(ready[i], idle[i]) for i in range(len(counts))]
        for i, number in enumerate(moved):
            ready[i] -= number
            if i + 1 < len(counts):
                ready[i + 1] += number
        if sum(ready) == 0:
            return
    raise AssertionError(f"still not done: {ready}")
