"""A folder of weights: where it is, what lies in it, and how a set gets there.

Layout: `<folder>/<set name>/<path>`. A mirror for clusters without internet is a folder or an https address with the
same layout; a folder filled elsewhere by `fetch` is one as it is. `<folder>/weights.lock.json` holds the digest and
size of every file that was fetched, so that a file whose digest the catalog does not know is pinned by its first copy.
"""

import hashlib
import json
import os
import shutil
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from extractors.weights.catalog import CATALOG, WeightFile, WeightSet
from schemas.cache import cache_folder
from schemas.config import Problem, file_sha256

ENVIRONMENT = "MIKUDANCE_WEIGHTS"
LOCK = "weights.lock.json"
MAX_BYTES = 20 << 30
CHUNK = 1 << 20
TIMEOUT_S = 60
State = Literal["ok", "unpinned", "absent", "differs"]
Progress = Callable[[str, int, int | None], None]
"""Called with the file's name, bytes so far and bytes in all (None where not known)."""


class WeightsError(RuntimeError):
    """Weights that cannot be had or are not what they should be; the message names file, cause and next step."""


@dataclass(frozen=True)
class FileState:
    """What is known of one file. "unpinned": present, but neither the catalog nor the lock knows a digest."""

    set: WeightSet
    file: WeightFile
    path: Path
    state: State
    sha256: str | None


def default_folder() -> Path:
    """$MIKUDANCE_WEIGHTS, or `weights` in the cache folder (schemas.cache)."""
    if folder := os.environ.get(ENVIRONMENT):
        return Path(folder)
    return cache_folder("weights")


def located(path: Path | None, name: str) -> Path:
    """`path` where one is configured, else `name` in the default folder."""
    return path if path is not None else default_folder() / name


def missing_weights(files: tuple[Path, ...], name: str) -> Problem | None:
    """A problem that names the first absent file and how to get the set `name`, or None."""
    for path in files:
        if not path.is_file():
            return Problem(
                cause=f"weights are absent: {path}",
                remedy=f"run `mikudance weights fetch {name}`, or set the path in the configuration",
            )
    return None


def verify(folder: Path, sets: tuple[WeightSet, ...] = CATALOG) -> tuple[FileState, ...]:
    """The state of every file of `sets` below `folder`; reads every file that is present."""
    lock = _read_lock(folder)
    return tuple(_state(folder, lock, entry, file) for entry in sets for file in entry.files)


def fetch(
    entry: WeightSet,
    *,
    folder: Path,
    mirror: str | None = None,
    accept_non_commercial: bool = False,
    progress: Progress | None = None,
) -> tuple[Path, ...]:
    """Brings the set's files into `folder`, and gives their paths. Files that are there and right are left alone.

    mirror: a folder or https address with this layout, asked instead of the sources. Raises WeightsError for a licence
    not accepted, a file without an address, a transfer that fails, or a digest or size that differs; nothing is left
    of a refused file.
    """
    if entry.non_commercial and not accept_non_commercial:
        raise WeightsError(
            f"{entry.name}: its licence ({entry.licence}) forbids commercial use. Read {entry.page}; if you may use "
            "it, say so with --accept-non-commercial"
        )
    paths = []
    for file in entry.files:
        lock = _read_lock(folder)
        state = _state(folder, lock, entry, file)
        if state.state == "differs":
            raise WeightsError(
                f"{state.path}: sha256 is {state.sha256}, expected {_expected(lock, entry, file)}. Remove the file and "
                "fetch again, or find out who changed it"
            )
        if state.state == "absent":
            _bring(entry, file, state.path, mirror=mirror, expected=_expected(lock, entry, file), progress=progress)
        _pin(folder, entry, file)
        paths.append(state.path)
    return tuple(paths)


def _state(folder: Path, lock: dict[str, str], entry: WeightSet, file: WeightFile) -> FileState:
    path = folder / entry.name / file.path
    if not path.is_file():
        return FileState(entry, file, path, "absent", None)
    digest, expected = file_sha256(path), _expected(lock, entry, file)
    if expected is None:
        return FileState(entry, file, path, "unpinned", digest)
    return FileState(entry, file, path, "ok" if digest == expected else "differs", digest)


def _expected(lock: dict[str, str], entry: WeightSet, file: WeightFile) -> str | None:
    return file.sha256 or lock.get(f"{entry.name}/{file.path}")


def _read_lock(folder: Path) -> dict[str, str]:
    path = folder / LOCK
    if not path.is_file():
        return {}
    try:
        lock = json.loads(path.read_text())
    except ValueError as error:
        raise WeightsError(f"{path} is not JSON ({error}): remove it, then fetch again") from error
    if not isinstance(lock, dict) or not all(isinstance(v, str) for v in lock.values()):
        raise WeightsError(f"{path} does not map file names to digests: remove it, then fetch again")
    return lock


def _pin(folder: Path, entry: WeightSet, file: WeightFile) -> None:
    """Records the digest of a present file."""
    lock = _read_lock(folder)
    lock[f"{entry.name}/{file.path}"] = file_sha256(folder / entry.name / file.path)
    part = folder / f".{LOCK}.part"
    part.write_text(json.dumps(lock, indent=1, sort_keys=True) + "\n")
    part.replace(folder / LOCK)


def _bring(
    entry: WeightSet,
    file: WeightFile,
    path: Path,
    *,
    mirror: str | None,
    expected: str | None,
    progress: Progress | None,
) -> None:
    """One file from the mirror or its source to `path`, through a temporary name beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        with _opened(entry, file, mirror) as (stream, total):
            digest, size = _copy(stream, part, name=f"{entry.name}/{file.path}", total=total, progress=progress)
        if mirror is None and file.member is not None:
            part = _extract(part, file.member)
            digest, size = file_sha256(part), part.stat().st_size
        if expected is not None and digest != expected:
            raise WeightsError(
                f"{entry.name}/{file.path}: what came has sha256 {digest}, expected {expected}. It was thrown away; "
                "try another mirror, and do not use the copy"
            )
        if file.size is not None and size != file.size:
            raise WeightsError(f"{entry.name}/{file.path}: what came has {size} bytes, expected {file.size}")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _opened(entry: WeightSet, file: WeightFile, mirror: str | None) -> Iterator[tuple[IO[bytes], int | None]]:
    """The stream of a file at its mirror or source, and its size where that is told."""
    name = f"{entry.name}/{file.path}"
    place = file.url if mirror is None else mirror.rstrip("/") + "/" + name
    if place is None:
        raise WeightsError(
            f"{name} cannot be fetched by a program: get it by hand from {entry.page} and put it into a folder that "
            "you name with --mirror, or set its path in the configuration"
        )
    if "://" in place and not place.startswith("https://"):
        raise WeightsError(f"{place}: a mirror is a folder or an https address")
    try:
        if place.startswith("https://"):
            with urllib.request.urlopen(place, timeout=TIMEOUT_S) as response:  # noqa: S310 - https only
                length = response.headers.get("Content-Length")
                yield response, int(length) if length else None
        else:
            with open(place, "rb") as stream:
                yield stream, Path(place).stat().st_size
    except OSError as error:
        raise WeightsError(
            f"{name} cannot be had from {place} ({error}): check the address, or name a mirror"
        ) from error


def _copy(stream: IO[bytes], part: Path, *, name: str, total: int | None, progress: Progress | None) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    with open(part, "wb") as out:
        while block := stream.read(CHUNK):
            size += len(block)
            if size > MAX_BYTES:
                raise WeightsError(f"{name}: more than {MAX_BYTES} bytes came: this is not a weights file")
            digest.update(block)
            out.write(block)
            if progress is not None:
                progress(name, size, total)
    if total is not None and size != total:
        raise WeightsError(f"{name}: {size} of {total} bytes came: fetch again")
    return digest.hexdigest(), size


def _extract(archive: Path, member: str) -> Path:
    """The one member of a zip whose file name is `member`, unpacked beside the archive, which is removed."""
    target = archive.with_name(archive.name + ".member")
    try:
        with zipfile.ZipFile(archive) as opened:
            found = [info for info in opened.infolist() if Path(info.filename).name == member]
            if len(found) != 1 or found[0].file_size > MAX_BYTES:
                raise WeightsError(f"{archive.name}: holds {len(found)} members called {member}, expected one")
            with opened.open(found[0]) as source, open(target, "wb") as out:
                shutil.copyfileobj(source, out, CHUNK)
    except zipfile.BadZipFile as error:
        raise WeightsError(f"{archive.name} is no zip ({error}): fetch again") from error
    finally:
        archive.unlink(missing_ok=True)
    return target
