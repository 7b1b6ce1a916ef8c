"""Shards, indexes, samples and artifacts against their checksums, with the fault named where its cause shows."""

import io
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.checks.verdict import CheckResult, Finding
from pipeline.dataset import Dataset
from pipeline.verify import Finding as FileFinding
from pipeline.verify import verify
from schemas.release import INDEX_SCHEMA, ShardEntry

_ARTIFACTS = ("missing", "changed", "schema")


def check_files(dataset: Dataset, *, deep: bool = True) -> list[CheckResult]:
    """Every file that the catalog or a release names. deep: contents too, not only presence and size."""
    found = [finding for finding in verify(dataset, deep=deep) if finding.damage]
    entries = {entry.path: entry for release in dataset.releases() for entry in release.shards}
    owner = {row["path"]: row["item_id"] for row in dataset.catalog.rows("artifacts", ["path", "item_id"])}
    artifacts, shards = [], []
    for finding in found:
        if finding.kind in _ARTIFACTS and finding.path in owner:
            artifacts.append(
                Finding("artifacts", finding.path, f"{finding.kind}: {finding.reason} (of {owner[finding.path]})")
            )
        else:
            text = f"{finding.kind}: {finding.reason}"
            if why := _cause(dataset, entries, finding):
                text = f"{text}; {why}"
            shards.append(Finding("shards", finding.path, text))
    return [
        CheckResult("artifacts", "is every artifact what the catalog says?", len(owner), tuple(artifacts)),
        CheckResult("shards", "do shards, indexes, samples and releases agree?", len(entries), tuple(shards)),
    ]


def _cause(dataset: Dataset, entries: dict[str, ShardEntry], finding: FileFinding) -> str:
    """What happened, where it shows: another shard's content, or an index that is some rows off."""
    storage = dataset.storage
    if finding.kind == "shard" and finding.path in entries and storage.exists(finding.path):
        digest = storage.sha256(finding.path)
        others = [entry.path for entry in entries.values() if entry.sha256 == digest and entry.path != finding.path]
        return f"swapped: it holds the content of {others[0]}" if others else ""
    if finding.kind == "index":
        tar = finding.path.removesuffix(".index.parquet") + ".tar"
        try:
            index = pq.read_table(io.BytesIO(storage.read(finding.path)))
            return _index_fault(index, _members(dataset, tar))
        except (OSError, pa.ArrowInvalid, tarfile.TarError) as error:
            return f"it cannot be compared with its tar ({error})"
    return ""


def _members(dataset: Dataset, path: str) -> list[tuple[str, str, int, int]]:
    with dataset.storage.open(path) as file, tarfile.open(fileobj=file, mode="r:") as tar:
        parts = ((member.name.partition("."), member) for member in tar)
        return [(name, field, member.offset_data, member.size) for (name, _, field), member in parts]


def _index_fault(index: pa.Table, members: list[tuple[str, str, int, int]]) -> str:
    """How an index differs from the tar it belongs to, in words; "" where it does not."""
    if index.schema.names != INDEX_SCHEMA.names:
        return f"its columns are {index.schema.names}"
    rows = list(zip(*(index.column(name).to_pylist() for name in INDEX_SCHEMA.names), strict=True))
    if rows == members:
        return "its rows agree with the tar: it was written again by another program"
    names, offsets = [row[:2] for row in rows], [row[2:] for row in rows]
    wanted_names, wanted = [member[:2] for member in members], [member[2:] for member in members]
    for step in (1, -1):
        if _shifted(offsets, wanted, step) and names == wanted_names:
            return f"off by one: each row has the offset of the member {'after' if step > 0 else 'before'} it"
        if len(rows) == len(members) - 1 and rows == (members[1:] if step > 0 else members[:-1]):
            return f"off by one: the {'first' if step > 0 else 'last'} member is missing"
    differs = {b[0] - a[0] for a, b in zip(wanted, offsets, strict=False)}
    if len(rows) == len(members) and len(differs) == 1:
        return f"off by {differs.pop()} bytes in every row"
    return f"{len(rows)} rows for {len(members)} members"


def _shifted(rows: list[tuple[int, int]], wanted: list[tuple[int, int]], step: int) -> bool:
    """Whether rows[i] is wanted[i + step] wherever both exist."""
    if len(rows) != len(wanted) or len(rows) < 3:
        return False
    return rows[:-1] == wanted[1:] if step > 0 else rows[1:] == wanted[:-1]
