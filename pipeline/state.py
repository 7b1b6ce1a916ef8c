"""What the catalog knows, read once at the start of a command: sources, clips, artifacts and failures."""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from pipeline.dataset import Dataset
from pipeline.ingest.sources import SourceFile
from pipeline.planner import SourceFacts
from pipeline.sources import source_of_row
from schemas.clip import Clip


@dataclass(frozen=True, slots=True)
class ArtifactFacts:
    """What packing and status need of an artifact. quality: JSON, "{}" where `read_state` was not asked for it."""

    bytes: int
    status: str
    quality: str

    def figures(self) -> dict[str, float]:
        return dict(json.loads(self.quality))


@dataclass
class State:
    """The catalog in memory. `artifacts` and `failed` are by key, `sources` by id (newest row), `clips` by the
    ingest artifact that cut them and clip id.
    """

    sources: dict[str, SourceFile] = field(default_factory=dict)
    clips: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    artifacts: dict[str, ArtifactFacts] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)

    def facts(self) -> dict[str, SourceFacts]:
        return {name: SourceFacts(s.sha256, s.camera_track_sha256 or "") for name, s in self.sources.items()}

    def usable_sources(self) -> list[SourceFile]:
        """Sources that are used, in order of id."""
        return [self.sources[name] for name in sorted(self.sources)]


def read_state(dataset: Dataset, *, figures_of: Collection[str] | None = None) -> State:
    """Reads the catalog. Costs a scan of each table's needed columns.

    figures_of: stages whose quality figures are wanted, None for all; they are most of what a state holds.
    """
    catalog = dataset.catalog
    state = State()
    for row in sorted(catalog.rows("sources"), key=lambda row: row["run_id"]):
        state.sources[row["source_id"]] = source_of_row(dataset, row)
    clips = catalog.read("clips")
    for values in zip(*_columns(clips), strict=True):
        row = dict(zip(clips.schema.names, values, strict=True))
        state.clips.setdefault(row["ingest_key"], {})[row["clip_id"]] = row
    figures: dict[str, str] = {}
    if figures_of is None:
        figures = dict(zip(*_columns(catalog.read("artifacts", ["key", "quality"])), strict=True))
    elif figures_of:
        rows = catalog.select("artifacts", "stage", figures_of, ["key", "quality"])
        figures = {row["key"]: row["quality"] for row in rows}
    columns = _columns(catalog.read("artifacts", ["key", "bytes", "status"]))
    state.artifacts = {
        key: ArtifactFacts(size, status, figures.get(key, "{}")) for key, size, status in zip(*columns, strict=True)
    }
    failures = catalog.read("failures", ["key"]).column("key").to_pylist()
    state.failed = set(failures) - state.artifacts.keys()
    return state


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
