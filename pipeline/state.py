"""What the catalog knows, read once at the start of a command: sources, clips, artifacts and failures."""

import gc
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pyarrow as pa

from pipeline.dataset import Dataset
from pipeline.ingest.sources import SourceFile
from pipeline.planner import SourceFacts
from pipeline.sources import source_of_row
from schemas.clip import Clip

OF_NO_SOURCE = ""
"""What the catalog names as the source of a shard's artifact."""


class ArtifactFacts(NamedTuple):
    """What packing and status need of an artifact. quality: JSON, "{}" where `read_state` was not asked for it."""

    bytes: int
    status: str
    quality: str

    def figures(self) -> dict[str, float]:
        return dict(json.loads(self.quality))


@dataclass
class State:
    """The catalog in memory. `artifacts` and `failed` are by key, `sources` by id (newest row), `clips` by the
    ingest artifact that cut them and clip id. `only`: sources whose clips, artifacts and failures are held, None for
    all.
    """

    sources: dict[str, SourceFile] = field(default_factory=dict)
    clips: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    artifacts: dict[str, ArtifactFacts] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    only: frozenset[str] | None = None

    def facts(self) -> dict[str, SourceFacts]:
        return {name: SourceFacts(s.sha256, s.camera_track_sha256 or "") for name, s in self.sources.items()}

    def usable_sources(self) -> list[SourceFile]:
        """Sources that are used and whose clips are held, in order of id."""
        held = self.sources if self.only is None else self.only & self.sources.keys()
        return [self.sources[name] for name in sorted(held) if not self.sources[name].retired]

    def retired(self) -> frozenset[str]:
        """Sources that are used no more: their file was replaced by another one."""
        return frozenset(name for name, source in self.sources.items() if source.retired)


@contextmanager
def collector_paused() -> Iterator[None]:
    """Keeps Python's garbage collector still while objects by the hundred thousand are made to stay: it would look
    through all of them again and again, which took two thirds of the time of reading a large catalog.
    """
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def read_state(dataset: Dataset, *, figures_of: Collection[str] | None = None) -> State:
    """Reads the catalog. Costs a scan of each table's needed columns.

    figures_of: stages whose quality figures are wanted, None for all; they are most of what a state holds.
    """
    state = State(sources=read_sources(dataset))
    read_items(dataset, state, figures_of=figures_of)
    return state


def read_sources(dataset: Dataset) -> dict[str, SourceFile]:
    """The newest row of every source, by id."""
    rows = sorted(dataset.catalog.rows("sources"), key=lambda row: row["run_id"])
    return {row["source_id"]: source_of_row(dataset, row) for row in rows}


def read_items(
    dataset: Dataset, state: State, *, figures_of: Collection[str] | None = None, only: Collection[str] | None = None
) -> None:
    """Puts clips, artifacts and failures into a state whose sources are known, in place of those that it holds.

    figures_of: stages whose quality figures are wanted, None for all; with `only` all are read. only: sources to read,
    None for all. The tables are scanned whole either way, but rows of other sources are dropped before they become
    objects, which is what costs time and memory.
    """
    state.only = None if only is None else frozenset(only)
    with collector_paused():
        clips = _read(dataset, "clips", None, state.only)
        state.clips = {}
        for values in zip(*_columns(clips), strict=True):
            row = dict(zip(clips.schema.names, values, strict=True))
            state.clips.setdefault(row["ingest_key"], {})[row["clip_id"]] = row
        held = None if state.only is None else state.only | {OF_NO_SOURCE}
        keys, sizes, statuses = _columns(_read(dataset, "artifacts", ["key", "bytes", "status"], held))
        figures = _figures(dataset, figures_of, held)
        qualities = (figures.get(key, "{}") for key in keys)
        state.artifacts = dict(zip(keys, map(ArtifactFacts, sizes, statuses, qualities), strict=True))
    failures = _read(dataset, "failures", ["key"], state.only).column("key").to_pylist()
    state.failed = set(failures) - state.artifacts.keys()


def _read(dataset: Dataset, table: str, columns: list[str] | None, sources: frozenset[str] | None) -> pa.Table:
    catalog = dataset.catalog
    return catalog.read(table, columns) if sources is None else catalog.matching(table, "source_id", sources, columns)


def _figures(dataset: Dataset, stages: Collection[str] | None, sources: frozenset[str] | None) -> dict[str, str]:
    """Quality figures (JSON) by artifact key: of these stages and sources, None for all."""
    columns = ["key", "quality"]
    if sources is not None or stages is None:
        table = _read(dataset, "artifacts", columns, sources)
    else:
        table = dataset.catalog.matching("artifacts", "stage", stages, columns)
    return dict(zip(*_columns(table), strict=True))


def _columns(table: pa.Table) -> list[list[Any]]:
    """A table's columns. Equal texts of a chunk are one object: at 840,000 rows copies of ids would fill memory."""
    columns = []
    for name in table.schema.names:
        values: list[Any] = []
        for chunk in table.column(name).chunks:
            if pa.types.is_string(chunk.type):
                encoded = chunk.dictionary_encode()
                texts = encoded.dictionary.to_pylist()
                values += [None if place is None else texts[place] for place in encoded.indices.to_pylist()]
            else:
                values += chunk.to_pylist()
        columns.append(values)
    return columns


def make_clip(row: Mapping[str, Any], source: SourceFile) -> Clip:
    """A clip as the stages see it, with paths that this machine can open."""
    return Clip(
        clip_id=row["clip_id"],
        source_id=row["source_id"],
        kind=source.kind,
        split=source.split,
        first_frame=row["first_frame"],
        frame_count=row["frame_count"],
        fps=(row["fps_numerator"], row["fps_denominator"]),
        start_s=row["start_s"],
        video=source.path,
        camera_track=source.camera_track,
        camera_track_offset_s=source.camera_track_offset_s,
        focal=source.focal,
        video_stat=(source.bytes, source.mtime_ns),
    )


def clip_row(clip: Clip, ingest_key: str, run_id: str) -> dict[str, Any]:
    """A clip as a row of the catalog."""
    return {
        "clip_id": clip.clip_id,
        "source_id": clip.source_id,
        "kind": clip.kind,
        "split": clip.split,
        "first_frame": clip.first_frame,
        "frame_count": clip.frame_count,
        "fps_numerator": clip.fps[0],
        "fps_denominator": clip.fps[1],
        "start_s": clip.start_s,
        "ingest_key": ingest_key,
        "run_id": run_id,
    }


def clips_of_sources(state: State, ingest_keys: Mapping[str, str], sources: Iterable[str]) -> list[Clip]:
    """The clips that the current ingest of these sources cut, in order of clip id.

    ingest_keys: ingest artifact key by source; a clip cut under other settings has another and is left out.
    """
    clips = [
        make_clip(row, state.sources[source])
        for source in sources
        for row in state.clips.get(ingest_keys[source], {}).values()
    ]
    return sorted(clips, key=lambda clip: clip.clip_id)
