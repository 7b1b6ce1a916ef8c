"""What the Reference UNet hands to the denoising UNet."""

import torch
from torch import Tensor


class ReferenceBank:
    """Features of the Reference UNet by layer name, and which samples may see them.

    A class of its own, not a dict: FSDP's hooks rebuild dicts and tuples in the arguments of a sharded module, and what
    the module then writes goes into a copy that nobody reads. An object of an unknown class passes through untouched.

    keep: float `[samples]`, 1 where the sample sees its reference, 0 where it does not (guidance dropout). A mask, not
    an `if`: all ranks must run the same collectives whatever they drew. `samples` counts every frame of every clip.
    """

    def __init__(self, *, keep: Tensor | None = None) -> None:
        self.keep = keep
        self._features: dict[str, Tensor] = {}
        self._sealed = False

    def write(self, layer: str, features: Tensor) -> None:
        """Stores `[samples, positions, channels]`. Ignored once sealed: recomputation under activation checkpointing
        runs the layers again during the backward pass, and the graph in use is that of the first run.
        """
        if not self._sealed:
            self._features[layer] = features

    def seal(self) -> None:
        """Ends writing; called when the Reference UNet is through."""
        self._sealed = True

    def read(self, layer: str) -> Tensor:
        """Features of the layer of the same name. Raises KeyError with what is there where the two UNets differ."""
        try:
            return self._features[layer]
        except KeyError:
            raise KeyError(
                f"the Reference UNet left no features for {layer!r}; it has {sorted(self._features)}. "
                "Both UNets must have the same blocks"
            ) from None

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers written so far, in the order in which they ran."""
        return tuple(self._features)

    def select(self, samples: Tensor, *, keep: Tensor | None = None) -> "ReferenceBank":
        """A sealed bank of the given samples (int64 indices), for windows of a cached sequence."""
        chosen = ReferenceBank(keep=keep)
        for layer, features in self._features.items():
            chosen.write(layer, features[samples])
        chosen.seal()
        return chosen

    def to(self, device: torch.device | str) -> "ReferenceBank":
        """A sealed copy on another device."""
        moved = ReferenceBank(keep=None if self.keep is None else self.keep.to(device))
        for layer, features in self._features.items():
            moved.write(layer, features.to(device))
        moved.seal()
        return moved

    @staticmethod
    def concatenate(banks: "list[ReferenceBank]") -> "ReferenceBank":
        """One sealed bank of the samples of several, in order, without a mask."""
        joined = ReferenceBank()
        for layer in banks[0].layers:
            joined.write(layer, torch.cat([bank.read(layer) for bank in banks]))
        joined.seal()
        return joined

    @property
    def bytes(self) -> int:
        """Size of all features."""
        return sum(features.numel() * features.element_size() for features in self._features.values())
