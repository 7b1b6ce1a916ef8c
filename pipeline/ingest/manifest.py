"""Manifests: a CSV or Parquet table with one source a row."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, cast, get_args
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
    """One source as it was asked for, before the file is opened. path is absolute; the rest as in SourceFile. kind: ""
    where it was not said; camera_track_offset_s: None likewise. place: where it was asked for, in words.
    """

    path: Path
    uri: str
    kind: Kind | Literal[""] = ""
    licence: str = ""
    split: str = ""
    focal: float | None = None
    camera_track: Path | None = None
    camera_track_offset_s: float | None = None
    extra: dict[str, str] = field(default_factory=dict)
    place: str = ""


def together(first: Entry, second: Entry) -> Entry:
    """The first entry with what only the second says of the same video. Raises SourceError where they say different
    kinds or splits.
    """
    for name in ("kind", "split"):
        one, other = getattr(first, name), getattr(second, name)
        if one and other and one != other:
            raise SourceError(
                f"{first.place} and {second.place} name the same video ({first.path}), as {name} {one} and {other}: "
                "say one of them"
            )
    names = ("kind", "licence", "split", "focal", "camera_track", "camera_track_offset_s")
    absent = {name: getattr(second, name) for name in names if getattr(first, name) in ("", None)}
    return replace(first, **absent, extra={**second.extra, **first.extra})


def read_manifest(path: Path, kind: Kind | Literal[""], warn: Callable[[str], None]) -> Iterator[Entry]:
    """The rows of a manifest. Relative uris and tracks are relative to its folder; `kind` fills an empty kind. warn: is
    told of columns that look like misspelt ones.

    Rows are counted from 1 without the heading. Raises SourceError for a table that cannot be read, a missing `uri`
    and a value out of range, naming file, row and column.
    """
    table = _read(path)
    names = [name.strip() for name in table.column_names]
    if "license" in names and "licence" not in names:
        names = ["licence" if name == "license" else name for name in names]
    if "uri" not in names:
        raise SourceError(f"{path}: no column `uri` (found {', '.join(names) or 'none'}); it names each row's video")
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise SourceError(f"{path}: column `{doubled[0]}` stands there twice")
    for name in names:
        near = get_close_matches(name.lower(), COLUMNS, cutoff=0.75)
        if name not in COLUMNS and near:
            warn(f"{path}: column `{name}` is kept but means nothing here; did you mean `{near[0]}`?")
    table = table.rename_columns(names)
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


def _entry(manifest: Path, number: int, row: dict[str, Any], kind: Kind | Literal[""]) -> Entry:
    def text(column: str) -> str:
        value = row.get(column)
        absent = value is None or (isinstance(value, float) and math.isnan(value))  # pandas writes NaN for no value
        return "" if absent else str(value).strip()

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
        kind=cast(Kind | Literal[""], choice("kind", get_args(Kind))) or kind,
        licence=text("licence"),
        split=choice("split", SPLITS),
        focal=focal,
        camera_track=track_path,
        camera_track_offset_s=number_in("camera_track_offset_s"),
        extra={name: str(value) for name, value in row.items() if name not in COLUMNS and value is not None},
        place=f"{manifest}, row {number}",
    )
