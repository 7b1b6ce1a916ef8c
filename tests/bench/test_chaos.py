"""The fault campaign's own rules: whom it kills, and how it ends."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from subprocess import TimeoutExpired

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.chaos.__main__ import Exit, judge, verdict
from bench.chaos.builds import Dataset
from bench.chaos.ground import Ground, NotPossibleError, SilentDamageError
from bench.chaos.kills import VICTIMS, victims

GROUND = Ground(Path(), Path(), Path(), Dataset({}, {}, {}), 1.0, 7)


@given(seed=st.integers(0, 1000), count=st.integers(0, 40))
def test_kills_are_spread_evenly_and_repeat_with_the_seed(seed: int, count: int) -> None:
    drawn = list(victims(Random(seed), count))
    assert len(drawn) == count
    assert drawn == list(victims(Random(seed), count))
    for start in range(0, count - 2, 3):
        assert set(drawn[start : start + 3]) == set(VICTIMS)
    counts = Counter(drawn)
    assert max(counts.values(), default=0) - min((counts[victim] for victim in VICTIMS), default=0) <= 1


def test_orders_differ_so_that_every_victim_follows_every_other() -> None:
    drawn = [tuple(victims(Random(seed), 3)) for seed in range(200)]
    assert len(set(drawn)) == 6


def raising(error: Exception) -> Callable[[Ground], str]:
    def fault(ground: Ground) -> str:
        raise error

    return fault


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (NotPossibleError("needs root"), "not run"),
        (SilentDamageError("other bytes"), "DAMAGE"),
        (RuntimeError("no node started"), "FAILED"),
        (OSError("disk"), "FAILED"),
        (TimeoutExpired("mikudance", 1800), "FAILED"),
    ],
)
def test_what_a_fault_raises_decides_how_it_ended(error: Exception, end: str) -> None:
    found, text = judge(raising(error), GROUND)
    assert found == end
    assert str(error) in text


def test_a_campaign_with_a_fault_that_was_not_run_does_not_end_like_a_whole_one() -> None:
    assert judge(lambda ground: "seen", GROUND) == ("sound", "seen")
    assert verdict({"a": "sound", "b": "sound"}) == (Exit.SOUND, "2 of 2 faults ended soundly")
    assert verdict({"a": "sound", "b": "not run"}) == (Exit.INCOMPLETE, "1 of 2 faults ended soundly; not run: b")
    for bad in ("DAMAGE", "FAILED"):
        status, line = verdict({"a": "not run", "b": bad, "c": "sound"})
        assert status == Exit.FAILED != Exit.INCOMPLETE
        assert f"{bad}: b" in line
        assert "not run: a" in line
    assert len({Exit.SOUND, Exit.FAILED, Exit.INCOMPLETE}) == 3
