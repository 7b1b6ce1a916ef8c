"""Sources between the command line and the catalog."""

import json
from collections.abc import Mapping, Sequence
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


def register(
    dataset: Dataset, known: dict[str, SourceFile], files: Sequence[SourceFile], run_id: str
) -> list[SourceFile]:
    """Writes new and changed sources into the catalog and into `known`; returns them. Duplicates are left out."""
    changed = []
    for file in files:
        if file.error or file.duplicate_of:
            continue
        row = row_of_source(dataset, file, run_id)
        before = known.get(file.source_id)
        if before is None or row_of_source(dataset, before, run_id) != row:
            changed.append(row)
            known[file.source_id] = source_of_row(dataset, row)
    dataset.catalog.append("sources", changed)
    return [known[row["source_id"]] for row in changed]
