"""AdamW, its learning rate, and the moving average of the weights."""

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from pydantic import Field
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from schemas.config import FrozenConfig


class OptimizerConfig(FrozenConfig):
    """AdamW; by default at a constant rate, as both stages of the published code have it (the paper gives none)."""

    lr: float = Field(1e-5, gt=0, description="Learning rate after warm-up.")
    beta1: float = Field(0.9, ge=0, lt=1, description="Decay of the first moment.")
    beta2: float = Field(0.999, ge=0, lt=1, description="Decay of the second moment.")
    eps: float = Field(1e-8, gt=0, description="Added to the root of the second moment.")
    weight_decay: float = Field(1e-2, ge=0, description="Decoupled weight decay.")
    warmup_steps: int = Field(1, ge=0, description="Steps over which the rate rises linearly from zero.")
    decay_share: float = Field(
        0.0, ge=0, le=1, description="Last part of the run over which the rate falls to zero, half a cosine; 0: none."
    )
    clip: float = Field(1.0, gt=0, description="Largest norm of the gradient of all weights together.")
    ema_decay: float | None = Field(
        None, ge=0, lt=1, description="Decay of the moving average that validation and exports use; null is off."
    )

    def rate(self, step: int, *, steps: int) -> float:
        """Learning rate of step `step`, counted from 1, of a run of `steps`; no step has a rate of zero."""
        warm = min(1.0, step / max(1, self.warmup_steps))
        falling = self.decay_share * steps
        left = (steps - step + 1) / falling if falling else 1.0
        return self.lr * warm * (1 - math.cos(math.pi * min(1.0, left))) / 2


class ShardedAdamW:
    """AdamW on each rank's own shards of the weights that train.

    AdamW works element by element and needs no other rank; on plain tensors it also skips the dispatch of DTensor,
    which for a small network takes longer than the arithmetic.

    parameters: by name, as `train.model.mikudance.named_weights` gives them after sharding. steps: of the whole run,
    which the learning rate depends on. copies: how many ranks hold the same shard (see `parallel.shard_ranks`).
    """

    def __init__(
        self, *, parameters: Mapping[str, nn.Parameter], config: OptimizerConfig, steps: int, copies: int = 1
    ) -> None:
        self._config = config
        self._steps = steps
        self._copies = copies
        self._parameters = {name: value for name, value in parameters.items() if value.requires_grad}
        if not self._parameters:
            raise ValueError("no weight of this network trains")
        self._shards = {name: nn.Parameter(_local(value.detach())) for name, value in self._parameters.items()}
        self._adam = torch.optim.AdamW(
            self._shards.values(),
            lr=config.lr,
            betas=(config.beta1, config.beta2),
            eps=config.eps,
            weight_decay=config.weight_decay,
            foreach=True,
        )
        for shard in self._shards.values():
            self._adam.state[shard] = {
                "step": torch.zeros(()),
                "exp_avg": torch.zeros_like(shard),
                "exp_avg_sq": torch.zeros_like(shard),
            }

    @torch.no_grad()
    def gradient_norm(self) -> Tensor:
        """Norm of the gradient of all weights together, the same on every rank; 0-d float32."""
        for name, parameter in self._parameters.items():
            self._shards[name].grad = None if parameter.grad is None else _local(parameter.grad)
        gradients = [shard.grad for shard in self._shards.values() if shard.grad is not None]
        squared = torch.stack(torch._foreach_norm(gradients)).square().sum()
        dist.all_reduce(squared)
        return (squared / self._copies).sqrt()

    @torch.no_grad()
    def update(self, *, step: int, norm: Tensor) -> None:
        """Clips by the norm of `gradient_norm`, takes step `step` (counted from 1), and drops the gradients."""
        gradients = [shard.grad for shard in self._shards.values() if shard.grad is not None]
        torch._foreach_mul_(gradients, (self._config.clip / (norm + 1e-6)).clamp(max=1.0))
        for group in self._adam.param_groups:
            group["lr"] = self._config.rate(step, steps=self._steps)
        self._adam.step()
        for name, parameter in self._parameters.items():
            parameter.grad = self._shards[name].grad = None

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """Moments and step counts by parameter name, sharded as the weights are; loading writes into these tensors."""
        state: dict[str, dict[str, Tensor]] = {}
        for name, parameter in self._parameters.items():
            own = self._adam.state[self._shards[name]]
            moments = {key: _like(own[key], parameter) for key in ("exp_avg", "exp_avg_sq")}
            state[name] = {**moments, "step": own["step"]}
        return state


class WeightAverage:
    """Exponential moving average of the weights that train; each rank keeps the average of its own shards."""

    def __init__(self, *, parameters: Mapping[str, nn.Parameter], decay: float) -> None:
        self._parameters = {name: value for name, value in parameters.items() if value.requires_grad}
        self._decay = decay
        self.averages = {name: value.detach().clone() for name, value in self._parameters.items()}

    @torch.no_grad()
    def update(self) -> None:
        """average ← decay · average + (1 − decay) · weight, after an optimiser step."""
        averages = [_local(value) for value in self.averages.values()]
        weights = [_local(value.detach()) for value in self._parameters.values()]
        torch._foreach_lerp_(averages, weights, 1 - self._decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchanges weights and averages in place; a second call puts them back."""
        for name, parameter in self._parameters.items():
            average, weight = _local(self.averages[name]), _local(parameter.detach())
            kept = weight.clone()
            weight.copy_(average)
            average.copy_(kept)

    def state_dict(self) -> dict[str, Any]:
        """Averages by parameter name."""
        return dict(self.averages)


def _like(shard: Tensor, parameter: nn.Parameter) -> Tensor:
    """This rank's shard as part of a tensor that is spread like `parameter`; shares its memory."""
    if not isinstance(parameter, DTensor):
        return shard
    return DTensor.from_local(
        shard,
        parameter.device_mesh,
        parameter.placements,
        run_check=False,
        shape=parameter.shape,
        stride=parameter.stride(),
    )


def _local(value: Tensor) -> Tensor:
    return value.to_local() if isinstance(value, DTensor) else value
