"""Clip ranges from the shots of a source; no clip crosses a cut."""

from typing import Protocol

import pyarrow as pa

from schemas.artifacts.ingest import IngestArtifact
from schemas.clip import Clip, Kind
from schemas.ids import clip_id
from stages.ingest import IngestConfig


class SourceLike(Protocol):
    """What a clip takes from its source; `SourceFile` is one, a catalog row made into an object another."""

    @property
    def source_id(self) -> str: ...
    @property
    def kind(self) -> Kind: ...
    @property
    def split(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def focal(self) -> float | None: ...
    @property
    def camera_track(self) -> str | None: ...
    @property
    def camera_track_offset_s(self) -> float: ...


def clips_of(table: pa.Table, source: SourceLike, config: IngestConfig) -> list[Clip]:
    """The clips of a source, in order of time. `table` is its ingest artifact."""
    artifact = IngestArtifact.from_table(table)
    return [
        Clip(
            clip_id=clip_id(source.source_id, first, count),
            source_id=source.source_id,
            kind=source.kind,
            split=source.split,
            first_frame=first,
            frame_count=count,
            fps=artifact.fps,
            start_s=artifact.start_s,
            video=source.path,
            camera_track=source.camera_track,
            camera_track_offset_s=source.camera_track_offset_s,
            focal=source.focal,
        )
        for shot in artifact.shots
        for first, count in ranges(shot.first_frame, shot.frame_count, config)
    ]


def ranges(first: int, length: int, config: IngestConfig) -> list[tuple[int, int]]:
    """(first frame, frames) of the clips of one shot.

    Full clips follow each other `clip_frames − overlap` apart. The frames after the last full one are the tail: with
    `keep` a clip of their own (with the overlap) if that has `min_frames`; with `drop` left out; with `merge` added to
    the last clip; with `shift` covered by one more full clip that ends with the shot. A shot shorter than one clip is
    one clip, whatever the policy, if it has `min_frames`.
    """
    size, step = config.clip_frames, config.clip_frames - config.overlap
    if length < size:
        return [(first, length)] if length >= config.min_frames else []
    full = (length - size) // step + 1
    found = [(first + i * step, size) for i in range(full)]
    end = first + length
    tail = end - (found[-1][0] + size)
    if tail == 0 or config.tail == "drop":
        return found
    if config.tail == "merge":
        found[-1] = (found[-1][0], size + tail)
    elif config.tail == "shift":
        found.append((end - size, size))
    elif end - (first + full * step) >= config.min_frames:
        found.append((first + full * step, end - (first + full * step)))
    return found
