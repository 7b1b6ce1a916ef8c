"""Runs the checks: measures what is not measured yet, judges, and writes a report for machines."""

import json
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Any

from pipeline.checks.build import check_missing, check_quarantine, check_stale
from pipeline.checks.clips import check_clips
from pipeline.checks.files import check_files
from pipeline.checks.leakage import check_balance, check_leakage
from pipeline.checks.measure import Measurement, measure
from pipeline.checks.snapshot import Snapshot
from pipeline.checks.verdict import CheckLimits, CheckResult, Finding, failed
from pipeline.dataset import Dataset
from pipeline.storage import Storage, StorageError
from pipeline.version import code_version
from schemas.artifacts.header import ArtifactError

COMMIT_ROWS = 500


def run_checks(
    snapshot: Snapshot, limits: CheckLimits, *, files: bool, unreadable: Iterable[Finding] = ()
) -> list[CheckResult]:
    """All checks. files: read every file (hours on a large dataset); else the catalog's facts and what is measured."""
    finished = [name for name in snapshot.clips if snapshot.finished(name)]
    splits = {name: snapshot.clips[name].split for name in finished}
    results = [
        check_quarantine(snapshot, limits),
        check_stale(snapshot),
        check_missing(snapshot),
        check_balance(snapshot.release, limits),
        *check_leakage(snapshot.release, splits, snapshot.measured, limits),
        *check_clips(snapshot.measured, len(finished), limits),
    ]
    if files:
        results += check_files(snapshot.dataset)
    else:
        note = "contents were not read: `mikudance check` does"
        results += [
            CheckResult("artifacts", "is every artifact what the catalog says?", 0, note=note),
            CheckResult("shards", "do shards, indexes, samples and releases agree?", 0, note=note),
        ]
    broken = tuple(unreadable)
    if broken:
        results.append(CheckResult("readable", "can every finished clip be measured?", len(finished), broken))
    return results


def spread(names: Sequence[str], count: int) -> list[str]:
    """At most `count` of sorted names, evenly spaced, so that every source has its share; 0 takes all."""
    if not count or count >= len(names):
        return list(names)
    return [names[place * len(names) // count] for place in range(count)]


def measure_clips(
    snapshot: Snapshot, names: Sequence[str], *, workers: int = 0, tick: Callable[[int, int], None] = lambda *_: None
) -> tuple[dict[str, Measurement], list[Finding]]:
    """Measures clips that have no measurement, in processes, and records the figures in the catalog.

    Returns all measurements of the snapshot with the new ones, and the clips that could not be read. workers: 0 takes
    one a CPU core, 1 measures in this process. tick: called with (done, all) now and then.
    """
    todo = [name for name in names if name not in snapshot.measured and snapshot.finished(name)]
    measured, findings, rows = dict(snapshot.measured), [], []
    catalog = snapshot.dataset.catalog
    jobs = [(name, snapshot.clips[name].source_id, dict(snapshot.keys[name])) for name in todo]
    work = partial(_measure_one, snapshot.dataset.root)
    count = min(workers or len(os.sched_getaffinity(0)), len(jobs))
    pool = ProcessPoolExecutor(count, mp_context=get_context("spawn")) if count > 1 else None
    try:
        outcomes = pool.map(work, jobs, chunksize=4) if pool else map(work, jobs)
        for done, outcome in enumerate(outcomes, 1):
            if isinstance(outcome, Measurement):
                measured[outcome.clip_id] = outcome
                rows.append(outcome.row())
            else:
                findings.append(Finding("readable", todo[done - 1], outcome))
            if len(rows) >= COMMIT_ROWS:
                catalog.append("measurements", rows)
                rows = []
            tick(done, len(todo))
    finally:
        catalog.append("measurements", rows)
        if pool:
            pool.shutdown(cancel_futures=True)
    return measured, findings


def _measure_one(root: str, job: tuple[str, str, dict[str, str]]) -> Measurement | str:
    clip_id, source_id, keys = job
    try:
        return measure(Storage(root), clip_id, source_id, keys)
    except (StorageError, ArtifactError, ValueError) as error:
        return f"cannot be measured: {error}"


def report(dataset: Dataset, results: Sequence[CheckResult], limits: CheckLimits) -> dict[str, Any]:
    """The machine-readable report."""
    release = dataset.newest_release()
    return {
        "dataset": dataset.root,
        "code_version": code_version(),
        "config_digest": dataset.config_digest(),
        "release": {"number": release.number, "digest": release.digest()} if release else None,
        "limits": json.loads(limits.canonical_json()),
        "verdict": "failed" if failed(list(results)) else "passed",
        "checks": [result.record() for result in results],
    }
