"""Stage 2 as it is trained: sharded, recomputing, with an average of the weights; and each ablation of the paper."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.train.ranks import losses, run_ranks, stage2, tiny_train
from train.loop import train
from train.model.saving import load_model

SETTINGS = ("global_batch=2", "optimizer.ema_decay=0.5", "optimizer.warmup_steps=1")
SHARDED = ("parallel.checkpointing=true",)


def exported(run: Path, step: int) -> dict[str, torch.Tensor]:
    return dict(load_model(run / f"export/step-{step:08d}")[1].state_dict())


@pytest.mark.slow
def test_sharded_recomputing_averaging_ranks_do_what_one_plain_rank_does(small_shards: Path, tmp_path: Path) -> None:
    """Losses of three steps and the averaged weights after them; then the same again, interrupted, bit by bit."""
    config = stage2(small_shards, tmp_path / "two", *SETTINGS, *SHARDED, "steps=3")
    straight = run_ranks(config, 2)
    train(stage2(small_shards, tmp_path / "one", *SETTINGS, "steps=3", "micro_batch=2"))
    np.testing.assert_allclose(straight, losses(stage2(small_shards, tmp_path / "one")), rtol=1e-5)
    two, one = exported(tmp_path / "two", 3), exported(tmp_path / "one", 3)
    assert two.keys() == one.keys()
    for name, value in two.items():
        # Adam's first steps are of the rate's size whatever the gradient: where that is rounding error, so is the sign.
        assert float((value - one[name]).abs().mean()) < 1e-4, name

    run_ranks(stage2(small_shards, tmp_path / "again", *SETTINGS, *SHARDED, "steps=2"), 2)
    again = run_ranks(stage2(small_shards, tmp_path / "again", *SETTINGS, *SHARDED, "steps=3"), 2)
    assert again == straight
    for name, value in exported(tmp_path / "again", 3).items():
        assert torch.equal(value, two[name]), name


@pytest.mark.parametrize(
    "ablation",
    [
        ["model.guidance=controlnets"],
        ["model.motion_injection=concat"],
        ["model.motion=none"],
        ["model.motion=plucker"],
        ["model.motion=flow"],
        ["model.reference_attention=concat"],
        ["model.motion_compat=published", "model.motion_scale=1"],
    ],
    ids=lambda settings: settings[0].removeprefix("model."),
)
def test_ablations_train_both_stages_and_validate(small_shards: Path, tmp_path: Path, ablation: list[str]) -> None:
    train(tiny_train(small_shards, tmp_path / "1", "steps=1", "micro_batch=2", "global_batch=2", *ablation))
    config = stage2(
        small_shards,
        tmp_path / "2",
        "steps=1",
        "global_batch=2",
        "weights.random=false",
        f"weights.stage1={tmp_path / '1'}",
        "parallel.checkpointing=true",
        "validation.samples=1",
        "validation.split=train",
        "validation.sampling={steps: 1, guidance: 2.0}",
        *ablation,
    )
    assert train(config).step == 1
    assert np.isfinite(losses(config)).all()
    assert load_model(tmp_path / "2/export/step-00000001")[0].model == config.model
    assert list((tmp_path / "2/validation").rglob("*.mp4"))
