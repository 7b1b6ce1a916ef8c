"""Checks every file of a dataset against what the catalog and the releases say of it, and finds what neither names."""

import io
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.dataset import CONFIG, Dataset, DatasetError
from pipeline.pack.files import checksum_line
from pipeline.storage import TEMPORARY, StorageError
from schemas.artifacts import camera, depth, frames, ingest, pose, scene_motion, style
from schemas.artifacts.header import ArtifactError, check_schema, npy_array, read_header
from schemas.release import INDEX_SCHEMA, Release, ShardEntry, release_path
from schemas.sample import SampleError, SampleJson, check_sample

Kind = Literal["missing", "changed", "schema", "shard", "index", "sample", "release", "orphan", "leftover"]
SCHEMAS = {
    "ingest": ingest.SCHEMA,
    "decode": frames.SCHEMA,
    "pose": pose.SCHEMA,
    "camera": camera.SCHEMA,
    "depth": depth.SCHEMA,
    "scene_motion": scene_motion.SCHEMA,
    "stylize": style.SCHEMA,
}
HARMLESS: frozenset[Kind] = frozenset({"orphan", "leftover"})
_RELEASE = re.compile(r"^releases/(\d{4,})\.json$")
_ROWS = 10_000


@dataclass(frozen=True)
class Finding:
    """Something wrong: what kind, which file (relative to the dataset), and why. key: the artifact's, if any."""

    kind: Kind
    path: str
    reason: str
    key: str = ""

    @property
    def damage(self) -> bool:
        """Orphans and leftovers of killed runs waste space; everything else is damage."""
        return self.kind not in HARMLESS


def verify(dataset: Dataset, *, deep: bool = True) -> Iterator[Finding]:
    """All findings, as they are found. deep: read and check contents too, not only presence and size."""
    releases: list[Release] = []
    yield from _check_releases(dataset, releases)
    artifacts = _newest(dataset.catalog.read("artifacts", ["key", "stage", "path", "sha256", "bytes"]))
    shards = {entry.path: entry for release in releases for entry in release.shards}
    for batch in artifacts.to_batches(max_chunksize=_ROWS):  # a million rows as Python objects would fill memory
        for row in batch.to_pylist():
            yield from _check_artifact(dataset, row, deep)
    for entry in shards.values():
        yield from _check_shard(dataset, entry, deep)
    known = {path for e in shards.values() for path in (e.path, e.index_path, e.sha256_path)}
    yield from _find_orphans(dataset, known.union(artifacts.column("path").to_pylist()))


def _newest(table: pa.Table) -> pa.Table:
    """The last row of each key."""
    last = {key: place for place, key in enumerate(table.column("key").to_pylist())}
    return table.take(pa.array(last.values(), pa.int64()))


def _check_releases(dataset: Dataset, found: list[Release]) -> Iterator[Finding]:
    """Appends those that can be read to `found`. Counts up to the highest number that is there or that the catalog
    knows, across gaps.
    """
    matches = map(_RELEASE.match, dataset.storage.list("releases"))
    numbers = {int(match[1]) for match in matches if match}
    recorded = pc.max(dataset.catalog.read("shards", ["release"]).column("release")).as_py() or 0
    last, parent = max(recorded, *numbers, 0), ""
    for number in range(1, last + 1):
        path = release_path(number)
        if number not in numbers:
            yield Finding("release", path, f"is not there, although {last} releases were published")
            continue
        try:
            release = dataset.release(number)
        except DatasetError as error:
            yield Finding("release", path, str(error))
            continue
        if release.number != number:
            yield Finding("release", path, f"the file says it is release {release.number}")
        if found and found[-1].number == number - 1 and release.parent != parent:
            yield Finding("release", path, f"its parent's digest is not that of release {number - 1}: one was changed")
        parent = release.digest()
        found.append(release)


def _check_artifact(dataset: Dataset, row: dict[str, Any], deep: bool) -> Iterator[Finding]:
    path, storage = row["path"], dataset.storage
    if not storage.exists(path):
        yield Finding("missing", path, "named by the catalog but not there", row["key"])
    elif storage.size(path) != row["bytes"]:
        yield Finding("changed", path, f"{storage.size(path)} bytes, the catalog says {row['bytes']}", row["key"])
    elif deep and storage.sha256(path) != row["sha256"]:
        yield Finding("changed", path, "sha256 differs from the catalog's", row["key"])
    elif deep and row["stage"] in SCHEMAS:
        try:
            table = storage.read_table(path)
            check_schema(table, SCHEMAS[row["stage"]])
            read_header(table, row["stage"])
        except (ArtifactError, StorageError) as error:
            yield Finding("schema", path, str(error), row["key"])


def _check_shard(dataset: Dataset, entry: ShardEntry, deep: bool) -> Iterator[Finding]:
    storage = dataset.storage
    for path in (entry.path, entry.index_path, entry.sha256_path):
        if not storage.exists(path):
            yield Finding("missing", path, "named by a release but not there")
            return
    if storage.size(entry.path) != entry.bytes:
        yield Finding("shard", entry.path, f"{storage.size(entry.path)} bytes, the release says {entry.bytes}")
        return
    if storage.sha256(entry.index_path) != entry.index_sha256:
        yield Finding("index", entry.index_path, "sha256 differs from the release's")
    if not deep:
        return
    if storage.sha256(entry.path) != entry.sha256:
        yield Finding("shard", entry.path, "sha256 differs from the release's")
    if storage.read(entry.sha256_path) != checksum_line(entry):
        yield Finding("shard", entry.sha256_path, "does not hold the release's sha256 and the shard's name")
    try:
        yield from _check_contents(dataset, entry)
    except (tarfile.TarError, OSError, ValueError, KeyError, EOFError) as error:
        yield Finding("shard", entry.path, f"cannot be read as a shard: {error}")


def _check_contents(dataset: Dataset, entry: ShardEntry) -> Iterator[Finding]:
    """Walks the tar itself and compares it with the index, and each sample with the contract."""
    index = pq.read_table(io.BytesIO(dataset.storage.read(entry.index_path)), use_threads=False)
    check_schema(index, INDEX_SCHEMA)
    wanted = list(zip(*(index.column(name).to_pylist() for name in INDEX_SCHEMA.names), strict=True))
    found: list[tuple[str, str, int, int]] = []
    order: list[str] = []
    places = {name: place for place, name in enumerate(entry.samples)}
    sample: dict[str, Any] = {}
    with dataset.storage.open(entry.path) as file, tarfile.open(fileobj=file, mode="r:") as tar:
        for member in tar:
            name, _, field = member.name.partition(".")
            # A sparse member unpacks to any size, whatever the archive's own.
            if not member.isreg() or member.issparse() or "/" in member.name:
                yield Finding("shard", entry.path, f"member {member.name!r} is not a plain file")
                continue
            if not order or order[-1] != name:
                yield from _check_sample(entry, places, order[-1] if order else "", sample)
                order.append(name)
                sample = {}
            found.append((name, field, member.offset_data, member.size))
            data = tar.extractfile(member)
            sample[field] = _decode(field, data.read() if data else b"")
    yield from _check_sample(entry, places, order[-1] if order else "", sample)
    if found != wanted:
        place = next((i for i, pair in enumerate(zip(found, wanted, strict=False)) if pair[0] != pair[1]), None)
        where = f"from row {place}" if place is not None else f"{len(wanted)} rows for {len(found)} members"
        yield Finding("index", entry.index_path, f"does not agree with the tar ({where})")
    if tuple(order) != entry.samples:
        yield Finding("shard", entry.path, "does not hold the samples that the release says, in that order")


def _check_sample(
    entry: ShardEntry, places: Mapping[str, int], name: str, members: dict[str, Any]
) -> Iterator[Finding]:
    if not members:
        return
    try:
        meta = check_sample(members)
    except (SampleError, ValueError) as error:
        yield Finding("sample", entry.path, f"{name}: {error}")
        return
    place = places.get(name)
    if place is not None and (len(meta.timestamps), meta.frame_step) != (entry.frames[place], entry.frame_steps[place]):
        yield Finding("sample", entry.path, f"{name}: frames or frame step differ from the release's")
    if (meta.split, meta.kind, meta.clip_id) != (entry.split, entry.kind, name):
        yield Finding("sample", entry.path, f"{name}: its json says {meta.split} {meta.kind} {meta.clip_id}")


def _decode(field: str, data: bytes) -> object:
    if field == "json":
        return SampleJson.model_validate_json(data)
    if field.endswith(".npy"):
        return npy_array(data)
    start = data[:3]
    if start != b"\xff\xd8\xff":
        raise ValueError(f"{field} is no JPEG")
    return np.frombuffer(data, np.uint8)


def _find_orphans(dataset: Dataset, known: set[str]) -> Iterator[Finding]:
    for folder in ("artifacts", "shards", "releases", "tmp"):
        for path in dataset.storage.list(folder):
            name = path.rpartition("/")[2]
            if name.startswith(TEMPORARY):
                yield Finding("leftover", path, "left behind by a writer that was killed")
            elif folder == "releases":
                if not _RELEASE.match(path):
                    yield Finding("orphan", path, "is no release")
            elif path not in known and path != CONFIG:
                yield Finding("orphan", path, "neither the catalog nor a release names it")
