from pathlib import Path

import numpy as np
import pytest
import torch

from tests.train.shards import small_dataset
from train.__main__ import main as train_main
from train.autoencoder import colour_autoencoder, train_autoencoder
from train.demo import main
from train.sampling.pipeline import DrivingFrame, MikuDancePipeline


def test_demonstration_from_shards_to_frames(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_dataset(tmp_path / "data", characters=2, cameras=1)
    out = tmp_path / "out"
    steps = ["--autoencoder-steps", "2", "--stage1-steps", "1", "--stage2-steps", "1", "--frames", "2"]
    assert main([str(tmp_path / "data"), "-o", str(out), *steps]) == 0
    assert (out / "loss.png").stat().st_size > 5_000
    pipeline = MikuDancePipeline.from_pretrained(out / "stage2/export/step-00000001")
    black = np.zeros((128, 128, 3), np.uint8)
    made = pipeline(black, black, [DrivingFrame(body=black, face=black, hand=black)] * 2).frames
    assert made.shape == (2, 128, 128, 3)
    changed = {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
    assert main([str(tmp_path / "data"), "-o", str(out), *steps]) == 0  # nothing is left to do
    assert changed == {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
    assert main([str(tmp_path / "absent"), "-o", str(tmp_path / "x")]) == 2
    assert "absent" in capsys.readouterr().err


def test_autoencoder_learns_and_scales_its_latents() -> None:
    torch.manual_seed(0)
    colours = torch.randint(0, 256, (16, 3, 1, 1), dtype=torch.uint8).expand(-1, -1, 32, 32).contiguous()
    vae, errors = train_autoencoder(colours, steps=60, batch=8, widths=(16, 16, 32, 32))
    assert np.mean(errors[-5:]) < 0.3 * errors[0]
    latents = vae.encode(colours / 127.5 - 1).latent_dist.mean * vae.config.scaling_factor
    assert latents.std().item() == pytest.approx(1, rel=0.05)
    with pytest.raises(ValueError, match="no pictures"):
        train_autoencoder(colours[:0], steps=1)


def test_an_untrained_autoencoder_knows_the_mean_colours_of_cells() -> None:
    torch.manual_seed(1)
    means = torch.rand(4, 3, 8, 8) * 2 - 1
    smooth = torch.nn.functional.interpolate(means, size=(128, 128), mode="bicubic").clamp(-1, 1)
    texture = 0.2 * torch.randn_like(smooth)
    vae = colour_autoencoder((16, 32, 64, 64), seed=0).eval()
    with torch.no_grad():
        posterior = vae.encode(smooth + texture).latent_dist
        made = vae.decode(posterior.mean).sample
    assert (made - smooth).square().mean() < 0.1 * smooth.var()
    assert posterior.std.max() < 0.1


def test_command_line_refuses_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train_main(["stage9.yaml"]) == 2
    assert "no packaged configuration" in capsys.readouterr().err
    assert train_main(["tiny.yaml", "--dataset", str(tmp_path), "--output", str(tmp_path / "run")]) == 2
    assert str(tmp_path) in capsys.readouterr().err
