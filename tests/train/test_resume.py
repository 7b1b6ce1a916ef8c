"""Where a run begins and goes on: one release and one checkpoint for all ranks, and settings that must stay."""

import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.train.ranks import losses, run_ranks, stage2, start_ranks, tiny_train
from tests.train.shards import small_dataset, write_release
from train.checkpoint import CheckpointError, list_checkpoints
from train.data.errors import StateError
from train.loop import train
from train.model.saving import load_model


@pytest.fixture
def growing(tmp_path: Path) -> Path:
    """A dataset with two releases of the same shards (their orders differ)."""
    release = small_dataset(tmp_path / "data", characters=4, cameras=1)
    write_release(tmp_path / "data", release.model_copy(update={"number": 2}))
    return tmp_path / "data"


def see_release_1_alone(rank: int) -> None:
    """Rank 0 has looked for the newest release a moment before `add` wrote the second."""
    if rank == 0:
        import train.data.release

        train.data.release.newest_release_number = lambda _store: 1


def test_ranks_that_see_other_releases_read_one(growing: Path, tmp_path: Path) -> None:
    config = tiny_train(growing, tmp_path / "two", "steps=2", "validation.samples=1", "validation.split=train")
    apart = run_ranks(config, 2, see_release_1_alone)
    train(tiny_train(growing, tmp_path / "one", "steps=2", "micro_batch=4", "reader.release=1"))
    np.testing.assert_allclose(apart, losses(tiny_train(growing, tmp_path / "one")), rtol=1e-5)


def test_a_run_goes_on_with_its_release_after_another_was_added(growing: Path, tmp_path: Path) -> None:
    newer = (growing / "releases/0002.json").read_bytes()
    (growing / "releases/0002.json").unlink()
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    train(tiny_train(growing, straight, "steps=2", "micro_batch=4"))
    train(tiny_train(growing, broken, "steps=1", "micro_batch=4"))
    (growing / "releases/0002.json").write_bytes(newer)
    with pytest.raises(StateError, match="release was 1 and is now 2"):
        train(tiny_train(growing, broken, "steps=2", "micro_batch=4", "reader.release=2"))
    train(tiny_train(growing, broken, "steps=2", "micro_batch=4"))
    assert losses(tiny_train(growing, broken)) == losses(tiny_train(growing, straight))
    assert yaml.safe_load((broken / "config.yaml").read_text())["reader"]["release"] == 1


def test_settings_that_must_stay_and_those_that_may_change(small_shards: Path, tmp_path: Path) -> None:
    train(tiny_train(small_shards, tmp_path, "steps=1", "micro_batch=4"))
    for setting, message in (
        ("noise.prediction=v_prediction", r"noise\.prediction = epsilon, now v_prediction"),
        ("encoding.pose_range=unit", r"encoding\.pose_range = signed, now unit"),
        ("seed=3", "seed = 0, now 3"),
        ("dropout.pose=0.5", r"dropout\.pose = 0\.2, now 0\.5"),
        ("model.motion_scale=1", r"model\.motion_scale = 0\.125, now 1\.0"),
        ("optimizer.ema_decay=0.9", r"ema_decay is null = True, now False"),
        ("reader.crop_scale=0.5", r"reader\.crop_scale = 1\.0, now 0\.5"),
    ):
        with pytest.raises(CheckpointError, match=message):
            train(tiny_train(small_shards, tmp_path, "steps=2", "micro_batch=4", setting))
    settings = ["optimizer.lr=1e-4", "checkpoint.every=1", "reader.workers=1", "parallel.checkpointing=true"]
    assert train(tiny_train(small_shards, tmp_path, "steps=2", "micro_batch=2", *settings)).step == 2


def test_a_stage_2_checkpoint_opens_with_and_without_recomputation(small_shards: Path, tmp_path: Path) -> None:
    """Recomputed layers are wrapped, which must not show in the names of moments and averages."""
    settings = ("global_batch=1", "optimizer.ema_decay=0.5")
    for steps, recompute in ((1, "true"), (2, "false"), (3, "true")):
        choice = (f"steps={steps}", f"parallel.checkpointing={recompute}")
        assert train(stage2(small_shards, tmp_path / "changed", *settings, *choice)).step == steps
    train(stage2(small_shards, tmp_path / "kept", *settings, "steps=3"))
    changed, kept = (losses(stage2(small_shards, tmp_path / name)) for name in ("changed", "kept"))
    np.testing.assert_allclose(changed, kept, rtol=1e-5)


def test_a_run_killed_after_an_export_exports_again(small_shards: Path, tmp_path: Path) -> None:
    config = tiny_train(small_shards, tmp_path, "steps=2", "micro_batch=4", "checkpoint.export_every=1")
    train(config)
    shutil.rmtree(tmp_path / "checkpoints")
    folders = [tmp_path / f"export/step-0000000{step}" for step in (1, 2)]
    for folder in folders:
        (folder / "mikudance.json").write_text("{}")
    folders[0].with_suffix(".tmp").mkdir()
    (folders[0].with_suffix(".tmp") / "left over").touch()
    assert train(config).step == 2
    assert [load_model(folder)[0].step for folder in folders] == [1, 2]
    assert sorted((tmp_path / "export").iterdir()) == folders
    assert not (folders[0] / "left over").exists()


def nan_while_writing(rank: int) -> None:
    """The write of the checkpoint takes seconds; the losses of rank 1 become NaN in the step after it."""
    from torch.distributed.checkpoint.filesystem import FileSystemWriter

    from train.step import LossFunction

    write, losses_of = FileSystemWriter.write_data, LossFunction.__call__
    calls = 0

    def slowly(*arguments, **keywords):  # type: ignore[no-untyped-def]
        time.sleep(3)
        return write(*arguments, **keywords)

    def diverging(self: LossFunction, batch):  # type: ignore[no-untyped-def]
        nonlocal calls
        calls += 1
        return losses_of(self, batch) * (float("nan") if rank == 1 and calls > 2 else 1)

    FileSystemWriter.write_data = slowly
    LossFunction.__call__ = diverging


def test_a_run_that_ends_in_nan_keeps_the_checkpoint_that_is_being_written(small_shards: Path, tmp_path: Path) -> None:
    config = tiny_train(small_shards, tmp_path, "steps=5", "global_batch=2", "checkpoint.every=2")
    processes = start_ranks(config, 2, nan_while_writing)
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [1, 1]
    assert [path.name for path in list_checkpoints(tmp_path / "checkpoints")] == ["step-00000002"]
