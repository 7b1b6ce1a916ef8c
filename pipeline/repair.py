"""Removes what `verify` found to be damaged or loose, and nothing that somebody may need or be writing."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.dataset import Dataset
from pipeline.verify import HARMLESS, Finding

GRACE_S = 3600.0


@dataclass(frozen=True)
class Repaired:
    """What a repair did. removed: files; kept: loose files that stay for now, by the reason why."""

    removed: int
    kept: dict[str, int]


def repair(dataset: Dataset, findings: Sequence[Finding], *, grace_s: float = GRACE_S) -> Repaired:
    """Removes damaged artifacts (file and catalog row: the next build makes them again) and loose files.

    Shards and releases that a release names are never removed: someone may be training from them. Loose shards stay
    while any release is damaged or missing, for it may name them. Loose files stay too while they are younger than
    `grace_s` (seconds) or newer than the start of a run that has not ended, for a build writes a file before it names
    it; with `grace_s` 0 nothing counts as being written.
    """
    damaged = [f for f in findings if f.key]
    for finding in damaged:
        dataset.storage.remove(finding.path)
    dataset.catalog.forget("artifacts", "key", [f.key for f in damaged])
    whole = not any(f.kind == "release" for f in findings)
    last_start = _unfinished_since(dataset) if grace_s else float("inf")
    oldest_kept = min(time.time() - grace_s, last_start)
    removed, kept = len(damaged), dict[str, int]()
    for finding in findings:
        if finding.kind not in HARMLESS:
            continue
        if finding.path.startswith("shards/") and not whole:
            reason = "a release that is damaged or missing may name them: put it back first"
        elif grace_s and _modified(dataset, finding.path) >= oldest_kept:
            reason = "a build may be writing them"
        else:
            dataset.storage.remove(finding.path)
            removed += 1
            continue
        kept[reason] = kept.get(reason, 0) + 1
    return Repaired(removed, kept)


def _modified(dataset: Dataset, path: str) -> float:
    try:
        return dataset.storage.modified(path)
    except FileNotFoundError:
        return time.time()  # its writer has put it in its place meanwhile


def _unfinished_since(dataset: Dataset) -> float:
    """When the earliest run began that has not said that it ended (UTC seconds), infinite where all have."""
    rows = dataset.catalog.rows("runs", ["run_id", "state", "created_s"])
    ended = {row["run_id"] for row in rows if row["state"] != "started"}
    return min((row["created_s"] for row in rows if row["run_id"] not in ended), default=float("inf"))
