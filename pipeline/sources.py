"""Sources between the command line and the catalog."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.dataset import Dataset
from pipeline.ingest.manifest import SourceError
from pipeline.ingest.sources import KnownFile, SourceFile, assign_split


def row_of_source(dataset: Dataset, source: SourceFile, run_id: str) -> dict[str, Any]:
    """A source as a row of the catalog; paths become relative to the dataset."""
    track = source.camera_track
    return {
        "source_id": source.source_id,
        "sha256": source.sha256,
        "uri": dataset.portable_uri(source.path),
        "kind": source.kind,
        "licence": source.licence,
        "split": source.split or assign_split(source.source_id, dataset.config.ingest.splits),
        "bytes": source.bytes,
        "mtime_ns": source.mtime_ns,
        "focal": source.focal,
        "camera_track": dataset.portable_uri(track) if track else None,
        "camera_track_sha256": source.camera_track_sha256,
        "camera_track_offset_s": source.camera_track_offset_s,
        "duplicate_of": source.duplicate_of,
        "extra": json.dumps(source.extra, sort_keys=True),
        "run_id": run_id,
    }


def source_of_row(dataset: Dataset, row: Mapping[str, Any]) -> SourceFile:
    """The source of a catalog row, with paths that this machine can open."""
    track = row["camera_track"]
    path = dataset.resolve_uri(row["uri"])
    return SourceFile(
        source_id=row["source_id"],
        sha256=row["sha256"],
        path=path,
        uri=row["uri"],
        kind=row["kind"],
        licence=row["licence"],
        split=row["split"],
        bytes=row["bytes"],
        mtime_ns=row["mtime_ns"],
        focal=row["focal"],
        camera_track=dataset.resolve_uri(track) if track else None,
        camera_track_sha256=row["camera_track_sha256"],
        camera_track_offset_s=row["camera_track_offset_s"] or 0.0,
        extra=json.loads(row["extra"] or "{}"),
        duplicate_of=row["duplicate_of"],
        error=None,
        retired=row["duplicate_of"] not in (None, row["source_id"]),
    )


def known_files(sources: Mapping[str, SourceFile]) -> dict[str, KnownFile]:
    """What discovery needs to skip hashing files that did not change."""
    return {
        s.path: KnownFile(s.bytes, s.mtime_ns, s.sha256, s.camera_track, s.camera_track_offset_s)
        for s in sources.values()
        if not s.retired
    }


@dataclass(frozen=True)
class Registration:
    """What became of the files of a command. changed: sources written to the catalog; duplicates: (file, the path used
    instead); unreadable: files with an error; refused: files whose content was removed on request (a tombstone);
    retired: (source, the one whose file took its file's place).
    """

    changed: tuple[SourceFile, ...]
    duplicates: tuple[tuple[SourceFile, str], ...]
    unreadable: tuple[SourceFile, ...]
    source_ids: tuple[str, ...]
    refused: tuple[SourceFile, ...] = ()
    retired: tuple[tuple[SourceFile, SourceFile], ...] = ()


def register(
    dataset: Dataset,
    known: dict[str, SourceFile],
    files: Sequence[SourceFile],
    run_id: str,
    *,
    reassign: bool = False,
) -> Registration:
    """Writes new and changed sources into the catalog and into `known`. Equal content is used once; content
    that was removed on request is refused; a source whose file is another one now is retired.

    What a file is registered without goes on as it is known. reassign: a kind or split that is not the known one takes
    its place; else it raises SourceError.
    """
    rows: list[dict[str, Any]] = []
    duplicates, unreadable, ids, refused = [], [], [], []
    buried = set(dataset.catalog.read("tombstones", ["sha256"]).column("sha256").to_pylist())
    retired = _replaced(known, [file for file in files if not file.error and file.sha256 not in buried])
    named = {file.source_id for file in files}
    for old, new in retired:
        known[old.source_id] = replace(old, retired=True, duplicate_of=new.source_id)
        if old.source_id not in named:  # else its file was moved, which is registered below
            rows.append(row_of_source(dataset, known[old.source_id], run_id))
    for file in files:
        if file.error:
            unreadable.append(file)
            continue
        if file.sha256 in buried:
            refused.append(file)
            continue
        ids.append(file.source_id)
        before = known.get(file.source_id)
        used = before is not None and not before.retired
        if before and used and before.path != file.path and (file.duplicate_of or Path(before.path).exists()):
            duplicates.append((file, before.path))
            continue
        row = row_of_source(dataset, completed(file, before, reassign=reassign) if before else file, run_id)
        if not (before and used) or row_of_source(dataset, before, run_id) != row:
            rows.append(row)
            known[file.source_id] = source_of_row(dataset, row)
    dataset.catalog.append("sources", rows)
    return Registration(
        changed=tuple(source for row in rows if not (source := known[row["source_id"]]).retired),
        duplicates=tuple(duplicates),
        unreadable=tuple(unreadable),
        source_ids=tuple(dict.fromkeys([*ids, *(old.source_id for old, _ in retired)])),
        refused=tuple(refused),
        retired=tuple(retired),
    )


def _replaced(known: Mapping[str, SourceFile], files: Sequence[SourceFile]) -> list[tuple[SourceFile, SourceFile]]:
    """Sources in use whose path now holds another content, which is that file's."""
    now = {file.path: file for file in files}
    used = [source for source in known.values() if not source.retired and source.path in now]
    return [(source, now[source.path]) for source in used if now[source.path].source_id != source.source_id]


def check_sources(known: Mapping[str, SourceFile], files: Sequence[SourceFile], *, reassign: bool) -> None:
    """Raises what `register` would raise of these files, before anything is written."""
    for file in files:
        if not file.error and file.source_id in known:
            completed(file, known[file.source_id], reassign=reassign)


def completed(file: SourceFile, before: SourceFile, *, reassign: bool) -> SourceFile:
    """A file with what is known of its content and was not said again. Raises SourceError for a kind or split that
    contradicts what is known, unless `reassign`.
    """
    said = {"kind": file.kind if file.kind_given else before.kind, "split": file.split or before.split}
    for name, value in said.items():
        if value != getattr(before, name) and not reassign:
            raise SourceError(
                f"{file.uri} is in the dataset as {name} {getattr(before, name)} and is named as {value}: leave the "
                f"{name} out to keep it, or give --reassign to change it (its clips go into new shards)"
            )
    return replace(
        file,
        **said,  # type: ignore[arg-type]
        licence=file.licence or before.licence,
        focal=before.focal if file.focal is None else file.focal,
        extra={**before.extra, **file.extra},
    )
