"""The files of a distributed checkpoint, read without ever running code from them.

torch.distributed.checkpoint pickles the table of contents (`.metadata`) and whatever is no tensor, and unpickles both
without restriction. Here the table is read by an unpickler that knows the classes of such tables and no others, and
everything else with `weights_only`.
"""

import io
import pathlib
import pickle
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint import filesystem, metadata
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta
from torch.distributed.checkpoint.planner import ReadItem

METADATA = ".metadata"
MAX_METADATA_BYTES = 1 << 30


class UnsafeCheckpointError(RuntimeError):
    """A checkpoint whose table of contents is not one; the message names the file, the cause and the next step."""


class _TableUnpickler(pickle.Unpickler):
    """Knows the classes of a checkpoint's table of contents."""

    def find_class(self, module: str, name: str) -> Any:
        plain = "." not in name
        if plain and module == metadata.__name__:
            found = vars(metadata).get(name)
            if isinstance(found, type) and found.__module__ == metadata.__name__:
                return found
        if plain and module == "torch":
            found = vars(torch).get(name)
            if found is torch.Size or isinstance(found, torch.dtype):
                return found
        if (module, name) == (filesystem.__name__, "_StorageInfo"):
            return filesystem._StorageInfo
        if (module, name) == ("torch.serialization", "_get_layout"):
            return torch.serialization._get_layout
        if module in {"pathlib", "pathlib._local"} and name in {"PosixPath", "PurePosixPath"}:
            return pathlib.PurePosixPath
        raise pickle.UnpicklingError(f"it names {module}.{name}, which no table of contents needs")


def read_table(folder: Path) -> Metadata:
    """The table of contents of a checkpoint. Raises UnsafeCheckpointError for one that is damaged, that holds other
    objects than tables do, or that names files outside of the folder.
    """
    path = folder / METADATA
    try:
        size = path.stat().st_size
        if size > MAX_METADATA_BYTES:
            raise pickle.UnpicklingError(f"{size} bytes are more than a table of contents has")
        table = _TableUnpickler(io.BytesIO(path.read_bytes())).load()
        if not isinstance(table, Metadata) or not isinstance(table.storage_data, dict):
            raise pickle.UnpicklingError("it holds something else")
        for info in table.storage_data.values():
            name = info.relative_path
            if not isinstance(name, str) or name != Path(name).name or name in {"", ".", ".."}:
                raise pickle.UnpicklingError(f"it names the file {name!r}, which is outside of the folder")
    # A damaged pickle can raise nearly anything; the classes that it can reach are those above.
    except Exception as error:
        raise UnsafeCheckpointError(
            f"{path} is refused: {error}. It is damaged or was not written by this trainer: take another checkpoint"
        ) from error
    return table


class SafeReader(FileSystemReader):
    """`FileSystemReader` that reads the table of contents with `read_table`."""

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        table = read_table(Path(self.path))
        if table.storage_meta is None:
            table.storage_meta = StorageMeta()
        table.storage_meta.load_id = self.load_id
        return table


class SafeLoadPlanner(DefaultLoadPlanner):
    """`DefaultLoadPlanner` that takes plain values alone for what is no tensor."""

    def load_bytes(self, read_item: ReadItem, value: io.BytesIO) -> None:
        safe = io.BytesIO()
        torch.save(torch.load(value, map_location="cpu", weights_only=True), safe)
        safe.seek(0)
        super().load_bytes(read_item, safe)
