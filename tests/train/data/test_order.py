"""The order as a pure function: permutation, shares, cuts by global batch. No files."""

import math
from collections import Counter
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.ids import clip_id
from schemas.release import Release, ShardEntry
from train.data.config import ReaderConfig
from train.data.errors import DatasetError
from train.data.order import SampleOrder
from train.data.reader import RankSampler
from train.data.window import eligible


def release_of(characters: int, cameras: int, per_shard: int = 5, lengths: tuple[int, ...] = (85,)) -> Release:
    """A release without files; clip i has lengths[i % len(lengths)] frames."""
    shards = []
    for kind, count, first in (("character", characters, 0), ("camera", cameras, 1_000_000)):
        for start in range(0, count, per_shard):
            numbers = range(start, min(count, start + per_shard))
            frames = tuple(lengths[i % len(lengths)] for i in numbers)
            shards.append(
                ShardEntry(
                    path=f"shards/train-{kind}-{start:06d}.tar",
                    sha256="0" * 64,
                    bytes=1,
                    index_sha256="0" * 64,
                    split="train",
                    kind=kind,
                    samples=tuple(clip_id(f"{first + i:016x}", 0, n) for i, n in zip(numbers, frames, strict=True)),
                    frames=frames,
                    frame_steps=tuple(max(1, min(3, (n - 2) // 23)) for n in frames),
                )
            )
    return Release(number=1, shards=tuple(shards))


def places(order: SampleOrder, start: int, stop: int) -> list[tuple[int, int]]:
    return [(s.shard, s.row) for s in order.samples(start, stop)]


@given(st.integers(1, 60), st.integers(0, 30), st.integers(1, 9), st.integers(1, 40), st.integers(0, 5))
def test_every_clip_exactly_once_an_epoch(characters, cameras, per_shard, window, epoch):
    release = release_of(characters, cameras, per_shard)
    order = SampleOrder(release=release, config=ReaderConfig(shuffle_window=window))
    size = order.epoch_size
    assert size == characters + cameras
    seen = Counter(places(order, epoch * size, (epoch + 1) * size))
    everything = {(n, row) for n, shard in enumerate(release.shards) for row in range(len(shard.samples))}
    assert set(seen) == everything
    assert set(seen.values()) == {1}


@given(st.integers(1, 60), st.integers(1, 30), st.floats(0.02, 0.95), st.integers(1, 4))
def test_camera_share(characters, cameras, share, epochs):
    release = release_of(characters, cameras)
    order = SampleOrder(release=release, config=ReaderConfig(camera_share=share))
    kinds = [shard.kind for shard in release.shards]
    samples = order.samples(0, epochs * order.epoch_size)
    counts = Counter((s.shard, s.row) for s in samples)
    character_counts = [n for (shard, _), n in counts.items() if kinds[shard] == "character"]
    assert character_counts == [epochs] * characters
    camera_counts = [n for (shard, _), n in counts.items() if kinds[shard] == "camera"]
    assert abs(sum(camera_counts) / len(samples) - share) <= 1 / order.epoch_size
    # Seen equally often: no camera clip is more than one reading ahead of another.
    camera_counts += [0] * (cameras - len(camera_counts))
    assert max(camera_counts) - min(camera_counts) <= 1
    # Evenly spread: any stretch holds its share, give or take one at each end and the rounding of the whole.
    for length in (7, 16):
        for start in range(0, order.epoch_size - length, 5):
            held = sum(kinds[s.shard] == "camera" for s in samples[start : start + length])
            assert abs(held - length * sum(camera_counts) / len(samples)) < 1 + 1e-9


@pytest.mark.parametrize("characters", [1, 10, 24])
def test_a_small_share_of_few_clips_is_one_camera_clip(characters):
    order = SampleOrder(release=release_of(characters, 5), config=ReaderConfig(camera_share=0.02))
    assert order.epoch_size == characters + 1
    with pytest.raises(DatasetError, match="camera_share"):
        SampleOrder(release=release_of(characters, 0), config=ReaderConfig(camera_share=0.02))


@pytest.mark.parametrize(("share", "kind"), [(0.0, "character"), (1.0, "camera")])
def test_one_kind_only(share, kind):
    release = release_of(12, 7)
    order = SampleOrder(release=release, config=ReaderConfig(camera_share=share))
    assert {release.shards[s.shard].kind for s in order.samples(0, 3 * order.epoch_size)} == {kind}


def test_style_share_is_met_and_does_not_move_the_order():
    release = release_of(400, 0)
    plain = SampleOrder(release=release, config=ReaderConfig())
    styled = SampleOrder(release=release, config=ReaderConfig(style_share=0.3))
    samples = styled.samples(0, 4000)
    assert places(plain, 0, 400) == places(styled, 0, 400)
    spread = math.sqrt(4000 * 0.3 * 0.7)
    assert abs(sum(s.styled for s in samples) - 1200) < 4 * spread
    assert not any(s.styled for s in plain.samples(0, 400))


def test_epochs_seeds_and_releases_differ():
    release = release_of(50, 0)
    order = SampleOrder(release=release, config=ReaderConfig())
    first = places(order, 0, 50)
    assert first != places(order, 50, 100)
    assert first != places(SampleOrder(release=release, config=ReaderConfig(seed=1)), 0, 50)
    other = release.model_copy(update={"number": 2})
    assert first != places(SampleOrder(release=other, config=ReaderConfig()), 0, 50)
    assert first == places(SampleOrder(release=release, config=ReaderConfig(workers=0, prefetch=9)), 0, 50)


def test_samples_in_use_together_come_from_few_shards():
    release = release_of(1000, 0, per_shard=10)
    order = SampleOrder(release=release, config=ReaderConfig(shuffle_window=50))
    for start in range(0, 1000, 50):
        assert len({s.shard for s in order.samples(start, start + 50)}) == 5
    first = [s.shard for s in order.samples(0, 50)]
    assert first != sorted(first), "samples of a window are shuffled, not shard after shard"


def test_short_clips_serve_stage_1_only():
    release = release_of(20, 0, lengths=(24, 25, 26, 85))
    assert SampleOrder(release=release, config=ReaderConfig(stage=1)).epoch_size == 20
    stage2 = SampleOrder(release=release, config=ReaderConfig(stage=2, frames=24))
    lengths = {release.shards[s.shard].frames[s.row] for s in stage2.samples(0, stage2.epoch_size)}
    assert lengths == {26, 85}


def test_nothing_to_read_says_why():
    release = release_of(3, 0, lengths=(20,))
    with pytest.raises(DatasetError, match="long enough for 24 frames"):
        SampleOrder(release=release, config=ReaderConfig(stage=2, frames=24))
    with pytest.raises(DatasetError, match="camera_share"):
        SampleOrder(release=release, config=ReaderConfig(camera_share=0.5))
    with pytest.raises(DatasetError, match="'val'"):
        SampleOrder(release=release, config=ReaderConfig(split="val"))


@st.composite
def schedules(draw) -> tuple[int, int, int, int, int, int]:
    """(global batch, save step, old world, old micro batch, new world, new micro batch)."""
    batch = draw(st.sampled_from([4, 12, 16, 24, 128]))
    divisors = [n for n in range(1, batch + 1) if batch % n == 0]
    old, new = draw(st.sampled_from(divisors)), draw(st.sampled_from(divisors))
    micro = [draw(st.sampled_from([n for n in divisors if batch % (n * w) == 0])) for w in (old, new)]
    return batch, draw(st.integers(0, 40)), old, micro[0], new, micro[1]


def global_batches(order, batch, consumed, world, micro, steps) -> list[list[tuple]]:
    """The global batches that `world` ranks read together, `steps` of them from `consumed` on."""
    ranks = [iter(RankSampler(order, batch, consumed, rank, world, micro)) for rank in range(world)]
    accumulate = batch // (world * micro)
    return [[ref for rank in ranks for part in islice(rank, accumulate) for ref in part] for _ in range(steps)]


@given(schedules(), st.sampled_from([None, 0.25]))
def test_any_world_reads_the_same_global_batches(schedule, share):
    batch, save, old, old_micro, new, new_micro = schedule
    order = SampleOrder(release=release_of(37, 11), config=ReaderConfig(camera_share=share, style_share=0.5))
    straight = global_batches(order, batch, 0, old, old_micro, save + 3)
    resumed = global_batches(order, batch, save * batch, new, new_micro, 3)
    assert straight[save:] == resumed
    assert [ref.global_index for step in straight for ref in step] == list(range((save + 3) * batch))


def test_cost_does_not_depend_on_the_place():
    order = SampleOrder(release=release_of(500, 100), config=ReaderConfig(camera_share=0.2))
    far = 10**12
    assert [s.global_index for s in order.samples(far, far + 3)] == [far, far + 1, far + 2]


def test_bad_splits_are_refused():
    order = SampleOrder(release=release_of(5, 0), config=ReaderConfig())
    with pytest.raises(DatasetError, match="does not split into 3 ranks"):
        RankSampler(order, 16, 0, 0, 3, 1)
    with pytest.raises(ValueError, match="rank 4"):
        RankSampler(order, 16, 0, 4, 4, 1)


@given(st.integers(2, 200), st.integers(2, 24), st.integers(1, 5))
def test_eligible_clips_always_leave_a_reference_out(length, frames, step):
    from schemas.ids import frame_step, reference_indices
    from train.data.window import window_step

    config = ReaderConfig(stage=2, frames=frames, frame_step=step)
    if not eligible(length, frame_step(length), config):
        return
    used = window_step(length, frame_step(length), config)
    assert used <= step
    for number in range(20):
        references = reference_indices(f"clip {number}", length)
        starts = range(length - (frames - 1) * used)
        assert any(r not in range(s, s + frames * used, used)[:frames] for r in references for s in starts)
