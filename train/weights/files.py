"""Weight files, read without ever running code from them."""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

MAX_BYTES = 64 << 30
"""Larger than any checkpoint of this model family; a file beyond it is a mistake."""


class WeightsError(ValueError):
    """Weights that cannot be used; the message names the file, the cause and the next step."""


@dataclass(frozen=True)
class LoadReport:
    """What came of laying a file's tensors over a module.

    matched, missing (in the module alone), unexpected (in the file alone): names as the module has them; files' own
    where there is no counterpart. mismatched: name, shape in the file, shape in the module. spare: missing names that
    nothing reads, or unexpected ones that are computed rather than stored.
    """

    source: str
    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...] = ()
    spare: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [
            f"{self.source}: {len(self.matched)} tensors matched, {len(self.missing)} missing, "
            f"{len(self.unexpected)} unexpected, {len(self.mismatched)} of another shape, {len(self.spare)} not needed"
        ]
        for title, names in (("missing", self.missing), ("unexpected", self.unexpected)):
            lines += [f"  {title}: {name}" for name in names]
        lines += [f"  shape: {name} is {have} in the file and {want} here" for name, have, want in self.mismatched]
        return "\n".join(lines)

    def require_complete(self) -> "LoadReport":
        """The report itself. Raises WeightsError where a tensor that is needed did not come from the file."""
        if self.missing or self.mismatched or not self.matched:
            raise WeightsError(f"these weights do not fit the configured network (see model.unet).\n{self}")
        return self


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a .safetensors, .pth, .pt, .ckpt or .bin file, on the CPU. Raises WeightsError.

    Pickled files are read with `weights_only`, and may wrap their tensors in a "state_dict"; a "module." prefix left
    by data-parallel training is taken off.
    """
    if not path.is_file():
        raise WeightsError(f"{path} does not exist")
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise WeightsError(f"{path} has {size / 2**30:.0f} GiB; no checkpoint of this model is so large")
    try:
        if path.suffix == ".safetensors":
            content: object = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    # A damaged file can raise nearly anything inside the readers, which build tensors and nothing else.
    except Exception as error:
        raise WeightsError(f"{path} cannot be read as weights ({error}); is the download complete?") from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise WeightsError(f"{path} holds something other than named tensors")
    return {str(name).removeprefix("module."): value for name, value in content.items()}


def folder_tensors(folder: Path) -> dict[str, Tensor]:
    """Tensors of a diffusers folder, safetensors before .bin. Raises WeightsError."""
    for pattern in ("*.safetensors", "*.bin"):
        files = sorted(folder.glob(pattern))
        if files:
            return {name: value for file in files for name, value in read_tensors(file).items()}
    raise WeightsError(f"{folder} holds neither .safetensors nor .bin files")


def lay_over(
    module: nn.Module, tensors: dict[str, Tensor], *, source: str, spare: frozenset[str] = frozenset()
) -> LoadReport:
    """Copies tensors of equal name and shape into the module (parameters and buffers), and reports on the rest.

    spare: names that may be absent without harm.
    """
    own = module.state_dict()
    matched = [name for name, value in tensors.items() if name in own and own[name].shape == value.shape]
    with torch.no_grad():
        for name in matched:
            own[name].copy_(tensors[name])
    absent = own.keys() - tensors.keys()
    return LoadReport(
        source=source,
        matched=tuple(sorted(matched)),
        missing=tuple(sorted(absent - spare)),
        unexpected=tuple(sorted(tensors.keys() - own.keys())),
        mismatched=tuple(
            (name, tuple(tensors[name].shape), tuple(own[name].shape))
            for name in sorted(own.keys() & tensors.keys())
            if own[name].shape != tensors[name].shape
        ),
        spare=tuple(sorted(absent & spare)),
    )
