"""Grouping into shards: a pure function of parent and samples; additions touch nothing; changes go to new shards."""

import random

from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import PackConfig
from pipeline.pack.plan import PackPlan, plan_shards
from pipeline.pack.sample import PACKED_STAGES, sample_digest
from pipeline.work import SampleWork, ShardWork
from schemas.clip import Clip
from schemas.ids import clip_id
from schemas.release import Release, ShardEntry

CONFIG = PackConfig(shard_bytes=100, shard_samples=4)


def sample(number: int, *, split: str = "train", version: int = 0) -> SampleWork:
    source = f"{number:016x}"
    kind = "camera" if number % 3 == 0 else "character"
    clip = Clip(clip_id(source, 0, 85), source, kind, split, 0, 85, (30, 1), 0.0, "x")
    return SampleWork(clip, {stage: f"{stage}{number}v{version}" for stage in PACKED_STAGES})


def plan(samples: list[SampleWork], parent: Release | None, unfinished: tuple[str, ...] = ()) -> PackPlan:
    sizes = {s.clip.clip_id: 30 for s in samples}
    return plan_shards(samples, sizes, lambda name: name in unfinished, parent, CONFIG)


def publish(plan: PackPlan, parent: Release | None) -> Release:
    """The release that packing a plan gives, with a made-up checksum for each shard."""
    entries = []
    for item in plan.items:
        work = item.payload
        assert isinstance(work, ShardWork)
        entries.append(
            ShardEntry(
                path=f"shards/{work.stem}-{item.key[:16]}.tar",
                sha256=item.key,
                bytes=1,
                index_sha256="",
                split=work.split,
                kind=work.kind,
                samples=tuple(s.clip.clip_id for s in work.samples),
                frames=(85,) * len(work.samples),
                frame_steps=(3,) * len(work.samples),
                digests=tuple(sample_digest(s) for s in work.samples),
            )
        )
    number = parent.number + 1 if parent else 1
    return Release(number=number, parent=parent.digest() if parent else "", shards=(*plan.kept, *entries))


def names(release: Release) -> list[str]:
    return sorted(name for entry in release.shards for name in entry.samples)


@given(numbers=st.sets(st.integers(0, 60), min_size=1, max_size=25), seed=st.integers(0, 99))
def test_every_sample_once_whatever_the_order_they_come_in(numbers: set[int], seed: int) -> None:
    samples = [sample(n, split="val" if n % 7 == 0 else "train") for n in numbers]
    shuffled = random.Random(seed).sample(samples, len(samples))
    first, second = plan(samples, None), plan(shuffled, None)
    assert first == second
    release = publish(first, None)
    assert names(release) == sorted(s.clip.clip_id for s in samples)
    by_name = {s.clip.clip_id: s.clip for s in samples}
    for entry in release.shards:
        assert {(by_name[n].split, by_name[n].kind) for n in entry.samples} == {(entry.split, entry.kind)}
        assert len(entry.samples) <= 3  # 30 bytes each, 100 a shard


@given(
    old=st.sets(st.integers(0, 30), min_size=1, max_size=15), new=st.sets(st.integers(31, 60), min_size=1, max_size=15)
)
def test_adding_keeps_every_shard_and_its_name(old: set[int], new: set[int]) -> None:
    before = [sample(n) for n in old]
    parent = publish(plan(before, None), None)
    after = publish(plan([*before, *(sample(n) for n in new)], parent), parent)
    assert after.shards[: len(parent.shards)] == parent.shards
    assert names(after) == sorted(sample(n).clip.clip_id for n in old | new)
    assert len({entry.path for entry in after.shards}) == len(after.shards)


def test_nothing_new_means_nothing_to_do() -> None:
    samples = [sample(n) for n in range(10)]
    parent = publish(plan(samples, None), None)
    again = plan(samples, parent)
    assert again.items == ()
    assert again.kept == parent.shards


def test_a_changed_clip_goes_to_a_new_shard_and_its_neighbours_with_it() -> None:
    samples = [sample(n) for n in (1, 2, 4, 5, 7, 8)]
    parent = publish(plan(samples, None), None)
    changed = [sample(1, version=1), *samples[1:]]
    after = publish(plan(changed, parent), parent)
    assert names(after) == names(parent)
    kept = set(parent.shards) & set(after.shards)
    assert {n for e in kept for n in e.samples} == {s.clip.clip_id for s in samples[3:]}


def test_a_shard_stays_while_one_of_its_clips_is_being_made_again() -> None:
    samples = [sample(n) for n in (1, 2, 4)]
    parent = publish(plan(samples, None), None)
    waiting = samples[0].clip.clip_id
    half_done = plan([sample(2, version=1), samples[2]], parent, unfinished=(waiting,))
    assert half_done.kept == parent.shards
    assert half_done.items == ()


def test_a_clip_that_no_longer_passes_leaves_the_release() -> None:
    samples = [sample(n) for n in (1, 2, 4)]
    parent = publish(plan(samples, None), None)
    after = publish(plan(samples[1:], parent), parent)
    assert names(after) == sorted(s.clip.clip_id for s in samples[1:])
