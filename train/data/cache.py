"""A bounded folder of blocks of remote files, shared by the processes of a node."""

import logging
import os
import tempfile
from pathlib import Path

logger = logging.getLogger(__name__)


class BlockCache:
    """Blocks by key, least recently used ones deleted first.

    Blocks are written under a temporary name and renamed, so that a process that is killed, or two that write the same
    block, leave only whole ones. A process counts the folder after writing 1/256 of the bound and then trims it to
    7/8, so up to 32 processes keep it under `max_bytes` without talking to each other.
    """

    def __init__(self, *, folder: Path, max_bytes: int) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        self._max_bytes = max_bytes
        self._uncounted = max_bytes  # the first write counts what earlier runs left
        self._broken = False

    def get(self, key: str, size: int) -> bytes | None:
        """The block, which must have `size` bytes, or None. key: a file name with at least two characters."""
        path = self._path(key)
        try:
            data = path.read_bytes()
            os.utime(path)
        except FileNotFoundError:
            return None
        if len(data) != size:  # left by a file system that lost the end of a renamed file in a crash
            path.unlink(missing_ok=True)
            return None
        return data

    def put(self, key: str, data: bytes) -> None:
        """Keeps a block. A full disk turns the cache off with a warning: reading goes on without it."""
        if self._broken or len(data) > self._max_bytes // 8:
            return
        path = self._path(key)
        try:
            path.parent.mkdir(exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._folder, prefix="tmp-", delete=False) as file:
                try:
                    file.write(data)
                    file.flush()
                    Path(file.name).replace(path)
                except OSError:
                    Path(file.name).unlink(missing_ok=True)
                    raise
        except OSError as error:
            self._broken = True
            logger.warning(
                "block cache %s is off: %s (free space, or set cache_dir or cache_bytes)", self._folder, error
            )
            return
        self._uncounted += len(data)
        if self._uncounted >= self._max_bytes // 256:
            self._uncounted = 0
            self._trim()

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / key

    def _trim(self) -> None:
        blocks: list[tuple[float, int, str]] = []
        for folder in os.scandir(self._folder):
            for entry in os.scandir(folder.path) if folder.is_dir() else (folder,):
                try:
                    stat = entry.stat()
                except FileNotFoundError:  # another process trimmed it
                    continue
                blocks.append((stat.st_mtime, stat.st_size, entry.path))
        total = sum(size for _, size, _ in blocks)
        if total <= self._max_bytes:
            return
        for _, size, path in sorted(blocks):
            if total <= self._max_bytes * 7 // 8:
                break
            Path(path).unlink(missing_ok=True)
            total -= size
