"""A run in an object store: its files under the names of a local run, and `run.json`, which says what of them is whole.

    <uri>/run.json                        the checkpoints and exports that are complete, oldest first, with their files
    <uri>/checkpoints/step-…/ …           as in a local run (`train.checkpoint`), and so is everything else

`run.json` is written in one put, after the files that it names: what a killed upload left is named nowhere. Nothing is
ever listed.
"""

import logging
import os
import re
import shutil
import uuid
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError

from schemas.config import FrozenConfig
from train.checkpoint import CheckpointError
from train.data.fetch import open_filesystem
from train.data.retry import again

log = logging.getLogger("train")

INDEX = "run.json"
MARK = ".stored"
"""In a local folder: the id under which the store holds the same bytes."""
ATTEMPTS = 5
FOLDER = re.compile(r"(?P<run>.+)/(?P<name>(checkpoints|export)/step-\d{8})")


def _inside(name: str) -> str:
    parts = PurePosixPath(name).parts
    if name != "/".join(parts) or not parts or parts[0] == "/" or ".." in parts or "\\" in name or "\0" in name:
        raise ValueError(f"{name!r} is outside of its folder")
    return name


Inside = Annotated[str, AfterValidator(_inside)]
"""A path below a folder, with forward slashes."""


class StoredFolder(FrozenConfig):
    """A folder that is whole in the store. Its name ends with the step, so that names sort by step."""

    name: str = Field(pattern=r"^(checkpoints|export)/step-\d{8}$", description="Path in the run.")
    id: str = Field(
        default_factory=lambda: uuid.uuid4().hex,
        description="Of this upload: tells a local copy from that of another attempt at the same step.",
    )
    files: dict[Inside, Annotated[int, Field(ge=0)]] = Field(description="Size in bytes of each file, by its path.")

    @property
    def step(self) -> int:
        return int(self.name[-8:])


class RunIndex(FrozenConfig):
    """The file `run.json`. dropped: checkpoints whose files are to be removed, in case their removal was cut short."""

    format_version: Literal[1] = 1
    checkpoints: tuple[StoredFolder, ...] = Field((), description="Complete checkpoints, oldest first.")
    exports: tuple[StoredFolder, ...] = Field((), description="Complete exports, oldest first.")
    dropped: tuple[StoredFolder, ...] = Field((), description="No longer kept; being removed.")


class RunStore:
    """Reads and writes one run behind a URI. Throttling and failures of the server are asked again."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._fs, self._prefix = open_filesystem(uri)

    def read_index(self) -> RunIndex | None:
        """`run.json`, or None where the store holds no such run."""
        try:
            text = self._again(INDEX, lambda: self._fs.cat_file(self._key(INDEX)), reading=True)
        except FileNotFoundError:
            return None
        try:
            return RunIndex.model_validate_json(text)
        except ValidationError as error:
            raise CheckpointError(f"{self.uri}/{INDEX} is not of this trainer: {error}") from error

    def write_index(self, index: RunIndex) -> None:
        text = index.model_dump_json(indent=1).encode()
        self._again(INDEX, lambda: self._fs.pipe_file(self._key(INDEX), text))

    def put(self, file: Path, name: str) -> None:
        """Uploads a file to `name`, a path in the run."""
        self._again(name, lambda: self._fs.put_file(str(file), self._key(name)))

    def put_folder(self, folder: Path, name: str) -> StoredFolder:
        """Uploads all files of a folder to `name`; nothing names them yet."""
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        for path in files:
            self.put(path, f"{name}/{path.relative_to(folder).as_posix()}")
        sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}
        return StoredFolder(name=name, files=sizes)

    def get(self, name: str, path: Path) -> None:
        """Downloads the file at `name`. Raises FileNotFoundError."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._again(name, lambda: self._fs.get_file(self._key(name), str(path)), reading=True)

    def get_folder(self, stored: StoredFolder, target: Path) -> None:
        """Downloads what `target` lacks of a folder; `target` appears whole or not at all."""
        if is_whole(target, stored):
            return
        # Nodes may share a disk: each has a name of its own.
        part = target.with_name(f"{target.name}-{os.environ.get('RANK', '0')}.tmp")
        shutil.rmtree(part, ignore_errors=True)
        if is_marked(target, stored):
            target.rename(part)
        for name, size in stored.files.items():
            if _size(part / name) != size:
                self._get_part(stored, name, part)
        mark(part, stored)
        try:
            part.rename(target)
        except OSError:
            if is_whole(target, stored):
                shutil.rmtree(part)
                return
            shutil.rmtree(target)  # the same step of another attempt
            part.rename(target)

    def _get_part(self, stored: StoredFolder, name: str, folder: Path) -> None:
        with suppress(FileNotFoundError):
            self.get(f"{stored.name}/{name}", folder / name)
        if (found := _size(folder / name)) != stored.files[name]:
            state = "is absent" if found is None else f"has {found} bytes and should have {stored.files[name]}"
            raise CheckpointError(
                f"{self.uri}/{stored.name}/{name} {state}, by {INDEX}: it was changed since. Take another export, or, "
                f"to go on from the checkpoint before, remove {self.uri}/{stored.name}/.metadata"
            )

    def has(self, name: str) -> bool:
        """Whether there is a file at `name`, asked of the file itself."""
        try:
            self._again(name, lambda: self._fs.info(self._key(name)), reading=True)
        except FileNotFoundError:
            return False
        return True

    def remove(self, stored: StoredFolder) -> None:
        """Removes the files of a folder that `run.json` does not name any more; one that stays is only warned of."""
        for name in stored.files:
            path = f"{stored.name}/{name}"
            try:
                self._again(path, lambda path=path: self._fs.rm_file(self._key(path)), reading=True)
            except FileNotFoundError:
                continue
            except CheckpointError as error:
                log.warning("%s/%s could not be removed: %s", self.uri, path, error)
                return

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}"

    def _again(self, name: str, action: Any, *, reading: bool = False) -> Any:
        """reading: absent files are a FileNotFoundError."""
        try:
            return again(f"{self.uri}/{name}", action, attempts=ATTEMPTS, failure=CheckpointError)
        except (RuntimeError, ValueError, OSError) as error:
            if reading and isinstance(error, FileNotFoundError):
                raise
            cause = str(error) if isinstance(error, CheckpointError) else f"{self.uri}/{name}: {error!r}"
            raise CheckpointError(
                f"{cause}. See to the store, the network, and the credentials in the environment of every node"
            ) from error


def run_and_folder(uri: str) -> tuple[str, str | None]:
    """The run that a URI leads to, and the folder in it where the URI names one."""
    named = FOLDER.fullmatch(uri)
    return (named["run"], named["name"]) if named else (uri, None)


def find_folder(uri: str, *, exports_only: bool = False) -> tuple[RunStore, StoredFolder]:
    """What a URI names: a checkpoint or export of a run; or the run, whose newest export is meant (else its newest
    checkpoint, unless `exports_only`). Raises CheckpointError where `run.json` names none.
    """
    run, name = run_and_folder(uri)
    store = RunStore(run)
    index = store.read_index()
    if index is None:
        raise CheckpointError(
            f"there is no {store.uri}/{INDEX}. A run that the trainer did not upload itself has none: copy its export "
            "to a folder, and name that"
        )
    entries = index.exports if exports_only else (*index.checkpoints, *index.exports)
    found = [entry for entry in entries if name in (None, entry.name)]
    if not found:
        what = "export" if exports_only else "export and no checkpoint"
        if not entries:
            raise CheckpointError(f"{store.uri}/{INDEX} names no {what} yet")
        there = ", ".join(entry.name for entry in reversed(entries))
        raise CheckpointError(f"{store.uri}/{INDEX} names no {name} that can be opened here; it has {there}")
    return store, found[-1]


def mark(folder: Path, stored: StoredFolder) -> None:
    """Notes that a local folder is the same as the stored one."""
    (folder / MARK).write_text(stored.id)


def is_marked(folder: Path, stored: StoredFolder) -> bool:
    """Whether what a local folder holds is of the stored one; a node has the files of its own ranks alone."""
    try:
        return (folder / MARK).read_text() == stored.id
    except OSError:
        return False


def is_whole(folder: Path, stored: StoredFolder) -> bool:
    """Whether a local folder holds all of the stored one."""
    return is_marked(folder, stored) and all(_size(folder / name) == size for name, size in stored.files.items())


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None
