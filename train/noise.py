"""The noise schedule: settings, diffusers' schedulers for training and sampling, and the noise of each sample."""

from typing import Literal

import torch
from diffusers import DDIMScheduler, DDPMScheduler
from pydantic import Field
from torch import Tensor

from schemas.config import FrozenConfig
from train.data.rng import integers, normal


class NoiseConfig(FrozenConfig):
    """Noise schedule and loss. The defaults are Stable Diffusion 1.5's and the paper's; `*_published.yaml` differ."""

    prediction: Literal["epsilon", "v_prediction"] = Field("epsilon", description="What the network predicts.")
    timesteps: int = Field(1000, ge=1, description="Noise levels in training.")
    beta_start: float = Field(0.00085, gt=0, description="First β.")
    beta_end: float = Field(0.012, gt=0, description="Last β.")
    beta_schedule: Literal["linear", "scaled_linear"] = Field("scaled_linear", description="Rise of β.")
    zero_snr: bool = Field(False, description="Rescale the schedule to end at pure noise (arXiv 2305.08891).")
    min_snr_gamma: float | None = Field(
        None, gt=0, description="γ of min-SNR weighting (arXiv 2303.09556); null is off."
    )
    timestep_shift: float = Field(
        1.0,
        ge=1,
        description="Draws training's noise levels nearer to pure noise (arXiv 2403.03206, equation 23); 1 is uniform.",
    )
    offset: float = Field(0.0, ge=0, description="Deviation of the noise added to each sample and channel as a whole.")

    def _arguments(self) -> dict[str, object]:
        if self.zero_snr and self.prediction == "epsilon":
            raise ValueError(
                "noise.zero_snr leaves nothing to predict at the last step; set noise.prediction to v_prediction"
            )
        return {
            "num_train_timesteps": self.timesteps,
            "beta_start": self.beta_start,
            "beta_end": self.beta_end,
            "beta_schedule": self.beta_schedule,
            "prediction_type": self.prediction,
            "rescale_betas_zero_snr": self.zero_snr,
            "clip_sample": False,
        }

    def train_scheduler(self) -> DDPMScheduler:
        """The schedule that noise is added with."""
        return DDPMScheduler(**self._arguments())

    def ddim_scheduler(self) -> DDIMScheduler:
        """The sampler of the same schedule. It starts at the noisiest step (trailing), which zero SNR needs and which
        costs nothing elsewhere.
        """
        return DDIMScheduler(**self._arguments(), set_alpha_to_one=True, steps_offset=1, timestep_spacing="trailing")


def draw_timesteps(config: NoiseConfig, global_index: Tensor, seed: int) -> Tensor:
    """A timestep for each sample, int64 `[B]` on the CPU, keyed by the sample's global index.

    Shifted by s, the share u of the schedule becomes s·u / (1 + (s − 1)·u).
    """
    steps = integers(seed, global_index.cpu(), "timestep", config.timesteps)
    if config.timestep_shift == 1:
        return steps
    share = (steps.double() + 0.5) / config.timesteps
    shifted = config.timestep_shift * share / (1 + (config.timestep_shift - 1) * share)
    return (shifted * config.timesteps).long()


def draw_noise(config: NoiseConfig, global_index: Tensor, seed: int, shape: tuple[int, ...]) -> Tensor:
    """Noise `[B, F, 4, h, w]` on the CPU for shape `(F, 4, h, w)`, keyed by the samples' global indices.

    The offset is one draw a sample and channel, the same for all its frames.
    """
    noise = normal(seed, global_index.cpu(), "noise", shape)
    if config.offset:
        noise = noise + config.offset * normal(seed, global_index.cpu(), "noise_offset", (1, shape[1], 1, 1))
    return noise


def alphas(scheduler: DDPMScheduler, timesteps: Tensor) -> Tensor:
    """ᾱ at the timesteps, float32 `[B]`."""
    return scheduler.alphas_cumprod.to(timesteps.device, torch.float32)[timesteps]
