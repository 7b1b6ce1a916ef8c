"""The trainer as it is started: ranks of their own, real shards, real checkpoints."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel

from tests.train.ranks import losses, run_ranks, stage2, start_ranks, tiny_train
from train.checkpoint import CheckpointError, list_checkpoints, newest_checkpoint, read_trainer_state
from train.config import ConfigError, TrainConfig
from train.data.errors import StateError
from train.data.workers import start_server
from train.loop import train
from train.metrics import read_metrics
from train.model.saving import load_encoders, load_model
from train.networks import open_model


@pytest.fixture(scope="module")
def whole_run(small_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainConfig, list[float]]:
    """Four steps on two ranks, never interrupted."""
    config = tiny_train(small_shards, tmp_path_factory.mktemp("whole"), "steps=4")
    return config, run_ranks(config, 2)


def test_one_rank_with_accumulation_and_two_ranks_agree(
    whole_run: tuple[TrainConfig, list[float]], small_shards: Path, tmp_path: Path
) -> None:
    """Four samples a step: two ranks of two micro batches of one, against one rank of two micro batches of two."""
    train(tiny_train(small_shards, tmp_path, "steps=4", "micro_batch=2"))
    alone = losses(tiny_train(small_shards, tmp_path))
    np.testing.assert_allclose(alone, whole_run[1], rtol=1e-5)
    assert len(alone) == 4


def test_killed_run_goes_on_bit_by_bit(
    whole_run: tuple[TrainConfig, list[float]], small_shards: Path, tmp_path: Path
) -> None:
    config = tiny_train(small_shards, tmp_path, "steps=4", "checkpoint.every=1")
    _kill_after(config, world=2, steps=3)
    newest = newest_checkpoint(config.folder)
    assert newest is not None
    assert 1 <= read_trainer_state(newest).step < 4
    assert run_ranks(config, 2) == whole_run[1]


def test_checkpoints_go_on_with_other_numbers_of_ranks(
    whole_run: tuple[TrainConfig, list[float]], small_shards: Path, tmp_path: Path
) -> None:
    train(tiny_train(small_shards, tmp_path, "steps=1", "micro_batch=4"))
    run_ranks(tiny_train(small_shards, tmp_path, "steps=3"), 2)
    train(tiny_train(small_shards, tmp_path, "steps=4"))
    np.testing.assert_allclose(losses(tiny_train(small_shards, tmp_path)), whole_run[1], rtol=1e-5)


def test_sigterm_at_one_rank_saves_and_ends_all(small_shards: Path, tmp_path: Path) -> None:
    """Also at ranks that the reader's worker server forked, which is deaf to the signal."""
    start_server()
    config = tiny_train(small_shards, tmp_path, "steps=500")
    processes = start_ranks(config, 2)
    _await_steps(config, 1)
    os.kill(processes[1].pid or 0, signal.SIGTERM)
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    newest = newest_checkpoint(config.folder)
    assert newest is not None
    assert read_trainer_state(newest).step == len(losses(config)) < 500


def test_checkpoints_are_pruned_and_loss_falls(small_shards: Path, tmp_path: Path) -> None:
    config = tiny_train(small_shards, tmp_path, "steps=5", "checkpoint.every=1", "checkpoint.keep=2", "micro_batch=4")
    assert train(config).step == 5
    assert [path.name for path in list_checkpoints(tmp_path / "checkpoints")] == ["step-00000004", "step-00000005"]
    assert not list((tmp_path / "checkpoints").glob("*.tmp"))
    assert list((tmp_path / "tensorboard").iterdir())
    lines = read_metrics(tmp_path / "metrics.jsonl")
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5]
    assert lines[-1]["loss"] < lines[0]["loss"]


def test_stage_2_takes_stage_1_and_changes_man_and_temporal_layers_alone(small_shards: Path, tmp_path: Path) -> None:
    """Every tensor of the networks, before and after a step of each stage."""
    first = tiny_train(small_shards, tmp_path / "one", "steps=1", "micro_batch=4", "reader.size=[128, 128]")
    start, _ = open_model(first)
    before = {name: value.clone() for name, value in start.state_dict().items()}
    train(first)
    saved, trained = load_model(tmp_path / "one/export/step-00000001")
    assert (saved.stage, saved.step, saved.size) == (1, 1, (128, 128))
    frozen = {name for name, p in start.named_parameters() if not p.requires_grad}
    for name, value in trained.state_dict().items():
        assert torch.equal(value, before[name]) == (name in frozen), name

    second = stage2(
        small_shards,
        tmp_path / "two",
        "steps=1",
        "micro_batch=4",
        "weights.random=false",
        f"weights.stage1={tmp_path / 'one'}",
    )
    start, _ = open_model(second)
    before = {name: value.clone() for name, value in start.state_dict().items()}
    for name, value in trained.reference.unet.state_dict().items():
        assert torch.equal(before[f"reference.unet.{name}"], value), name
    train(second)
    _, trained = load_model(tmp_path / "two/export/step-00000001")
    changed = {name for name, value in trained.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all(".motion_modules." in name or name.startswith("reference.man.") for name in changed)
    # With output projections of zero, the first step reaches the projections and, through the bank, MAN.
    assert any(name.startswith("reference.man.") for name in changed)
    assert any(name.endswith("proj_out.weight") for name in changed)


def test_export_is_what_was_trained_and_opens_with_diffusers(small_shards: Path, tmp_path: Path) -> None:
    config = tiny_train(small_shards, tmp_path, "steps=2", "micro_batch=4", "optimizer.ema_decay=0.5")
    train(config)
    folder = tmp_path / "export/step-00000002"
    assert UNet2DConditionModel.from_pretrained(folder / "reference_unet").config.in_channels == 20
    assert load_encoders(folder, chunk=1).vae.config.latent_channels == 4
    # The average lies between the start and the weights of the checkpoint, which are not averaged.
    averaged = load_model(folder)[1].denoiser.conv_in.weight
    start = open_model(config)[0].denoiser.conv_in.weight
    from train.checkpoint import read_unsharded
    from train.model.build import build_stage1

    last = build_stage1(config.model)
    read_unsharded(list_checkpoints(tmp_path / "checkpoints")[-1], last)
    assert (averaged - start).norm() < (last.denoiser.conv_in.weight - start).norm()
    assert not torch.equal(averaged, start)


def test_validation_writes_pictures_and_scores(small_shards: Path, tmp_path: Path) -> None:
    settings = ["steps=2", "micro_batch=4", "validation.samples=1", "validation.every=1", "validation.sampling.steps=2"]
    train(tiny_train(small_shards, tmp_path / "one", *settings))
    assert len(list((tmp_path / "one/validation").glob("step-*/*.png"))) == 2
    assert all("validation_psnr" in line for line in read_metrics(tmp_path / "one/metrics.jsonl"))
    train(stage2(small_shards, tmp_path / "two", "global_batch=1", *settings, "micro_batch=1", "steps=1"))
    (video,) = (tmp_path / "two/validation").glob("step-*/*.mp4")
    assert video.stat().st_size > 500


def test_validation_does_not_disturb_training(
    whole_run: tuple[TrainConfig, list[float]], small_shards: Path, tmp_path: Path
) -> None:
    """Sampling leaves gathered weights and random numbers as it found them."""
    config = tiny_train(
        small_shards, tmp_path, "steps=3", "validation.samples=1", "validation.every=1", "validation.sampling.steps=1"
    )
    assert run_ranks(config, 2) == whole_run[1][:3]


def test_refusals_name_the_setting(small_shards: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no multiple of 1 ranks × micro_batch 3"):
        train(tiny_train(small_shards, tmp_path, "micro_batch=3"))
    with pytest.raises(ConfigError, match=r"weights\.sd15"):
        train(tiny_train(small_shards, tmp_path, "weights.random=false"))
    train(tiny_train(small_shards, tmp_path, "steps=1", "micro_batch=4"))
    with pytest.raises(StateError, match="global batch was 4 and is now 2"):
        train(tiny_train(small_shards, tmp_path, "global_batch=2"))
    with pytest.raises(CheckpointError, match="is of stage 1"):
        train(stage2(small_shards, tmp_path))


def test_half_precision_and_checkpointing_stay_near(
    whole_run: tuple[TrainConfig, list[float]], small_shards: Path, tmp_path: Path
) -> None:
    """bfloat16 keeps 8 bits: a loss within two per cent of float32's, on one rank (autocast) and on two (FSDP)."""
    settings = ("steps=3", "parallel.precision=bfloat16", "parallel.checkpointing=true")
    train(tiny_train(small_shards, tmp_path / "one", *settings, "micro_batch=4"))
    np.testing.assert_allclose(losses(tiny_train(small_shards, tmp_path / "one")), whole_run[1][:3], rtol=0.02)
    np.testing.assert_allclose(
        run_ranks(tiny_train(small_shards, tmp_path / "two", *settings), 2), whole_run[1][:3], rtol=0.02
    )


def test_a_stopped_run_is_exported_by_its_own_step_count(small_shards: Path, tmp_path: Path) -> None:
    train(tiny_train(small_shards, tmp_path, "steps=1", "micro_batch=4"))
    shutil.rmtree(tmp_path / "export")
    assert train(tiny_train(small_shards, tmp_path, "steps=1", "micro_batch=4")).step == 1
    assert load_model(tmp_path / "export/step-00000001")[0].step == 1
    assert len(losses(tiny_train(small_shards, tmp_path))) == 1


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
def test_compiled_blocks_give_the_same_losses(
    whole_run: tuple[TrainConfig, list[float]], small_shards: Path, tmp_path: Path
) -> None:
    config = tiny_train(small_shards, tmp_path, "steps=2", "micro_batch=4", "parallel.compile=true")
    train(config)
    np.testing.assert_allclose(losses(config), whole_run[1][:2], rtol=1e-5)


@pytest.mark.slow
def test_torchrun(small_shards: Path, tmp_path: Path) -> None:
    """The command of the documentation, in processes of its own."""
    arguments = [
        "--dataset",
        str(small_shards),
        "--output",
        str(tmp_path),
        "--set",
        "steps=2",
        "--set",
        "validation.samples=0",
    ]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "train"]
    subprocess.run([*command, "tiny.yaml", *arguments], check=True, timeout=600)
    assert len(read_metrics(tmp_path / "metrics.jsonl")) == 2
    assert (tmp_path / "export/step-00000002/mikudance.json").is_file()


@pytest.mark.slow
def test_twenty_steps_on_one_two_and_four_ranks(small_shards: Path, tmp_path: Path) -> None:
    runs = [run_ranks(tiny_train(small_shards, tmp_path / str(w), "steps=20"), w) for w in (1, 2, 4)]
    assert [len(run) for run in runs] == [20, 20, 20]
    np.testing.assert_allclose(runs[1], runs[0], rtol=1e-5)
    np.testing.assert_allclose(runs[2], runs[0], rtol=1e-5)


@pytest.mark.slow
def test_twenty_steps_of_stage_2_on_one_and_two_ranks(small_shards: Path, tmp_path: Path) -> None:
    settings = ("steps=20", "global_batch=2")
    runs = [run_ranks(stage2(small_shards, tmp_path / str(w), *settings), w) for w in (1, 2)]
    np.testing.assert_allclose(runs[1], runs[0], rtol=1e-5)


@pytest.mark.slow
def test_sixteen_ranks_run(small_shards: Path, tmp_path: Path) -> None:
    settings = ("steps=2", "global_batch=16")
    sixteen = run_ranks(tiny_train(small_shards, tmp_path / "16", *settings), 16)
    one = run_ranks(tiny_train(small_shards, tmp_path / "1", *settings, "micro_batch=4"), 1)
    np.testing.assert_allclose(sixteen, one, rtol=1e-5)


@pytest.mark.slow
def test_copies_of_shards_agree_with_one_copy(small_shards: Path, tmp_path: Path) -> None:
    two_by_two = run_ranks(tiny_train(small_shards, tmp_path / "2x2", "steps=4", "parallel.shard_ranks=2"), 4)
    four = run_ranks(tiny_train(small_shards, tmp_path / "4", "steps=4"), 4)
    np.testing.assert_allclose(two_by_two, four, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_killed_at_a_random_step_and_resumed_on_other_ranks(small_shards: Path, tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    settings = ("steps=12", "checkpoint.every=2")
    whole = run_ranks(tiny_train(small_shards, tmp_path / "whole", *settings), 2)
    for world in (2, int(random.choice([1, 4]))):
        config = tiny_train(small_shards, tmp_path / f"killed{world}", *settings)
        _kill_after(config, world=2, steps=int(random.integers(3, 11)))
        again = run_ranks(config, world)
        np.testing.assert_allclose(again, whole, rtol=0 if world == 2 else 1e-5)


def _await_steps(config: TrainConfig, steps: int) -> None:
    deadline = time.monotonic() + 200
    while len(read_metrics(config.folder / "metrics.jsonl")) < steps:
        assert time.monotonic() < deadline, "the ranks did not take a step"
        time.sleep(0.02)


def _kill_after(config: TrainConfig, *, world: int, steps: int) -> None:
    processes = start_ranks(config, world)
    _await_steps(config, steps)
    for process in processes:
        process.kill()
        process.join()
