"""Readiness bookkeeping against a brute-force reading of the rules."""

import random

from hypothesis import given
from hypothesis import strategies as st

from pipeline.executor.tracker import Tracker
from pipeline.work import WorkItem, digest
from schemas.clip import Clip

GRAPH = {
    "decode": (),
    "pose": ("decode",),
    "camera": ("decode", "pose"),
    "depth": ("camera",),
    "motion": ("camera", "depth"),
}


def items(count: int) -> list[WorkItem]:
    made = []
    for number in range(count):
        clip = Clip(str(number), "s", "camera", "train", 0, 16, (30, 1), 0.0, "x")
        for stage, needs in GRAPH.items():
            inputs = {name: digest(name, str(number)) for name in needs}
            made.append(WorkItem(stage, digest(stage, str(number)), str(number), "s", clip, inputs))
    return made


@given(count=st.integers(1, 6), seed=st.integers(0, 999), failing=st.integers(0, 3))
def test_items_come_once_after_their_inputs_and_never_after_a_failed_one(count: int, seed: int, failing: int) -> None:
    rng = random.Random(seed)
    work = items(count)
    bad = {item.key for item in rng.sample(work, min(failing, len(work)))}
    tracker = Tracker(work)
    done: set[str] = set()
    taken: set[str] = set()
    while tracker.unfinished():
        stage = rng.choice([stage for stage in GRAPH if tracker.ready(stage)])
        item = tracker.take(stage)
        assert set(item.inputs.values()) <= done
        assert item.key not in taken
        taken.add(item.key)
        if item.key in bad:
            assert tracker.failed(item, attempts=1)
        else:
            done.add(item.key)
            tracker.done(item)
    reachable: set[str] = set()
    for item in work:  # inputs come before what needs them
        if item.key not in bad and set(item.inputs.values()) <= reachable:
            reachable.add(item.key)
    assert done == reachable
    assert all(tracker.waiting(stage) == 0 for stage in GRAPH)


def test_failed_items_are_tried_again_after_their_neighbours() -> None:
    first, second = (item for item in items(2) if item.stage == "decode")
    tracker = Tracker([first, second])
    assert tracker.take("decode") == first
    assert not tracker.failed(first, attempts=2)
    assert tracker.take("decode") == second
    assert tracker.take("decode") == first
    assert tracker.failed(first, attempts=2)
