"""A small autoencoder for demonstrations and tests, where the weights of Stable Diffusion's cannot be had.

It has the true one's factor of 8 and 4 latent channels, so that everything after it is as it would be.
"""

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from train.data.batch import signed
from train.networks import random_vae

KL_WEIGHT = 1e-6
"""As in the latent diffusion paper (arXiv 2112.10752, appendix G)."""


def train_autoencoder(
    pictures: Tensor, *, steps: int, batch: int = 8, lr: float = 2e-3, channels: int = 32, seed: int = 0
) -> tuple[AutoencoderKL, list[float]]:
    """An autoencoder trained on uint8 `[N, 3, H, W]`, and its mean squared error (of [-1, 1]) at each step.

    Its scaling factor is set to give latents a deviation of one, as Stable Diffusion's does.
    """
    if len(pictures) == 0:
        raise ValueError("there are no pictures to train an autoencoder on")
    vae = random_vae(seed, channels).train()
    optimizer = torch.optim.AdamW(vae.parameters(), lr=lr, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=lr, total_steps=steps, pct_start=0.1)
    generator = torch.Generator().manual_seed(seed)
    errors = []
    for _ in range(steps):
        chosen = torch.randint(len(pictures), (batch,), generator=generator)
        target = signed(pictures[chosen])
        posterior = vae.encode(target).latent_dist
        draw = posterior.mean + posterior.std * torch.randn(posterior.mean.shape, generator=generator)
        error = (vae.decode(draw).sample - target).square().mean()
        (error + KL_WEIGHT * posterior.kl().mean()).backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        errors.append(float(error.detach()))
    vae.eval().requires_grad_(False)
    with torch.no_grad():
        latents = [vae.encode(signed(part)).latent_dist.mean for part in pictures.split(batch)]
    vae.register_to_config(scaling_factor=1 / float(torch.cat(latents).std()))
    return vae, errors
