"""Bytes of a dataset by offset: from a local folder, or from any store that fsspec opens, through a block cache."""

import os
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from stat import S_ISREG
from typing import Any, Protocol, TypeVar

from schemas.cache import cache_folder
from schemas.release import ShardEntry
from train.data.cache import BlockCache
from train.data.config import ReaderConfig
from train.data.errors import DatasetError, ShardError
from train.data.mapped import Data, MappedFile
from train.data.retry import again

T = TypeVar("T")
Range = tuple[int, int]
"""(offset, size) in bytes."""
OPEN_FILES = 64
LOCAL_GAP = 16 << 10
"""Bytes between two ranges up to which reading through costs less than another system call."""


class Store(Protocol):
    """Where a dataset lies. Paths are relative to its root, with forward slashes."""

    root: str

    def read(self, shard: ShardEntry, ranges: Sequence[Range]) -> Sequence[Data]:
        """The bytes of each range of a shard's tar. Raises ShardError where the file ends before a range does."""

    def read_file(self, path: str, max_bytes: int) -> bytes:
        """A whole small file. Raises DatasetError if it is absent or larger than `max_bytes`."""

    def exists(self, path: str) -> bool:
        """Whether there is such a file; asked of the file itself, since a store's listings may lag behind."""


class LocalStore:
    """A dataset in a local (or mounted) folder."""

    def __init__(self, *, root: str) -> None:
        self.root = root
        self._path = Path(root)
        self._files: OrderedDict[str, MappedFile] = OrderedDict()
        if not self._path.is_dir():
            raise DatasetError(f"{root}: there is no such dataset folder")

    def read(self, shard: ShardEntry, ranges: Sequence[Range]) -> list[Data]:
        file = self._open(shard)
        parts: dict[Range, Data] = {}
        for offset, size, run in merge(ranges, LOCAL_GAP):
            data = file.read(offset, size)
            if len(data) != size:
                raise _short(self.root, shard, offset, size, len(data))
            if len(run) == 1:
                parts[run[0]] = data
                continue
            view = memoryview(data)
            for span in run:
                start = span[0] - offset
                parts[span] = view[start : start + span[1]]
        return [parts[span] for span in ranges]

    def read_file(self, path: str, max_bytes: int) -> bytes:
        file = self._path / path
        try:
            status = file.stat()
            if not S_ISREG(status.st_mode):  # a pipe would be waited for, a device read for ever
                raise DatasetError(f"{self.root}/{path}: is no plain file")
            if status.st_size > max_bytes:
                raise _too_large(self.root, path, status.st_size, max_bytes)
            return file.read_bytes()
        except FileNotFoundError as error:
            raise _absent(self.root, path) from error

    def exists(self, path: str) -> bool:
        return (self._path / path).exists()

    def _open(self, shard: ShardEntry) -> MappedFile:
        if shard.path in self._files:
            self._files.move_to_end(shard.path)
            return self._files[shard.path]
        try:
            file = os.open(self._path / shard.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError as error:
            raise _absent(self.root, shard.path) from error
        size = os.fstat(file).st_size  # of a pipe 0: opened without waiting, it is refused here
        if size != shard.bytes:
            os.close(file)
            raise ShardError(
                f"{self.root}/{shard.path}: {size} bytes, but the release says {shard.bytes}: the copy is incomplete "
                "or was changed; copy it again"
            )
        self._files[shard.path] = MappedFile(file, size)
        if len(self._files) > OPEN_FILES:
            self._files.popitem(last=False)[1].close()
        return self._files[shard.path]


class RemoteStore:
    """A dataset behind an fsspec URI (s3://bucket/prefix, memory://folder, …).

    Ranges are read as aligned blocks, missing ones at once; blocks go through the cache, keyed by the shard's sha256.
    Without a cache exactly the ranges are read. Failed reads are tried again, `attempts` times in all, waiting 0.5, 1,
    2, … 30 s. filesystem: an fsspec filesystem; prefix: the root's path in it.
    """

    def __init__(
        self,
        *,
        root: str,
        filesystem: Any,
        prefix: str,
        cache: BlockCache | None,
        block_bytes: int,
        attempts: int,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.root = root
        self._fs = filesystem
        self._prefix = prefix.rstrip("/")
        self._cache = cache
        self._block = block_bytes
        self._attempts = attempts
        self._pause = pause

    def read(self, shard: ShardEntry, ranges: Sequence[Range]) -> list[bytes]:
        for offset, size in ranges:
            if offset + size > shard.bytes:
                raise _short(self.root, shard, offset, size, max(0, shard.bytes - offset))
        if self._cache is None:
            return self._fetch(shard, ranges)
        numbers = sorted({n for o, s in ranges if s for n in range(o // self._block, (o + s - 1) // self._block + 1)})
        spans = {n: (n * self._block, min(self._block, shard.bytes - n * self._block)) for n in numbers}
        keys = {n: f"{shard.sha256}-{self._block}-{n}" for n in numbers}
        blocks = {n: self._cache.get(keys[n], spans[n][1]) for n in numbers}
        missing = [n for n in numbers if blocks[n] is None]
        for n, data in zip(missing, self._fetch(shard, [spans[n] for n in missing]), strict=True):
            self._cache.put(keys[n], data)
            blocks[n] = data
        return [self._cut(blocks, offset, size) for offset, size in ranges]

    def read_file(self, path: str, max_bytes: int) -> bytes:
        def read() -> bytes:
            size = int(self._fs.size(f"{self._prefix}/{path}"))
            if size > max_bytes:
                raise _too_large(self.root, path, size, max_bytes)
            return bytes(self._fs.cat_file(f"{self._prefix}/{path}"))

        try:
            return self._again(f"{self.root}/{path}", read)
        except FileNotFoundError as error:
            raise _absent(self.root, path) from error

    def exists(self, path: str) -> bool:
        try:
            self._again(f"{self.root}/{path}", lambda: self._fs.info(f"{self._prefix}/{path}"))
        except FileNotFoundError:
            return False
        return True

    def _cut(self, blocks: dict[int, bytes | None], offset: int, size: int) -> bytes:
        if not size:
            return b""
        first, last = offset // self._block, (offset + size - 1) // self._block
        joined = b"".join(blocks[n] or b"" for n in range(first, last + 1))
        return joined[offset - first * self._block :][:size]

    def _fetch(self, shard: ShardEntry, ranges: Sequence[Range]) -> list[bytes]:
        """Reads ranges at once, and those that failed again. Raises the last error after `attempts` tries."""
        path = f"{self._prefix}/{shard.path}"
        parts: dict[Range, bytes] = {(offset, size): b"" for offset, size in ranges if not size}
        wanted = sorted({(offset, size) for offset, size in ranges if size})

        def read() -> None:
            todo = [span for span in wanted if span not in parts]
            starts, ends = [o for o, _ in todo], [o + s for o, s in todo]
            got = self._fs.cat_ranges([path] * len(todo), starts, ends, on_error="return")
            failures = [answer for answer in got if isinstance(answer, BaseException)]
            for span, answer in zip(todo, got, strict=True):
                if isinstance(answer, BaseException):
                    continue
                if len(answer) != span[1]:
                    raise _short(self.root, shard, *span, len(answer))
                parts[span] = bytes(answer)
            if failures:
                raise failures[0]

        try:
            self._again(f"{self.root}/{shard.path}", read)
        except FileNotFoundError as error:
            raise _absent(self.root, shard.path) from error
        return [parts[span] for span in ranges]

    def _again(self, what: str, action: Callable[[], T]) -> T:
        return again(what, action, attempts=self._attempts, failure=DatasetError, pause=self._pause)


def open_store(root: str, config: ReaderConfig) -> Store:
    """The store of a dataset root: a folder, or a URI with a scheme that fsspec knows. To be opened in the process
    that reads, since connections belong to one. S3's endpoint and keys come from the usual AWS_* variables. Raises
    DatasetError where there is no such folder, or no package for such a store.
    """
    if "://" not in root or root.startswith("file://"):
        return LocalStore(root=root.removeprefix("file://"))
    filesystem, prefix = open_filesystem(root)
    cache = None
    if config.cache_bytes:
        folder = config.cache_dir or cache_folder("blocks")
        cache = BlockCache(folder=folder, max_bytes=config.cache_bytes)
    return RemoteStore(
        root=root,
        filesystem=filesystem,
        prefix=prefix,
        cache=cache,
        block_bytes=config.block_bytes,
        attempts=config.attempts,
    )


def open_filesystem(root: str) -> tuple[Any, str]:
    """The fsspec filesystem of a URI and the path in it. Raises DatasetError where no package opens such a store."""
    import fsspec

    try:
        filesystem, prefix = fsspec.core.url_to_fs(root)
    except (ImportError, ValueError) as error:
        raise DatasetError(
            f"{root} cannot be opened: {error}. s3:// wants the package s3fs; for another store install its fsspec "
            "package on every node, or mount it and name the folder"
        ) from error
    return filesystem, str(prefix)


def merge(ranges: Sequence[Range], gap: int) -> list[tuple[int, int, list[Range]]]:
    """Runs (offset, size, ranges in it) that cover `ranges`, joined where at most `gap` bytes lie between them."""
    runs: list[tuple[int, int, list[Range]]] = []
    run: list[Range] = []
    start = end = 0
    for span in sorted(ranges):
        offset, size = span
        if run and offset <= end + gap:
            run.append(span)
            if offset + size > end:
                end = offset + size
            continue
        if run:
            runs.append((start, end - start, run))
        run, start, end = [span], offset, offset + size
    if run:
        runs.append((start, end - start, run))
    return runs


def _absent(root: str, path: str) -> DatasetError:
    return DatasetError(f"{root}/{path}: there is no such file; the dataset is incomplete or this is not its root")


def _too_large(root: str, path: str, size: int, limit: int) -> DatasetError:
    return DatasetError(f"{root}/{path}: {size} bytes, above the limit of {limit} for such a file")


def _short(root: str, shard: ShardEntry, offset: int, size: int, got: int) -> ShardError:
    return ShardError(
        f"{root}/{shard.path}: only {got} of {size} bytes at offset {offset}: the shard is cut off, or its index "
        "is not its own"
    )
