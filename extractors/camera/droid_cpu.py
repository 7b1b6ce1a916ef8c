"""DROID-SLAM's own Python code on a CPU: stand-ins for its compiled packages, and "cuda" read as "cpu".

For trying a configuration and for tests; a clip takes minutes. Arithmetic is float32 where upstream's is float16.
"""

import sys
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from extractors.camera import droid_kernels, droid_lie


def install() -> None:
    """Puts stand-ins for `lietorch`, `droid_backends` and `torch_scatter` where imports look first."""
    lietorch = ModuleType("lietorch")
    vars(lietorch).update(SE3=droid_lie.SE3, cat=droid_lie.cat, Sim3=type("Sim3", (), {}))  # Sim3: named, never made
    sys.modules.update(lietorch=lietorch, droid_backends=droid_kernels, torch_scatter=droid_kernels)


class OnCpu(TorchFunctionMode):
    """While it is entered, torch calls that name a CUDA device or half precision get the CPU and float32."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is torch.Tensor.cuda:
            return args[0]
        return func(*map(_here, args), **{name: _here(value) for name, value in (kwargs or {}).items()})


def _here(value: Any) -> Any:
    if isinstance(value, str | torch.device) and str(value).startswith("cuda"):
        return torch.device("cpu")
    return torch.float32 if value is torch.half else value
