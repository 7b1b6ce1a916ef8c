"""Sources between the command line and the catalog."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.dataset import Dataset
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
    )


def known_files(sources: Mapping[str, SourceFile]) -> dict[str, KnownFile]:
    """What discovery needs to skip hashing files that did not change."""
    return {s.path: KnownFile(s.bytes, s.mtime_ns, s.sha256) for s in sources.values()}


@dataclass(frozen=True)
class Registration:
    """What became of the files of a command. changed: sources written to the catalog; duplicates: (file, the path used
    instead); unreadable: files with an error; refused: files whose content was removed on request (a tombstone).
    """

    changed: tuple[SourceFile, ...]
    duplicates: tuple[tuple[SourceFile, str], ...]
    unreadable: tuple[SourceFile, ...]
    source_ids: tuple[str, ...]
    refused: tuple[SourceFile, ...] = ()


def register(dataset: Dataset, known: dict[str, SourceFile], files: Sequence[SourceFile], run_id: str) -> Registration:
    """Writes new and changed sources into the catalog and into `known`. Equal content is used once; content
    that was removed on request is refused.
    """
    rows: list[dict[str, Any]] = []
    duplicates, unreadable, ids, refused = [], [], [], []
    buried = set(dataset.catalog.read("tombstones", ["sha256"]).column("sha256").to_pylist())
    for file in files:
        if file.error:
            unreadable.append(file)
            continue
        if file.sha256 in buried:
            refused.append(file)
            continue
        ids.append(file.source_id)
        before = known.get(file.source_id)
        if before is not None and before.path != file.path and (file.duplicate_of or Path(before.path).exists()):
            duplicates.append((file, before.path))
            continue
        row = row_of_source(dataset, file, run_id)
        if before is None or row_of_source(dataset, before, run_id) != row:
            rows.append(row)
            known[file.source_id] = source_of_row(dataset, row)
    dataset.catalog.append("sources", rows)
    return Registration(
        changed=tuple(known[row["source_id"]] for row in rows),
        duplicates=tuple(duplicates),
        unreadable=tuple(unreadable),
        source_ids=tuple(dict.fromkeys(ids)),
        refused=tuple(refused),
    )
