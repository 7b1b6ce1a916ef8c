"""A local shard by ranges: views of the file's pages instead of copies, where the system can."""

import mmap
import os

MADV_POPULATE_READ = 22
"""Linux ≥ 5.14: maps a range's pages and reads them from disk where they are not in memory. Unlike touching them, which
raises SIGBUS, it answers with an error where a page cannot be read. (Python's `mmap` has no name for it yet.)"""
Data = bytes | memoryview
"""Bytes that were read: a copy, or a view."""


class MappedFile:
    """A file that does not change while it is open; takes over the descriptor. size: bytes of the file."""

    def __init__(self, file: int, size: int) -> None:
        self._file = file
        self._pages: mmap.mmap | None = None
        try:
            self._pages = mmap.mmap(file, size, access=mmap.ACCESS_READ)
        except (OSError, ValueError):  # a file system without mappings, or an empty file
            return
        self._view = memoryview(self._pages)

    def read(self, offset: int, size: int) -> Data:
        """The bytes [offset, offset + size), fewer where the file ends before; in memory when this returns. Raises
        OSError where the disk cannot be read.
        """
        if self._pages is not None and size:
            start = offset - offset % mmap.PAGESIZE
            try:
                self._pages.madvise(MADV_POPULATE_READ, start, offset + size - start)
            except OSError:
                # Either this kernel has no such request, or the pages cannot be read. Reading a copy tells which: it
                # raises the disk's own error.
                self._pages = None
            else:
                return self._view[offset : offset + size]
        return os.pread(self._file, size, offset)

    def close(self) -> None:
        """Closes the descriptor. Views stay valid: the mapping lives as long as they do."""
        os.close(self._file)
