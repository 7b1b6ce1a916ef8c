"""Files of a dataset on local disk or an object store, written so that a reader never sees half a file.

One class for both: paths are POSIX paths relative to the dataset's root. Locally a file is written beside its place,
flushed and renamed; on an object store a put is atomic by itself.
"""

import contextlib
import hashlib
import io
import os
import re
import secrets
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

TEMPORARY = ".tmp-"
_DIGEST_KEY = "mikudance.sha256"
_DIGEST = re.compile(re.escape(_DIGEST_KEY).encode() + rb"..([0-9a-f]{64})", re.DOTALL)
"""The footer's entry with the file's own sha256; two bytes of Thrift stand between key and value."""
_UNSET = b"0" * 64


class StorageError(RuntimeError):
    """A file of the dataset that cannot be read or written; the message names it, the cause and the next step."""


class UnwritableError(StorageError):
    """The dataset's disk or store does not take a file: full, read-only, no rights. No item's fault."""


class Storage:
    """A dataset's root: a local folder or a URI such as s3://bucket/prefix (credentials from the environment)."""

    def __init__(self, root: str) -> None:
        """Raises StorageError for a URI of a store that cannot be opened here."""
        self.local = "://" not in root or root.startswith("file://")
        root = root.removeprefix("file://")
        self.root = str(Path(root).resolve()) if self.local else root.rstrip("/")
        # fsspec remembers listings; other writers make them stale.
        self._fs: Any = None
        if not self.local:
            self._fs = _Store(_file_system(self.root), self.root)

    def full(self, path: str) -> str:
        """The absolute path or URI of a file. Raises StorageError for a path that leaves the root."""
        parts = PurePosixPath(path).parts
        if path.startswith("/") or ".." in parts or "\\" in path or "://" in path:
            raise StorageError(f"{path!r} is not a path inside the dataset {self.root}")
        return f"{self.root}/{path}"

    def exists(self, path: str) -> bool:
        return Path(self.full(path)).exists() if self.local else bool(self._fs.exists(self.full(path)))

    def size(self, path: str) -> int:
        return Path(self.full(path)).stat().st_size if self.local else int(self._fs.size(self.full(path)))

    def modified(self, path: str) -> float:
        """When a file was last written, UTC seconds. Raises FileNotFoundError where there is none."""
        if self.local:
            return Path(self.full(path)).stat().st_mtime
        return float(self._fs.modified(self.full(path)).timestamp())

    def read(self, path: str) -> bytes:
        """A file's bytes. Raises FileNotFoundError where there is none."""
        if self.local:
            return Path(self.full(path)).read_bytes()
        return bytes(self._fs.cat_file(self.full(path)))

    def open(self, path: str) -> Any:
        """A file for reading in binary mode."""
        return Path(self.full(path)).open("rb") if self.local else self._fs.open(self.full(path), "rb")

    def write(self, path: str, data: bytes) -> None:
        """Writes a whole file, replacing what was there; atomic. Raises UnwritableError."""
        with self._writing(path):
            if self.local:
                with self._rename_into(path) as temporary:
                    temporary.write_bytes(data)
            else:
                self._fs.pipe_file(self.full(path), data)

    def write_if_absent(self, path: str, data: bytes) -> bool:
        """Writes a file only if there is none, atomically against other writers. Returns whether it was written.

        Raises UnwritableError.
        """
        with self._writing(path):
            return self._write_if_absent(path, data)

    def _write_if_absent(self, path: str, data: bytes) -> bool:
        if not self.local:
            try:
                self._fs.pipe_file(self.full(path), data, mode="create")
            except FileExistsError:
                return False
            return True
        target = Path(self.full(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.parent / f"{TEMPORARY}{secrets.token_hex(8)}"
        try:
            _write_flushed(temporary, data)
            os.link(temporary, target)
        except FileExistsError:
            return False
        finally:
            temporary.unlink(missing_ok=True)
        return True

    def put_file(self, path: str, source: Path) -> None:
        """Moves (local) or uploads a finished file from a temporary place on local disk. Raises UnwritableError."""
        with self._writing(path):
            if self.local:
                target = Path(self.full(path))
                target.parent.mkdir(parents=True, exist_ok=True)
                _flush(source)
                source.replace(target)
            else:
                self._fs.put_file(str(source), self.full(path))

    def remove(self, path: str) -> None:
        if self.local:
            Path(self.full(path)).unlink(missing_ok=True)
        elif self._fs.exists(self.full(path)):
            self._fs.rm_file(self.full(path))

    def list(self, prefix: str) -> Iterator[str]:
        """Relative paths of all files below a folder, sorted; leftovers of killed writers included."""
        if self.local:
            base = Path(self.full(prefix))
            found = (Path(folder) / name for folder, _, names in os.walk(base) for name in names)
            yield from sorted(path.relative_to(self.root).as_posix() for path in found)
        else:
            bare = self._fs._strip_protocol(self.root) + "/"
            try:
                yield from sorted(name.removeprefix(bare) for name in self._fs.find(self.full(prefix)))
            except FileNotFoundError:
                return

    def scratch(self) -> Path:
        """A folder on local disk for files under construction; on the dataset's own disk where that is local."""
        if self.local:
            folder = Path(self.root) / "tmp"
            folder.mkdir(parents=True, exist_ok=True)
            return folder
        return Path(tempfile.gettempdir())

    def sha256(self, path: str) -> str:
        """sha256 of a file, read in pieces."""
        with self.open(path) as file:
            digest = hashlib.sha256()
            while piece := file.read(1 << 20):
                digest.update(piece)
            return digest.hexdigest()

    def write_table(self, path: str, table: pa.Table) -> tuple[str, int]:
        """Writes a Parquet file (zstd, no clock inside: equal tables give equal bytes). Returns sha256 and bytes.

        The footer holds the sha256 of the file itself, its own place left out: Parquet notices few flipped bits, and a
        reader here has no catalog to compare with.
        """
        buffer = io.BytesIO()
        with pq.ParquetWriter(
            buffer, table.schema, compression="zstd", use_dictionary=False, write_statistics=False
        ) as writer:
            writer.write_table(table)
            writer.add_key_value_metadata({_DIGEST_KEY: _UNSET.decode()})
        data = bytearray(buffer.getvalue())
        start = data.rindex(_UNSET)
        data[start : start + len(_UNSET)] = _own_digest(data, start)
        self.write(path, bytes(data))
        return hashlib.sha256(data).hexdigest(), len(data)

    def read_table(self, path: str) -> pa.Table:
        """Reads a Parquet file whole. Raises StorageError naming the file where it is absent or damaged.

        A file without a digest of its own (another program's, an older version's) is taken as Parquet takes it.
        """
        try:
            data = self.read(path)
        except FileNotFoundError as error:
            raise StorageError(f"{self.full(path)} is missing; `mikudance verify` tells what to do") from error
        except OSError as error:
            raise StorageError(f"{self.full(path)} cannot be read: {error}") from error
        places = list(_DIGEST.finditer(data))
        if places and _own_digest(data, places[-1].start(1)) != places[-1][1]:
            raise self._damaged(path, "its sha256 is not the one that it was written with")
        try:
            table = pq.read_table(io.BytesIO(data), use_threads=False)
            metadata = {k: v for k, v in (table.schema.metadata or {}).items() if k != _DIGEST_KEY.encode()}
            return table.replace_schema_metadata(metadata or None)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise self._damaged(path, str(error)) from error

    def _damaged(self, path: str, why: str) -> StorageError:
        return StorageError(f"{self.full(path)} is damaged ({why}); `mikudance verify --repair` removes it")

    @contextlib.contextmanager
    def _writing(self, path: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UnwritableError(
                f"{self.full(path)} cannot be written ({error.strerror or error}): free space or make the place "
                "writable, then run the same command again; what is finished is kept"
            ) from error

    @contextlib.contextmanager
    def _rename_into(self, path: str) -> Iterator[Path]:
        target = Path(self.full(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.parent / f"{TEMPORARY}{secrets.token_hex(8)}"
        try:
            yield temporary
            _flush(temporary)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)


class _Store:
    """A file system of fsspec. Errors of its client's own classes (no credentials, no answer) come as OSError."""

    def __init__(self, inner: Any, root: str) -> None:
        self._inner = inner
        self._root = root

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._inner, name)

        def call(*arguments: Any, **options: Any) -> Any:
            try:
                return method(*arguments, **options)
            except Exception as error:
                if type(error).__module__ == "builtins":
                    raise
                raise OSError(
                    f"{self._root} does not answer: {error} (credentials and address come from the environment of "
                    "every node: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL)"
                ) from error

        return call


def _file_system(root: str) -> Any:
    try:
        return fsspec.core.url_to_fs(root, use_listings_cache=False)[0]
    except (ImportError, ValueError) as error:  # a package is absent, or nothing knows the scheme
        raise StorageError(
            f"{root} cannot be opened: {error}. s3:// works as installed; for another store install its fsspec package "
            "on every node, or mount it and name the folder"
        ) from error


def _write_flushed(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    _flush(path)


def _flush(path: Path) -> None:
    # Without it a power cut after the rename can leave an empty file under the final name.
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _own_digest(data: bytes | bytearray, start: int) -> bytes:
    """sha256 of a file's bytes, in hex digits, without the 64 bytes at `start` that hold it."""
    view = memoryview(data)
    digest = hashlib.sha256(view[:start])
    digest.update(view[start + len(_UNSET) :])
    return digest.hexdigest().encode()
