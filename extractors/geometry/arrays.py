"""One implementation for numpy and torch: arrays of either library in, arrays of the same library out."""

from typing import TYPE_CHECKING, Any, TypeVar

import array_api_compat.numpy
import numpy as np
from array_api_compat import array_namespace, is_torch_array

if TYPE_CHECKING:
    import torch

Array = TypeVar("Array", np.ndarray, "torch.Tensor")
"""numpy, or torch on any device. Gradients flow through torch."""


def doubles(*values: Any) -> tuple[Any, ...]:
    """The values' library (of the array API standard), then each value as its float64 array.

    Lists and numbers count as numpy; beside a tensor, they become tensors on its device.
    """
    tensor = next((value for value in values if is_torch_array(value)), None)
    if tensor is None:
        return array_api_compat.numpy, *(np.asarray(value, np.float64) for value in values)
    xp = array_namespace(tensor)

    def double(value: Any) -> Any:
        if is_torch_array(value):
            return xp.astype(value, xp.float64)  # on its device, with its gradient
        return xp.asarray(value, dtype=xp.float64, device=tensor.device)

    return xp, *(double(value) for value in values)


def identity(xp: Any, size: int, like: Any) -> Any:
    """The identity [size, size], float64, where `like` lies."""
    return xp.eye(size, dtype=xp.float64, device=like.device)
