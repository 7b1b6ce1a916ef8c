"""Random generators that depend on the sample and never on the worker, the rank or what was drawn before.

Every draw about a sample is keyed by (seed, global sample index, purpose), so that the same global batch gives the same
draws on any number of ranks, and a resumed run the same as one that was never stopped.
"""

import numpy as np
import torch
from torch import Tensor

from schemas.ids import seed_from


def numpy_generator(seed: int, global_index: int, purpose: str) -> np.random.Generator:
    """The NumPy generator of one sample and purpose ("window", "crop", …)."""
    return np.random.Generator(np.random.Philox(seed_from("sample", seed, global_index, purpose)))


def torch_generator(seed: int, global_index: int, purpose: str) -> torch.Generator:
    """The torch generator of one sample and purpose, on the CPU: devices draw different numbers from one seed."""
    return torch.Generator().manual_seed(seed_from("sample", seed, global_index, purpose))


def normal(seed: int, global_index: Tensor, purpose: str, shape: tuple[int, ...]) -> Tensor:
    """Standard normal float32 [B, *shape] on the CPU, one independent stream a sample; global_index: int64 [B]."""
    rows = [torch.randn(shape, generator=torch_generator(seed, int(i), purpose)) for i in global_index]
    return torch.stack(rows)


def uniform(seed: int, global_index: Tensor, purpose: str, shape: tuple[int, ...] = ()) -> Tensor:
    """Uniform [0, 1) float32 [B, *shape] on the CPU, one independent stream a sample; global_index: int64 [B]."""
    rows = [torch.rand(shape, generator=torch_generator(seed, int(i), purpose)) for i in global_index]
    return torch.stack(rows)


def integers(seed: int, global_index: Tensor, purpose: str, high: int) -> Tensor:
    """Integers int64 [B] of [0, high) on the CPU, one independent stream a sample; global_index: int64 [B]."""
    rows = [torch.randint(high, (), generator=torch_generator(seed, int(i), purpose)) for i in global_index]
    return torch.stack(rows)
