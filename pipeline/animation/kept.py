"""Pictures of a long video kept on disk, so that showing them beside the result costs no memory."""

import os
import tempfile
from collections.abc import Sequence
from itertools import accumulate
from typing import overload


class KeptPictures:
    """JPEGs in one temporary file, which is gone with this object and what it gave."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="mikudance-")  # noqa: SIM115 (closed with the object)
        self._end = 0

    def add(self, jpegs: Sequence[bytes]) -> "Sequence[bytes]":
        """Writes pictures; returns them as a sequence that reads them back one by one."""
        bounds = tuple(accumulate(map(len, jpegs), initial=self._end))
        for jpeg in jpegs:
            self._file.write(jpeg)
        self._file.flush()
        self._end = bounds[-1]
        return _Stored(self, bounds)

    def read(self, start: int, stop: int) -> bytes:
        """The bytes between two places of the file."""
        return os.pread(self._file.fileno(), stop - start, start)


class _Stored(Sequence[bytes]):
    def __init__(self, file: KeptPictures, bounds: tuple[int, ...]) -> None:
        self._file = file
        self._bounds = bounds

    def __len__(self) -> int:
        return len(self._bounds) - 1

    @overload
    def __getitem__(self, number: int) -> bytes: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[bytes]: ...
    def __getitem__(self, number: int | slice) -> bytes | Sequence[bytes]:
        if isinstance(number, slice):
            return [self[n] for n in range(*number.indices(len(self)))]
        place = range(len(self))[number]
        return self._file.read(self._bounds[place], self._bounds[place + 1])
