"""Features of the Reference UNet, computed once for each frame and reused in all denoising steps."""

from collections.abc import Callable

import torch

from train.model.bank import ReferenceBank


class FeatureCache:
    """Banks by frame, up to a number of bytes.

    Windows are visited in the same order in every step, so the frames kept are the first ones that fit: replacing the
    oldest would throw each frame out just before it is wanted again.

    compute: from frame numbers to a bank with one sample a frame.
    """

    def __init__(self, *, compute: Callable[[list[int]], ReferenceBank], max_bytes: int) -> None:
        self._compute = compute
        self._max_bytes = max_bytes
        self._kept: dict[int, ReferenceBank] = {}
        self.bytes = 0
        self.computed = 0
        """Frames that went through the Reference UNet so far."""

    def get(self, frames: list[int]) -> ReferenceBank:
        """A bank with one sample for each of the frames, in order."""
        absent = [frame for frame in frames if frame not in self._kept]
        fresh: dict[int, ReferenceBank] = {}
        if absent:
            bank = self._compute(absent)
            self.computed += len(absent)
            for place, frame in enumerate(absent):
                fresh[frame] = bank.select(torch.tensor([place]))
        for frame, one in fresh.items():
            if self.bytes + one.bytes <= self._max_bytes:
                self._kept[frame] = one
                self.bytes += one.bytes
        return ReferenceBank.concatenate([fresh.get(frame) or self._kept[frame] for frame in frames])
