"""Single maps out of a large `.npy` member, by offset: of `[references, frames, …]` only one reference's window."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from train.data.decode import MAX_HEADER, DecodeError, check_layout, npy_header
from train.data.fetch import Range
from train.data.mapped import Data


@dataclass(frozen=True)
class MapLayout:
    """What the contract says of a member: dtype, and shape [references, frames, *map]."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def map_bytes(self) -> int:
        """Bytes of one map."""
        return math.prod(self.shape[2:]) * np.dtype(self.dtype).itemsize

    def ranges(self, span: Range, reference: int, frames: Sequence[int]) -> list[Range]:
        """The header's range, for `check`, then those of one reference's maps at `frames`. span: the member's place.

        The header's length follows from the member's size, so that header and maps are one read. Raises DecodeError
        where the member cannot hold an array of this layout.
        """
        (offset, size), each = span, self.map_bytes
        header = size - each * self.shape[0] * self.shape[1]
        if not 10 <= header <= MAX_HEADER:
            raise DecodeError(f"{size} bytes do not hold {self.dtype} {self.shape}")
        first = offset + header + each * reference * self.shape[1]
        return [(offset, header), *((first + each * frame, each) for frame in frames)]

    def check(self, header: Data) -> None:
        """Raises DecodeError unless the header that was read is that of an array of this layout."""
        shape, dtype, length = npy_header(header)
        check_layout(shape, dtype, self.dtype, self.shape)
        if length != len(header):
            raise DecodeError(f"a header of {length} bytes where {len(header)} would fit the data")
