"""What it saves to keep the Reference UNet's features over all denoising steps, instead of computing them in each.

    python -m bench.feature_cache [--frames 8] [--steps 20]

The same clip is sampled with and without the cache, with guidance and without, by a narrow network with the blocks of
Stable Diffusion 1.5; processor time is compared (wall time on a GPU), and so are the latents that come out.
"""

import argparse
import time

import torch

from train.model.build import build_stage1, build_stage2
from train.model.conditions import Conditions
from train.model.config import ModelConfig, UNetSize
from train.noise import NoiseConfig
from train.sampling.config import SamplingConfig
from train.sampling.sampler import GivenConditions, sample_latents

SIZE = UNetSize(block_out_channels=(32, 64, 128, 128), attention_heads=4, norm_num_groups=8, cross_attention_dim=64)
CELLS = 32
"""Side of the latent grid: pictures of 256²."""


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--steps", type=int, default=20)
    given = parser.parse_args(arguments)
    gpu = torch.cuda.is_available()
    torch.set_num_threads(1)
    device = torch.device("cuda" if gpu else "cpu")
    config = ModelConfig(unet=SIZE, man_hidden=32)
    model = build_stage2(config, build_stage1(config)).to(device).eval()
    torch.manual_seed(0)
    frames = given.frames
    conditions = Conditions(
        pictures=torch.randn(1, frames, 20, CELLS, CELLS, device=device),
        tokens=torch.randn(1, 17, SIZE.cross_attention_dim, device=device),
        keep=torch.ones(1, device=device),
        motion=torch.randn(1, frames, 2, CELLS, CELLS, device=device),
        pose_images=None,
    )
    noise = torch.randn(frames, 4, CELLS, CELLS, device=device)

    def sample(guidance: float, room: int, steps: int) -> tuple[float, torch.Tensor]:
        settings = SamplingConfig(steps=steps, guidance=guidance, window=frames, overlap=0, cache_bytes=room)
        began = time.perf_counter() if gpu else time.process_time()
        made = sample_latents(
            model,
            guidance=GivenConditions(conditions),
            noise=noise,
            scheduler=NoiseConfig().ddim_scheduler(),
            config=settings,
        )
        if gpu:
            torch.cuda.synchronize()
        return (time.perf_counter() if gpu else time.process_time()) - began, made

    sample(1.0, 1 << 30, 1)  # warms up
    for guidance in (1.0, 3.5):
        kept, drawn = sample(guidance, 1 << 30, given.steps)
        again, wanted = sample(guidance, 0, given.steps)
        difference = ((drawn - wanted).norm() / wanted.norm()).item()
        print(
            f"sampling {frames} frames, {given.steps} steps, guidance {guidance:g}: {kept:.1f} s with the cache, "
            f"{again:.1f} s without: {again / kept:.2f}× (latents differ by {difference:.1e})"
        )


if __name__ == "__main__":
    main()
