"""What `status` prints for people."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from pipeline.cli.common import console, errors

if TYPE_CHECKING:
    from pipeline.status import Status

NAMED = 20
"""Failures, and clips that are left out or doubtful, that are named one by one."""


def print_status(
    found: "Status", done: Mapping[str, int], todo: Mapping[str, int], quarantined: Mapping[str, int]
) -> None:
    """Prints progress by stage, quarantine, clips that are left out or doubtful, and the release."""
    console.print("sources: " + (", ".join(f"{n} {kind}" for kind, n in found.sources.items()) or "none"))
    console.print(
        "clips: " + (", ".join(f"{n} {split} {kind}" for (split, kind), n in sorted(found.clips.items())) or "none")
    )
    table = Table(box=None, pad_edge=False)
    for name in ("stage", "done", "to do", "quarantine", "blocked"):
        table.add_column(name, justify="left" if name == "stage" else "right")
    for stage in done:
        counts = (done[stage], todo.get(stage, 0), quarantined.get(stage, 0), found.plan.blocked.get(stage, 0))
        table.add_row(stage, *(str(count) for count in counts))
    console.print(table)
    for row in found.failures[:NAMED]:
        text = f"{row['stage']} {row['item_id']} ({row['cause']}, {row['attempts']} tries): {row['error']}"
        console.print(text, markup=False, style="red")
    for (stage, cause), count in Counter((row["stage"], row["cause"]) for row in found.failures[NAMED:]).most_common():
        console.print(f"{count} more in quarantine: {stage} ({cause})", style="red")
    if len(found.failures) > NAMED:
        console.print("`status --json` names all of them")
    _print_clips(found.selection.refused, "left out", None)
    _print_clips(found.selection.warned, "doubtful", "yellow")
    for rule in found.selection.idle_rules:
        console.print(f"the rule {rule} judges nothing: no clip has that figure", markup=False, style="yellow")
    if found.release:
        samples = sum(len(entry.samples) for entry in found.release.shards)
        console.print(f"release {found.release.number}: {samples} samples in {len(found.release.shards)} shards")


def _print_clips(clips: Mapping[str, Sequence[str]], what: str, style: str | None) -> None:
    """A line a clip, or, of many, a line a reason."""
    if len(clips) <= NAMED:
        for name, reasons in sorted(clips.items()):
            console.print(f"{name} is {what}: {'; '.join(reasons)}", markup=False, style=style)
        return
    for reason, count in Counter(reason for reasons in clips.values() for reason in reasons).most_common(NAMED):
        console.print(f"{count} clips are {what}: {reason}", markup=False, style=style)
    console.print(f"{len(clips)} clips are {what} in all; `status --json` names each", style=style)


def note_absent(found: "Status") -> None:
    """Said on the error output, so that JSON stays JSON."""
    for stage in found.absent:
        errors.print(
            f"{stage}: its weights cannot be read here; they are taken to be those of its newest artifacts",
            style="yellow",
            markup=False,
        )
