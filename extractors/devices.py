"""Which device a torch backend runs on, and whether it can."""

from typing import TYPE_CHECKING, Literal

from schemas.config import Problem

if TYPE_CHECKING:
    import torch

Device = Literal["auto", "cuda", "cpu"]
Precision = Literal["float32", "float16", "bfloat16"]


def torch_device(device: Device) -> "torch.device":
    """The device meant; "auto" is the GPU where there is one."""
    import torch

    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(device)


def cuda_problem(*, backend: str) -> Problem | None:
    """A problem where no CUDA GPU can be used by this torch."""
    import torch

    if torch.cuda.is_available():
        return None
    if torch.version.cuda is None:
        return Problem(
            cause=f"{backend} runs on CUDA only, and this torch ({torch.__version__}) is built without it",
            remedy="install a CUDA build of torch on a machine with an NVIDIA GPU, or choose another backend",
        )
    return Problem(
        cause=f"{backend} runs on CUDA only, and no CUDA GPU is visible here",
        remedy="run this stage on a machine with an NVIDIA GPU and its driver, or choose another backend",
    )


def package_problem(package: str, *, extra: str) -> Problem | None:
    """A problem where an optional package is absent; `extra` is the extra of this project that brings it."""
    from importlib.util import find_spec

    if find_spec(package) is not None:
        return None
    return Problem(cause=f"the package {package} is not installed", remedy=f"pip install 'mikudance[{extra}]'")


def device_problem(device: Device, *, backend: str) -> Problem | None:
    """A problem where the device asked for is not there."""
    return cuda_problem(backend=backend) if device == "cuda" else None
