"""The proof that network, noise schedule and sampler fit together: one clip, learnt by heart and drawn again."""

from pathlib import Path

import numpy as np
import pytest

from tests.train.shards import ClipSpec, write_dataset
from train.autoencoder import train_autoencoder
from train.config import TrainConfig, load_config
from train.demo import read_pictures
from train.loop import train
from train.metrics import read_metrics


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_one_clip_by_heart(tmp_path: Path) -> None:
    """Loss at least ten times lower, and 20 DDIM steps give the clip back at 20 dB or more against what the autoencoder
    makes of it (the mean of six target frames, each from its own noise).

    With velocity and zero terminal SNR, as the published code trains: at the noisiest steps ε hardly depends on the
    picture (an error of 0.01 in ε is one of 2 in x₀), and a small network takes far longer to learn what to draw.
    """
    write_dataset(tmp_path / "data", [ClipSpec(number=3, frames=8, size=(64, 64), styles=0, speed=0.06)])
    phases = [overfit(tmp_path, steps, lr) for steps, lr in ((1200, 2e-3), (2200, 1e-3), (2800, 3e-4), (3200, 1e-4))]
    vae, errors = train_autoencoder(read_pictures(phases[0], samples=16), steps=300)
    assert np.mean(errors[-20:]) < 0.3 * errors[0]
    vae.save_pretrained(tmp_path / "vae")
    for phase in phases:
        train(phase)
    lines = read_metrics(phases[0].output / "metrics.jsonl")
    assert len(lines) == 3200
    assert np.mean([line["loss"] for line in lines[-100:]]) * 10 < lines[0]["loss"]
    assert lines[-1]["validation_psnr_autoencoder"] >= 20


def overfit(folder: Path, steps: int, lr: float) -> TrainConfig:
    return load_config(
        "tiny.yaml",
        [
            f"dataset={folder / 'data'}",
            f"output={folder / 'run'}",
            f"weights.vae={folder / 'vae'}",
            f"steps={steps}",
            "global_batch=8",
            "micro_batch=8",
            "reader.size=[64, 64]",
            "encoding.sample_target=false",
            "dropout={pose: 0, motion: 0, unconditional: 0}",
            "noise={prediction: v_prediction, zero_snr: true}",
            f"optimizer.lr={lr}",
            "optimizer.ema_decay=0.99",
            "parallel.device=cpu",
            "checkpoint.every=10000",
            "validation={every: 10000, samples: 6, split: train, sampling: {steps: 20, guidance: 1}}",
        ],
    )
