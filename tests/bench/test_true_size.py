"""The true-size benchmark at a tiny size, on a CPU."""

import re

import pytest

from bench.true_size import main
from train.model.encoders import true_image_encoder, true_vae

TINY = [
    "model.unet.block_out_channels=[16, 16, 16, 16]",
    "model.unet.layers_per_block=1",
    "model.unet.attention_heads=2",
    "model.unet.norm_num_groups=4",
    "model.unet.cross_attention_dim=16",
    "reader.size=[128, 128]",
    "reader.workers=1",
    "micro_batch=1",
    "parallel.device=cpu",
    "parallel.precision=float32",
]


@pytest.mark.parametrize(("stage", "more"), [(1, []), (2, ["reader.frames=2"])])
def test_both_stages_print_their_figures(stage: int, more: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    given = [part for setting in (*TINY, *more) for part in ("--set", setting)]
    main(["--stage", str(stage), "--steps", "1", "--small-encoders", *given])
    said = capsys.readouterr().out
    assert f"true size, stage {stage}, 128 × 128" in said
    assert "waiting for data" in said
    assert float(re.search(r"peak memory ([0-9.]+) GiB", said)[1]) > 0.1  # torch alone takes as much


def test_encoders_are_of_the_true_size() -> None:
    import torch

    with torch.device("meta"):
        counts = [sum(p.numel() for p in network.parameters()) for network in (true_vae(), true_image_encoder())]
    assert counts == [83_653_863, 303_966_208]
