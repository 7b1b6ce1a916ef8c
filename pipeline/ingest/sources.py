"""Which files a run is about: files, folders, globs and manifests to sources, each known by its content."""

import glob
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from stat import S_ISREG
from typing import Literal

from pipeline.ingest.manifest import MANIFEST_SUFFIXES, Entry, SourceError, local_path, read_manifest, together
from schemas.clip import Kind
from schemas.config import file_sha256
from schemas.ids import SOURCE_ID_LENGTH, seed_from
from stages.ingest import IngestConfig, Splits

__all__ = ["VIDEO_SUFFIXES", "KnownFile", "SourceError", "SourceFile", "assign_split", "discover"]

VIDEO_SUFFIXES = frozenset(
    {".3gp", ".asf", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf"}
    | {".ogv", ".ts", ".vob", ".webm", ".wmv"}
)
"""What a folder is searched for. A file named by itself or by a manifest may have any name."""
_SUFFIXES = " ".join(sorted(VIDEO_SUFFIXES))
_HASHERS = 8
MAX_TRACK_BYTES = 256 << 20


@dataclass(frozen=True)
class KnownFile:
    """A file as an earlier run saw it: hashed again only when its size or time changed. camera_track: the path of the
    track that it was registered with, which goes on unless another one is named.
    """

    bytes: int
    mtime_ns: int
    sha256: str
    camera_track: str | None = None
    camera_track_offset_s: float = 0.0


@dataclass(frozen=True)
class SourceFile:
    """One source video.

    source_id: first 16 hex digits of the content's sha256; "unread-…" where it could not be read (`error` says why).
    path: absolute; uri: as given. kind_given: whether somebody said the kind, or it is the command's default. split:
    from the manifest, or "" to decide by hash. retired: its file was replaced by another one. focal: focal length
    over frame width, or None. camera_track: absolute path of an MMD camera track (.vmd) or None; camera_track_offset_s:
    video time of its first frame, seconds. extra: the manifest's further columns. duplicate_of: source_id of equal
    content found before, which is used instead, or None.
    """

    source_id: str
    sha256: str
    path: str
    uri: str
    kind: Kind
    licence: str = ""
    split: str = ""
    bytes: int = 0
    mtime_ns: int = 0
    focal: float | None = None
    camera_track: str | None = None
    camera_track_sha256: str | None = None
    camera_track_offset_s: float = 0.0
    extra: dict[str, str] = field(default_factory=dict)
    duplicate_of: str | None = None
    error: str | None = None
    kind_given: bool = True
    retired: bool = False


def discover(
    arguments: Sequence[str],
    *,
    kind: Kind,
    config: IngestConfig,
    known: Mapping[str, KnownFile],
    kind_given: bool = True,
    warn: Callable[[str], None] = lambda text: None,
) -> list[SourceFile]:
    """The sources that command-line arguments name, in a stable order; a file named twice is taken once.

    An argument is a video file, a folder (searched through all levels for video suffixes), a glob (`**` too) or a
    manifest (.csv, .parquet). `kind` holds where the manifest gives none; kind_given: whether somebody said it. `known`
    maps absolute paths to what an earlier run saw. warn: is told of what looks like a mistake. A file that cannot be
    read becomes a source with an `error`; raises SourceError for an argument that names no video, a manifest that
    cannot be understood, and two that contradict each other about one video.
    """
    entries: dict[str, Entry] = {}
    for argument in arguments:
        for entry in _expand(argument, kind if kind_given else "", warn):
            name = str(entry.path)
            entries[name] = together(entries[name], entry) if name in entries else entry
    with ThreadPoolExecutor(_HASHERS) as pool:
        found = list(pool.map(lambda entry: _read(entry, kind, config, known), entries.values()))
    first_of: dict[str, Entry] = {}
    unique = []
    for entry, source in zip(entries.values(), found, strict=True):
        if source.error is None:
            original = first_of.setdefault(source.sha256, entry)
            together(original, entry)  # raises where they contradict each other
            if original is not entry:
                source = replace(source, duplicate_of=source.source_id)
        unique.append(source)
    return unique


def assign_split(source_id: str, fractions: Splits) -> str:
    """train, val or test: a function of the source alone, so that all its clips share it and it never changes."""
    place = seed_from("split", source_id) / 2**63
    if place < fractions.test:
        return "test"
    return "val" if place < fractions.test + fractions.val else "train"


def _expand(argument: str, kind: Kind | Literal[""], warn: Callable[[str], None]) -> Iterator[Entry]:
    path = local_path(argument, Path.cwd())
    if path.is_dir():
        files = _videos_below(path)
        if not files:
            raise SourceError(f"{argument}: no video in this folder (looked for {_SUFFIXES})")
        for file in files:
            yield Entry(path=file, uri=str(Path(argument) / file.relative_to(path)), kind=kind, place=argument)
    elif path.is_file():
        if path.suffix.lower() in MANIFEST_SUFFIXES:
            yield from read_manifest(path, kind, warn)
        else:
            yield Entry(path=path, uri=argument, kind=kind, place=argument)
    elif glob.has_magic(argument):
        names = sorted(glob.glob(argument, recursive=True))  # noqa: PTH207 - the pattern may be absolute
        if not names:
            raise SourceError(f"{argument}: the pattern matches nothing")
        wanted = [name for name in names if Path(name).suffix.lower() in VIDEO_SUFFIXES | MANIFEST_SUFFIXES]
        folders = [name for name in names if name not in wanted and _videos_below(Path(name))]
        if not wanted and not folders:
            raise SourceError(f"{argument}: the pattern matches no video (looked for {_SUFFIXES})")
        for name in sorted([*wanted, *folders]):
            yield from _expand(name, kind, warn)
    else:
        raise SourceError(f"{argument}: no such file or folder")


def _videos_below(folder: Path) -> list[Path]:
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [
            Path(place) / name
            for name in sorted(names)
            if not name.startswith(".") and Path(name).suffix.lower() in VIDEO_SUFFIXES
        ]
    return found


def _read(entry: Entry, kind: Kind, config: IngestConfig, known: Mapping[str, KnownFile]) -> SourceFile:
    path = str(entry.path)
    track, offset_s = entry.camera_track or _track_beside(entry.path), entry.camera_track_offset_s
    try:
        stat = entry.path.stat()
        if stat.st_size == 0:
            raise OSError("the file is empty (0 bytes)")
        if stat.st_size > config.limits.max_bytes:
            raise OSError(f"{stat.st_size} bytes are more than limits.max_bytes = {config.limits.max_bytes}")
        seen = known.get(path)
        if seen and (seen.bytes, seen.mtime_ns) == (stat.st_size, stat.st_mtime_ns):
            digest = seen.sha256
        else:
            with entry.path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        if seen and seen.sha256 == digest and seen.camera_track and entry.camera_track is None:
            if Path(seen.camera_track).is_file():  # one that was taken away is given up
                track = Path(seen.camera_track)
            offset_s = seen.camera_track_offset_s if offset_s is None else offset_s
        track_digest = _track_digest(track) if track else None
    except OSError as error:
        reason = error.strerror or str(error)
        if error.filename and error.filename != path:
            reason = f"camera track {error.filename}: {reason}"
        name = f"unread-{hashlib.sha256(path.encode()).hexdigest()[:SOURCE_ID_LENGTH]}"
        return _source(entry, name, kind, error=f"{entry.uri}: {reason}")
    return _source(
        entry,
        digest[:SOURCE_ID_LENGTH],
        kind,
        sha256=digest,
        size=stat.st_size,
        mtime_ns=stat.st_mtime_ns,
        track=track,
        track_digest=track_digest,
        offset_s=offset_s,
    )


def _source(
    entry: Entry,
    source_id: str,
    kind: Kind,
    *,
    sha256: str = "",
    size: int = 0,
    mtime_ns: int = 0,
    track: Path | None = None,
    track_digest: str | None = None,
    offset_s: float | None = None,
    error: str | None = None,
) -> SourceFile:
    return SourceFile(
        source_id=source_id,
        sha256=sha256,
        path=str(entry.path),
        uri=entry.uri,
        kind=entry.kind or kind,
        kind_given=bool(entry.kind),
        licence=entry.licence,
        split=entry.split,
        bytes=size,
        mtime_ns=mtime_ns,
        focal=entry.focal,
        camera_track=str(track) if track else None,
        camera_track_sha256=track_digest,
        camera_track_offset_s=offset_s or 0.0,
        extra=entry.extra,
        error=error,
    )


def _track_digest(track: Path) -> str:
    # Manifests name tracks freely: a device or a pipe would be read for ever.
    stat = track.stat()
    if not S_ISREG(stat.st_mode):
        raise OSError(0, "is no plain file", str(track))
    if stat.st_size > MAX_TRACK_BYTES:
        raise OSError(0, f"{stat.st_size} bytes are more than a motion file has", str(track))
    return file_sha256(track)


def _track_beside(path: Path) -> Path | None:
    """`clip.vmd` beside `clip.mp4`."""
    track = path.with_suffix(".vmd")
    return track if track.is_file() else None
