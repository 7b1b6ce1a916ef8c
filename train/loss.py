"""The training loss: mean squared error of the predicted noise or velocity, weighted by min-SNR where asked."""

import torch
from diffusers import DDPMScheduler
from torch import Tensor

from train.noise import NoiseConfig, alphas


def prediction_target(scheduler: DDPMScheduler, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
    """What the network should predict, like `latents` `[B, ...]`: ε, or v = √ᾱ·ε − √(1 − ᾱ)·x₀ (arXiv 2202.00512)."""
    if scheduler.config.prediction_type == "epsilon":
        return noise
    return scheduler.get_velocity(latents, noise, timesteps)


def snr_weights(config: NoiseConfig, scheduler: DDPMScheduler, timesteps: Tensor) -> Tensor:
    """Min-SNR weights `[B]`: min(SNR, γ) / SNR for ε, min(SNR, γ) / (SNR + 1) for v; ones where it is off.

    At zero terminal SNR the weight for v is 0/1, not 0/0, so that the last step is well defined.
    """
    if config.min_snr_gamma is None:
        return torch.ones(len(timesteps), device=timesteps.device)
    alpha = alphas(scheduler, timesteps)
    snr = alpha / (1 - alpha)
    capped = snr.clamp(max=config.min_snr_gamma)
    return capped / snr if config.prediction == "epsilon" else capped / (snr + 1)


def sample_losses(prediction: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean squared error of each sample, float32 `[B]`; prediction and target `[B, ...]`."""
    squared = (prediction.float() - target.float()).square()
    return squared.flatten(1).mean(dim=1) * weights
