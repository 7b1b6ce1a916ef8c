"""The whole reader: any ranks and workers, stop and go on, from a folder on disk."""

import os
from contextlib import ExitStack, closing
from itertools import islice

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.train.shards import small_dataset
from train.data.batch import TrainBatch, join
from train.data.config import ReaderConfig
from train.data.errors import ShardError, StateError
from train.data.state import ReaderState

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than cores
BATCH = 12


def global_batches(
    root, state: ReaderState | None, steps: int, *, world: int, workers: int, micro: int, **settings
) -> tuple[list[TrainBatch], ReaderState]:
    """`steps` global batches, joined from all ranks' micro batches, and the state after them."""
    config = ReaderConfig(size=(32, 32), workers=workers, timeout_s=120, **settings)
    reader = config.build(root=str(root), global_batch=BATCH)
    state = state or reader.start()
    with ExitStack() as opened:
        streams = [reader.batches(state, rank=rank, world=world, micro_batch=micro) for rank in range(world)]
        ranks = [opened.enter_context(closing(stream)) for stream in streams]
        batches = [join([b for rank in ranks for b in islice(rank, BATCH // (world * micro))]) for _ in range(steps)]
    return batches, state.advanced(steps)


@settings(max_examples=8)
@given(
    save=st.integers(0, 3),
    old=st.sampled_from([1, 2, 3, 4]),
    new=st.sampled_from([1, 2, 3, 4, 6]),
    workers=st.tuples(st.integers(0, 2), st.integers(0, 3)),
    micro=st.tuples(st.integers(1, 3), st.integers(1, 2)),
)
def test_elastic_resume_reads_what_a_straight_run_reads(dataset, save, old, new, workers, micro):
    micros = [m if BATCH % (w * m) == 0 else 1 for m, w in zip(micro, (old, new), strict=True)]
    options = {"stage": 1, "style_share": 0.5, "camera_share": 0.25, "crop_scale": 0.6}
    straight, _ = global_batches(dataset, None, save + 2, world=1, workers=0, micro=BATCH, **options)
    before, state = global_batches(dataset, None, save, world=old, workers=workers[0], micro=micros[0], **options)
    state = ReaderState.model_validate_json(state.model_dump_json())
    after, _ = global_batches(dataset, state, 2, world=new, workers=workers[1], micro=micros[1], **options)
    for expected, got in zip(straight, before + after, strict=True):
        assert got.sample_ids == expected.sample_ids
        for name, value in expected.tensors().items():
            assert torch.equal(value, got.tensors()[name]), name


def test_windows_from_workers_are_those_of_this_process(dataset):
    options = {"stage": 2, "frames": 8, "frame_step": 2}
    here, _ = global_batches(dataset, None, 1, world=1, workers=0, micro=6, **options)
    there, _ = global_batches(dataset, None, 1, world=1, workers=2, micro=6, **options)
    for name, value in here[0].tensors().items():
        assert torch.equal(value, there[0].tensors()[name]), name


def test_starting_workers_does_not_fork_this_process(dataset):
    """Its other threads may hold locks, which would stay locked in a forked worker for ever."""
    forks: list[int] = []
    os.register_at_fork(before=lambda: forks.append(1))
    reader = ReaderConfig(size=(32, 32), workers=2).build(root=str(dataset), global_batch=2)
    with closing(reader.batches(reader.start(), rank=0, world=1, micro_batch=2)) as batches:
        next(batches)
    assert not forks


def test_every_clip_once_an_epoch_from_disk(dataset):
    reader = ReaderConfig(size=(32, 32), workers=2).build(root=str(dataset), global_batch=5)
    with closing(reader.batches(reader.start(), rank=0, world=1, micro_batch=5)) as batches:
        ids = [name for batch in islice(batches, 4) for name in batch.sample_ids]
    everything = sorted(name for shard in reader.release.shards for name in shard.samples)
    assert sorted(ids[:10]) == sorted(ids[10:]) == everything


def test_reading_leaves_the_trainers_random_numbers_alone(dataset):
    reader = ReaderConfig(size=(32, 32), workers=1).build(root=str(dataset), global_batch=2)
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    with closing(reader.batches(reader.start(), rank=0, world=1, micro_batch=2)) as batches:
        next(batches)
    assert torch.equal(torch.rand(4), expected)


def test_single_samples_are_those_of_the_stream(dataset):
    reader = ReaderConfig(size=(32, 32), workers=0, seed=9).build(root=str(dataset), global_batch=4)
    batch = next(reader.batches(reader.start().advanced(3), rank=1, world=2, micro_batch=2))
    assert batch.global_index.tolist() == [14, 15]
    again = reader.at([14, 15])
    assert again.sample_ids == batch.sample_ids
    assert torch.equal(again.target, batch.target)


def test_state_of_other_settings_or_data_is_refused(dataset, tmp_path):
    reader = ReaderConfig(size=(32, 32)).build(root=str(dataset), global_batch=4)
    state = reader.start().advanced(2)
    for change in ({"shuffle_window": 3}, {"style_share": 0.5}, {"seed": 1}):
        other = ReaderConfig(size=(32, 32), **change).build(root=str(dataset), global_batch=4)
        with pytest.raises(StateError, match="cannot resume"):
            other.batches(state, rank=0, world=1, micro_batch=4)
    with pytest.raises(StateError, match="global batch was 4 and is now 8"):
        ReaderConfig().build(root=str(dataset), global_batch=8).batches(state, rank=0, world=1, micro_batch=4)
    small_dataset(tmp_path, characters=2, cameras=0, frames=4)
    with pytest.raises(StateError, match="release 1 is no longer the one"):
        ReaderConfig().build(root=str(tmp_path), global_batch=4).batches(state, rank=0, world=1, micro_batch=4)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_shard_stops_with_its_name(tmp_path, workers):
    release = small_dataset(tmp_path, characters=1, cameras=0, frames=4)
    path = tmp_path / release.shards[0].path
    path.write_bytes(path.read_bytes()[:-512])
    reader = ReaderConfig(size=(32, 32), workers=workers).build(root=str(tmp_path), global_batch=1)
    with pytest.raises(ShardError, match=r"train-character-000000\.tar: \d+ bytes, but the release says"):
        next(reader.batches(reader.start(), rank=0, world=1, micro_batch=1))


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"size": (60, 64)}, "multiples of 8"),
        ({"stage": 1, "frames": 24}, "set frames to 1"),
        ({"stage": 2, "frames": 1}, "24 in the paper"),
        ({"stage": 2, "frames": 24, "style_share": 0.1}, "style_share to 0"),
    ],
)
def test_settings_that_do_not_fit_are_refused(change, cause):
    with pytest.raises(ValueError, match=cause):
        ReaderConfig(**change)
