"""Manifests: a CSV or Parquet table with one source a row."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast, get_args
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from schemas.clip import Kind

MANIFEST_SUFFIXES = frozenset({".csv", ".parquet"})
COLUMNS = ("uri", "kind", "licence", "split", "focal", "camera_track", "camera_track_offset_s")
"""Columns that mean something here; all but `uri` may be absent or empty, any others are kept as they are."""
SPLITS = ("train", "val", "test")


class SourceError(ValueError):
    """Sources that cannot be understood; the message names the argument, or the manifest's row and column."""


@dataclass(frozen=True)
class Entry:
    """One source as it was asked for, before the file is opened. path is absolute; the rest as in SourceFile."""

    path: Path
    uri: str
    kind: Kind
    licence: str = ""
    split: str = ""
    focal: float | None = None
    camera_track: Path | None = None
    camera_track_offset_s: float = 0.0
    extra: dict[str, str] = field(default_factory=dict)


def read_manifest(path: Path, kind: Kind) -> Iterator[Entry]:
    """The rows of a manifest. Relative uris and tracks are relative to its folder; `kind` fills an empty kind.

    Rows are counted from 1 without the heading. Raises SourceError for a table that cannot be read, a missing `uri`
    and a value out of range, naming file, row and column.
    """
    table = _read(path)
    names = table.column_names
    if "license" in names and "licence" not in names:
        names = ["licence" if name == "license" else name for name in names]
        table = table.rename_columns(names)
    if "uri" not in names:
        raise SourceError(f"{path}: no column `uri` (found {', '.join(names) or 'none'}); it names each row's video")
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise SourceError(f"{path}: column `{doubled[0]}` stands there twice")
    if table.num_rows == 0:
        raise SourceError(f"{path}: the manifest has no rows")
    for number, row in enumerate(table.to_pylist(), start=1):
        yield _entry(path, number, row, kind)


def local_path(uri: str, folder: Path) -> Path:
    """Absolute path of a local uri, relative ones below `folder`. Raises SourceError for a remote one."""
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    if "://" in uri:
        raise SourceError(f"{uri}: only local files can be read; copy or mount it first")
    return Path(folder, Path(uri).expanduser()).absolute()


def _read(path: Path) -> pa.Table:
    try:
        if path.suffix.lower() == ".parquet":
            return pyarrow.parquet.read_table(path)
        # Every column as text: a column of digits stays what was written, and empty is empty.
        with pyarrow.csv.open_csv(path) as head:
            names = head.schema.names
        options = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
        parse = pyarrow.csv.ParseOptions(newlines_in_values=True)
        return pyarrow.csv.read_csv(path, convert_options=options, parse_options=parse)
    except (OSError, pa.ArrowException) as error:
        raise SourceError(f"{path}: the manifest cannot be read: {error}") from error


def _entry(manifest: Path, number: int, row: dict[str, Any], kind: Kind) -> Entry:
    def text(column: str) -> str:
        value = row.get(column)
        return "" if value is None else str(value).strip()

    def choice(column: str, allowed: tuple[str, ...]) -> str:
        value = text(column)
        if value and value not in allowed:
            raise SourceError(f"{manifest}, row {number}, column `{column}`: {value!r} is none of {', '.join(allowed)}")
        return value

    def number_in(column: str) -> float | None:
        value = text(column)
        if not value:
            return None
        try:
            result = float(value)
        except ValueError:
            result = math.nan
        if not math.isfinite(result):
            raise SourceError(f"{manifest}, row {number}, column `{column}`: {value!r} is no number")
        return result

    uri = text("uri")
    if not uri:
        raise SourceError(f"{manifest}, row {number}, column `uri`: empty; every row names a video")
    focal = number_in("focal")
    if focal is not None and focal <= 0:
        raise SourceError(
            f"{manifest}, row {number}, column `focal`: {focal:g} is not above 0 (focal length over frame width)"
        )
    track = text("camera_track")
    try:
        path = local_path(uri, manifest.parent)
        track_path = local_path(track, manifest.parent) if track else None
    except SourceError as error:
        raise SourceError(f"{manifest}, row {number}: {error}") from error
    return Entry(
        path=path,
        uri=uri,
        kind=cast(Kind, choice("kind", get_args(Kind)) or kind),
        licence=text("licence"),
        split=choice("split", SPLITS),
        focal=focal,
        camera_track=track_path,
        camera_track_offset_s=number_in("camera_track_offset_s") or 0.0,
        extra={name: str(value) for name, value in row.items() if name not in COLUMNS and value is not None},
    )
