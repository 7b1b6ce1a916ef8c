"""One optimiser step: what the loss of a sample is, and how gradients of micro batches become an update."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from diffusers import DDPMScheduler
from torch import Tensor

from train.config import TrainConfig
from train.data.batch import TrainBatch
from train.distributed import Ranks, gather_names, total
from train.fsdp import sync_gradients
from train.loss import prediction_target, sample_losses, snr_weights
from train.model.conditions import ConditionEncoder, draw_kept
from train.model.mikudance import MikuDance
from train.noise import draw_noise, draw_timesteps
from train.optim import ShardedAdamW, WeightAverage


class NonFiniteLossError(RuntimeError):
    """A loss or gradient that is NaN or infinite; the message names the samples. No weight was changed by them."""


@dataclass(frozen=True)
class StepResult:
    """loss: mean over the global batch. gradient_norm: before clipping. stop: some rank was asked to end."""

    loss: float
    gradient_norm: float
    stop: bool


class LossFunction:
    """The loss of each sample of a batch. Every draw is keyed by the sample's global index, never by rank or order."""

    def __init__(self, *, config: TrainConfig, model: MikuDance, conditioner: ConditionEncoder) -> None:
        self._config = config
        self._model = model
        self._conditioner = conditioner
        self._scheduler: DDPMScheduler = config.noise.train_scheduler()

    def __call__(self, batch: TrainBatch) -> Tensor:
        """float32 `[B]` of a batch on the model's device, with the graph for the backward pass."""
        config, device, index = self._config, batch.target.device, batch.global_index
        latents = self._conditioner.target(batch, config.seed)
        timesteps = draw_timesteps(config.noise, index, config.seed).to(device)
        noise = draw_noise(config.noise, index, config.seed, tuple(latents.shape[1:])).to(device)
        conditions = self._conditioner.conditions(batch, draw_kept(index, config.dropout, config.seed))
        # Sharded networks cast their weights themselves (`train.fsdp`), and autocast finds them cast already.
        with torch.autocast(device.type, torch.bfloat16, enabled=config.parallel.precision == "bfloat16"):
            prediction = self._model(
                noisy=self._scheduler.add_noise(latents, noise, timesteps),
                timesteps=timesteps,
                pictures=conditions.pictures,
                tokens=conditions.tokens,
                keep=conditions.keep,
                motion=conditions.motion,
                pose_images=conditions.pose_images,
            )
        target = prediction_target(self._scheduler, latents, noise, timesteps)
        return sample_losses(prediction, target, snr_weights(config.noise, self._scheduler, timesteps))


class TrainStep:
    """Gradients of one global batch, clipped, applied. Collective: all ranks call it with their micro batches."""

    def __init__(
        self,
        *,
        config: TrainConfig,
        model: MikuDance,
        losses: LossFunction,
        optimizer: ShardedAdamW,
        average: WeightAverage | None,
        ranks: Ranks,
    ) -> None:
        self._config = config
        self._model = model
        self._losses = losses
        self._optimizer = optimizer
        self._average = average
        self._ranks = ranks

    def __call__(self, batches: Sequence[TrainBatch], *, step: int, stop: bool) -> StepResult:
        """Takes optimiser step `step` (counted from 1). stop: this rank was asked to end; all ranks learn of it.

        Raises NonFiniteLossError, on every rank, before any weight changes.
        """
        bad: list[str] = []
        summed = torch.zeros((), dtype=torch.float64, device=self._ranks.device)
        for number, batch in enumerate(batches):
            sync_gradients(self._model, number == len(batches) - 1)
            losses = self._losses(batch)
            (losses.mean() / len(batches)).backward()
            summed += losses.detach().sum()
            finite = torch.isfinite(losses.detach()).tolist()
            bad += [name for name, fine in zip(batch.sample_ids, finite, strict=True) if not fine]
        loss, count, stops = total([float(summed), float(len(bad)), float(stop)], self._ranks.device)
        if count:
            raise NonFiniteLossError(self._message("loss", step, bad))
        norm = self._optimizer.gradient_norm()
        if not math.isfinite(norm):
            raise NonFiniteLossError(
                self._message("gradient", step, [n for batch in batches for n in batch.sample_ids])
            )
        self._optimizer.update(step=step, norm=norm)
        if self._average is not None:
            self._average.update()
        return StepResult(loss=loss / self._config.global_batch, gradient_norm=float(norm), stop=stops > 0)

    def _message(self, what: str, step: int, names: list[str]) -> str:
        everywhere = gather_names(names, self._ranks.world)
        return (
            f"the {what} of step {step} is not finite; samples: {', '.join(everywhere)}. Look at them with "
            "`mikudance audit`, lower optimizer.lr, or set parallel.precision: float32; the last checkpoint is sound"
        )
