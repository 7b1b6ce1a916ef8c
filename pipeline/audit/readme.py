"""A README of a dataset for people who get it: what it holds, how it was made, what was checked."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pipeline.audit.facts import balance, stage_facts
from pipeline.checks.snapshot import Snapshot
from pipeline.checks.verdict import CheckResult
from pipeline.report import human_bytes


def write_readme(snapshot: Snapshot, results: Sequence[CheckResult], path: Path) -> None:
    """Writes Markdown about the newest release."""
    path.write_text(readme(snapshot, results), encoding="utf-8")


def readme(snapshot: Snapshot, results: Sequence[CheckResult]) -> str:
    """The text."""
    dataset, release = snapshot.dataset, snapshot.release
    lines = [f"# {dataset.root.rstrip('/').rpartition('/')[2]}", ""]
    if release is None:
        lines += ["This dataset has no release yet.", ""]
    else:
        size = sum(entry.bytes for entry in release.shards)
        frames = sum(sum(entry.frames) for entry in release.shards)
        lines += [
            f"Release {release.number}: {len(snapshot.packed)} clips, {frames} frames, {len(release.shards)} "
            f"WebDataset shards, {human_bytes(size)}. Digest `{release.digest()}`.",
            "",
            "| split | kind | clips |",
            "| --- | --- | --- |",
            *(f"| {split} | {kind} | {count} |" for split, kinds in balance(snapshot) for kind, count in kinds.items()),
            "",
        ]
    licences = Counter(source.licence or "not recorded" for source in snapshot.state.sources.values())
    config = dataset.config
    lines += [
        "## Sources",
        "",
        f"{len(snapshot.state.sources)} videos. Licences: "
        + ", ".join(f"{name} ({count})" for name, count in licences.most_common())
        + ".",
        "",
        "## How it was made",
        "",
        f"Configuration digest `{dataset.config_digest()}`; clips of {config.ingest.clip_frames} frames, pictures "
        f"{config.decode.size} pixels wide.",
        "",
        "| stage | made | quarantine | statuses | backend |",
        "| --- | --- | --- | --- | --- |",
    ]
    for stage in stage_facts(snapshot):
        words = ", ".join(f"{word} {count}" for word, count in stage.statuses.items())
        lines.append(f"| {stage.stage} | {stage.made} | {stage.quarantined} | {words} | {'; '.join(stage.backends)} |")
    lines += ["", "## Checks", "", "| check | verdict | looked at | found |", "| --- | --- | --- | --- |"]
    lines += [f"| {r.name} | {r.verdict.replace('_', ' ')} | {r.checked} | {len(r.findings)} |" for r in results]
    lines += [
        "",
        "## How to read it",
        "",
        "Each shard is a plain tar that `webdataset` reads as it is; `<clip>.json` describes the sample, pictures are "
        "JPEG, arrays `.npy` without pickle. `releases/NNNN.json` lists the shards with their sha256; beside each "
        "shard stands an index of its members' offsets.",
        "",
    ]
    return "\n".join(lines)
