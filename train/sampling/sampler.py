"""Denoising of a sequence of any length: DDIM, classifier-free guidance, windows averaged where they overlap."""

from collections.abc import Callable
from typing import Protocol

import torch
from diffusers import DDIMScheduler
from torch import Tensor

from train.model.bank import ReferenceBank
from train.model.conditions import Conditions
from train.model.mikudance import MikuDance
from train.sampling.config import SamplingConfig
from train.sampling.features import FeatureCache
from train.sampling.windows import window_starts


class Guidance(Protocol):
    """Where the guidance of a sequence comes from."""

    def __len__(self) -> int:
        """Frames of the sequence."""

    def frames(self, numbers: list[int]) -> Conditions:
        """Conditions of one clip (B = 1) with the given frames, on the model's device."""


class GivenConditions:
    """Guidance that is in memory already: conditions of one clip."""

    def __init__(self, conditions: Conditions) -> None:
        if len(conditions.pictures) != 1:
            raise ValueError(f"one clip at a time is sampled, {len(conditions.pictures)} were given")
        self._conditions = conditions

    def __len__(self) -> int:
        return self._conditions.pictures.shape[1]

    def frames(self, numbers: list[int]) -> Conditions:
        """See `Guidance`."""
        given = self._conditions
        return Conditions(
            pictures=given.pictures[:, numbers],
            tokens=given.tokens,
            keep=given.keep,
            motion=None if given.motion is None else given.motion[:, numbers],
            pose_images=None if given.pose_images is None else given.pose_images[:, numbers],
        )


@torch.no_grad()
def sample_latents(
    model: MikuDance,
    *,
    guidance: Guidance,
    noise: Tensor,
    scheduler: DDIMScheduler,
    config: SamplingConfig,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Latents `[frames, 4, h, w]` of a clip, float32, from noise of the same shape.

    In each step every window is denoised from the same latents and the predictions are averaged by frame; the step is
    then taken for all frames together. progress is called with (window passes done, window passes in all).
    """
    length = len(guidance)
    if noise.shape[0] != length:
        raise ValueError(f"there is noise for {noise.shape[0]} frames and guidance for {length}")

    def compute(numbers: list[int]) -> ReferenceBank:
        conditions = guidance.frames(numbers)
        return model.features(conditions.pictures, conditions.tokens, conditions.motion)

    cache = FeatureCache(compute=compute, max_bytes=config.cache_bytes)
    starts = window_starts(length, config.window, config.overlap)
    scheduler.set_timesteps(config.steps, device=noise.device)
    latents = noise.float() * scheduler.init_noise_sigma
    done = 0
    for timestep in scheduler.timesteps:
        total = torch.zeros_like(latents)
        count = latents.new_zeros(length, 1, 1, 1)
        for start in starts:
            numbers = list(range(start, min(start + config.window, length)))
            total[numbers] += _guided(model, guidance, cache, latents, timestep, numbers, config.guidance)
            count[numbers] += 1
            done += 1
            if progress is not None:
                progress(done, len(starts) * config.steps)
        latents = scheduler.step(total / count, timestep, latents).prev_sample
    return latents


def _guided(
    model: MikuDance,
    guidance: Guidance,
    cache: FeatureCache,
    latents: Tensor,
    timestep: Tensor,
    numbers: list[int],
    scale: float,
) -> Tensor:
    """The prediction for one window, `[frames, 4, h, w]`: unconditional + scale · (conditional − unconditional)."""
    bank = cache.get(numbers)
    conditions = guidance.frames(numbers)
    noisy = latents[numbers][None].to(conditions.pictures.dtype)
    timesteps = timestep.reshape(1)

    def predict(keep: float) -> Tensor:
        bank.keep = noisy.new_full((len(numbers),), keep)
        tokens = conditions.tokens * keep
        residuals = model.control(noisy, timesteps, tokens, conditions.motion, conditions.pose_images)
        return model.denoise(noisy, timesteps, tokens, bank, residuals)[0].float()

    conditional = predict(1.0)
    if scale == 1:
        return conditional
    unconditional = predict(0.0)
    return unconditional + scale * (conditional - unconditional)
