"""What a run did, in words and tables for people."""

from rich.console import Console
from rich.table import Table

from pipeline.dataset import Dataset
from pipeline.run import RunSummary

NAMED = 10
"""Doubtful clips, and reasons for leaving clips out, that the report of a run names."""


def print_summary(console: Console, dataset: Dataset, summary: RunSummary) -> None:
    """Prints what was made, what failed and why, where the release lies, and what to do next."""
    if summary.idle:
        console.print(f"nothing to do: everything is up to date ({summary.seconds:.1f} s)")
    else:
        console.print(_stage_table(summary))
    for stage, reason in summary.broken.items():
        console.print(f"stage {stage} could not go on: {reason}", style="red", markup=False)
    if summary.left:
        console.print(f"{summary.left} items were not run; the same command goes on from here")
    failed = sum(summary.failed.values()) + sum(summary.quarantined.values())
    if failed:
        console.print(
            f"{failed} items are in quarantine: `mikudance status --dataset {dataset.root}` names each with its cause, "
            f"`mikudance retry --dataset {dataset.root}` tries them again"
        )
    packed = summary.release
    if packed is None:
        if not summary.left:
            console.print("no release: no clip is finished and passes the gates")
        return
    reasons = packed.reasons().most_common()
    for reason, count in reasons[:NAMED]:
        console.print(f"{count} clip{'s' if count > 1 else ''} left out: {reason}", markup=False)
    if len(reasons) > NAMED:
        rest = sum(count for _, count in reasons[NAMED:])
        console.print(f"{rest} more clips left out: `mikudance status --dataset {dataset.root}` says why")
    for clip_id, doubts in sorted(packed.warned.items())[:NAMED]:
        console.print(f"{clip_id} is doubtful: {'; '.join(doubts)}", style="yellow", markup=False)
    if len(packed.warned) > NAMED:
        console.print(f"{len(packed.warned) - NAMED} more doubtful clips: `mikudance status` names them")
    release = packed.release
    samples = sum(len(entry.samples) for entry in release.shards)
    size = sum(entry.bytes for entry in release.shards)
    console.print(
        f"release {release.number}: {samples} samples in {len(release.shards)} shards, {human_bytes(size)} "
        f"({len(packed.new_shards)} new shards) in {dataset.root}/shards"
    )


def _stage_table(summary: RunSummary) -> Table:
    table = Table(title=None, box=None, pad_edge=False)
    for name in ("stage", "made", "reused", "failed", "seconds a clip"):
        table.add_column(name, justify="left" if name == "stage" else "right")
    for stage in ("ingest", "decode", "pose", "camera", "depth", "scene_motion", "stylize", "pack"):
        made, reused, failed = summary.made[stage], summary.reused[stage], summary.failed[stage]
        if made or reused or failed:
            seconds = f"{summary.stage_seconds[stage] / made:.2f}" if made else ""
            table.add_row(stage, str(made), str(reused), str(failed), seconds)
    return table


def human_bytes(count: float) -> str:
    """12345678 as "12.3 MB" (decimal units)."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError("unreachable")
