"""Takedown: everything that was made of a source leaves the dataset, and its content never comes back.

In this order, so that a takedown that is killed anywhere is finished by running it again: the tombstone (from then on
ingest refuses the content), shards without the source's samples, a new release, old releases, files, catalog tables.
No build may run on the dataset meanwhile: the catalog's tables are replaced.
"""

import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.dataset import Dataset, DatasetError
from pipeline.pack.rewrite import without_samples
from pipeline.search import Trace, search
from schemas.catalog import TABLES
from schemas.release import Release, ShardEntry

_SOURCE_ID = re.compile(r"^[0-9a-f]{16}$")
TOMBSTONES = "tombstones"


@dataclass(frozen=True)
class Takedown:
    """What was removed. uri: where the source's own file lies, which is not the dataset's to delete ("" where a
    takedown that was killed is being finished). traces: what the search found afterwards; must be empty.
    """

    source_id: str
    uri: str
    clips: int
    artifacts: int
    removed_shards: tuple[str, ...]
    new_shards: tuple[str, ...]
    release: int
    traces: tuple[Trace, ...]


def remove_source(dataset: Dataset, source_id: str, reason: str) -> Takedown:
    """Takes one source out of a dataset. Raises DatasetError for an unknown id, an empty reason, or a release that
    another writer published meanwhile.
    """
    if not _SOURCE_ID.match(source_id):
        raise DatasetError(f"{source_id!r} is no source id (16 hex digits; `mikudance sql` and `status` show them)")
    if not reason.strip():
        raise DatasetError("a takedown needs a reason, which the tombstone keeps")
    storage, catalog = dataset.storage, dataset.catalog
    catalog.finish_replacing()
    row = _bury(dataset, source_id, reason)
    artifacts = catalog.rows("artifacts", ["key", "stage", "source_id", "path"])
    made = [item for item in artifacts if item["source_id"] == source_id]
    clips = {item["clip_id"] for item in catalog.rows("clips", ["clip_id", "source_id"])}
    removed, new = _rewrite_shards(dataset, source_id)
    packed = _naming(dataset, [item for item in artifacts if item["stage"] == "pack"], source_id)
    for item in [*made, *packed]:
        storage.remove(item["path"])
    _rewrite_tables(dataset, source_id, {item["key"] for item in packed})
    uri = row.get("uri", "")
    needles = (source_id, row["sha256"], *([uri] if uri else []))
    return Takedown(
        source_id=source_id,
        uri=dataset.resolve_uri(uri) if uri else "",
        clips=sum(name.startswith(source_id) for name in clips),
        artifacts=len(made),
        removed_shards=removed,
        new_shards=new,
        release=dataset.newest_release_number(),
        traces=_sweep(dataset, needles),
    )


def _sweep(dataset: Dataset, needles: Sequence[str]) -> tuple[Trace, ...]:
    """What the search finds. Files that nothing names any more (left by killed runs, or by a killed takedown) are
    removed first.
    """
    allowed = (f"catalog/{TOMBSTONES}/",)
    traces = tuple(search(dataset, needles, allowed=allowed))
    named = set(dataset.catalog.read("artifacts", ["path"]).column("path").to_pylist())
    for release in dataset.releases():
        for entry in release.shards:
            named |= {entry.path, entry.index_path, entry.sha256_path}
    loose = [t.path for t in traces if t.path.startswith(("artifacts/", "shards/", "tmp/")) and t.path not in named]
    for path in loose:
        dataset.storage.remove(path)
    return tuple(search(dataset, needles, allowed=allowed)) if loose else traces


def _bury(dataset: Dataset, source_id: str, reason: str) -> dict[str, Any]:
    """Writes the tombstone if there is none. Returns the source's newest row, or what the tombstone knows of it."""
    rows = [row for row in dataset.catalog.rows("sources") if row["source_id"] == source_id]
    buried = [row for row in dataset.catalog.rows(TOMBSTONES) if row["source_id"] == source_id]
    if not rows and not buried:
        raise DatasetError(
            f"{dataset.root} has no source {source_id}; the catalog's table `sources` lists them (`mikudance sql`)"
        )
    if not buried:
        stone = {"source_id": source_id, "sha256": rows[-1]["sha256"], "reason": reason, "created_s": time.time()}
        dataset.catalog.append(TOMBSTONES, [stone])
    return rows[-1] if rows else buried[-1]


def _rewrite_shards(dataset: Dataset, source_id: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Replaces every shard that holds a sample of the source, in a new release and in all old ones.

    Returns (paths of removed shards, paths of those that took their place). Old releases keep their numbers and list
    the replacements, so each can still be loaded; their digests change, and a training run that recorded one is refused
    with that reason instead of reading what was removed.
    """
    releases = dataset.releases()
    entries = {entry.path: entry for release in releases for entry in release.shards}
    affected = {path: entry for path, entry in entries.items() if _kept(entry, source_id) != entry.samples}
    if not affected:
        return (), ()
    replaced: dict[str, ShardEntry | None] = {}
    for path, entry in sorted(affected.items()):
        kept = _kept(entry, source_id)
        replaced[path] = without_samples(dataset.storage, entry, kept) if kept else None
    history: list[Release] = []
    for release in releases:
        follows = bool(history) and history[-1].number == release.number - 1
        parent = history[-1].digest() if follows else release.parent
        shards = _replace(release.shards, replaced)
        history.append(release.model_copy(update={"parent": parent, "shards": shards}))
    newest = releases[-1]
    if history[-1].shards != newest.shards:
        following = Release(number=newest.number + 1, parent=history[-1].digest(), shards=history[-1].shards)
        # Before the old ones change: whoever asks for the newest release never meets a gap.
        if not dataset.storage.write_if_absent(following.path, _bytes(following)):
            raise DatasetError(f"another writer published release {following.number} meanwhile; run the command again")
    for release in history:
        dataset.storage.write(release.path, _bytes(release))
    for entry in affected.values():
        for path in (entry.path, entry.index_path, entry.sha256_path):
            dataset.storage.remove(path)
    return tuple(sorted(affected)), tuple(entry.path for entry in replaced.values() if entry)


def _kept(entry: ShardEntry, source_id: str) -> tuple[str, ...]:
    return tuple(name for name in entry.samples if not name.startswith(f"{source_id}_"))


def _replace(shards: Iterable[ShardEntry], replaced: dict[str, ShardEntry | None]) -> tuple[ShardEntry, ...]:
    chosen = (replaced.get(entry.path, entry) for entry in shards)
    return tuple(entry for entry in chosen if entry is not None)


def _bytes(release: Release) -> bytes:
    return release.model_dump_json(indent=1).encode() + b"\n"


def _naming(dataset: Dataset, packs: Sequence[dict[str, Any]], source_id: str) -> list[dict[str, Any]]:
    """Pack artifacts that name a clip of the source (their one column is the shard's list of clips), and those whose
    file is gone already: a takedown that was killed has removed it.
    """
    found = []
    for row in packs:
        entries = [source_id]
        if dataset.storage.exists(row["path"]):
            entries = dataset.storage.read_table(row["path"]).column("entry").to_pylist()
        if any(source_id in text for text in entries):
            found.append(row)
    return found


def _rewrite_tables(dataset: Dataset, source_id: str, packed: set[str]) -> None:
    """Every table without the source's rows, as a new Delta table: there is no earlier version to go back to.

    The sources come last, because a takedown that is run again learns the source's name from them.
    """
    for table in [name for name in TABLES if name not in (TOMBSTONES, "sources")] + ["sources"]:
        if not dataset.catalog.exists(table):
            continue
        rows = dataset.catalog.read(table)
        drop = _mentions(rows, source_id)
        if table == "artifacts":
            drop = pc.or_(drop, pc.is_in(rows.column("key"), pa.array(sorted(packed), pa.string())))
        rows = rows.filter(pc.invert(drop))
        if table == "shards":
            rows = _shard_rows(dataset, rows)
        dataset.catalog.replace(table, rows)


def _shard_rows(dataset: Dataset, rows: pa.Table) -> pa.Table:
    """The shards' rows, those of vanished shards left out and those of shards that took their place added."""
    first: dict[str, tuple[int, ShardEntry]] = {}
    for release in dataset.releases():
        for entry in release.shards:
            first.setdefault(entry.path, (release.number, entry))
    known = set(rows.column("path").to_pylist())
    rows = rows.filter(pc.is_in(rows.column("path"), pa.array(sorted(first), pa.string())))
    added = [
        {
            "path": path,
            "sha256": entry.sha256,
            "bytes": entry.bytes,
            "split": entry.split,
            "kind": entry.kind,
            "clip_id": name,
            "position": position,
            "release": number,
            "run_id": "remove",
        }
        for path, (number, entry) in sorted(first.items())
        if path not in known
        for position, name in enumerate(entry.samples)
    ]
    return pa.concat_tables([rows, pa.Table.from_pylist(added, TABLES["shards"])])


def _mentions(table: pa.Table, needle: str) -> pa.ChunkedArray:
    """Bool a row: any text column holds `needle`; a source's id is hexadecimal and starts all that is named by it."""
    found = pa.chunked_array([pa.array([False] * len(table), pa.bool_())])
    for field in table.schema:
        if pa.types.is_string(field.type):
            found = pc.or_(found, pc.fill_null(pc.match_substring(table.column(field.name), needle), False))
    return found
