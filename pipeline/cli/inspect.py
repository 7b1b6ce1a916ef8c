"""status, plan, verify, dag, doctor: commands that only look."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from pipeline.cli.common import DatasetOption, Exit, console
from pipeline.cli.status_text import note_absent, print_status
from pipeline.dataset import Dataset

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


def status(
    *,
    dataset: DatasetOption,
    clip: Annotated[str | None, typer.Option("--clip", help="Every stage's figures of one clip.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show progress by stage, quarantine with causes, what is left out and why, and the newest release.

    Examples:

      mikudance status -d data/mmd

      mikudance status -d data/mmd --clip 2f0c6a1b9d3e4f55_000000_0085
    """
    from pipeline.status import clip_facts, read_status

    opened = Dataset.open(dataset)
    if clip:
        rows = clip_facts(opened, clip)
        if not rows:
            console.print(f"{clip} is no clip of this dataset", style="red")
            raise typer.Exit(Exit.ERROR)
        for row in rows:
            figures = ", ".join(f"{name} {value:.4g}" for name, value in json.loads(row["quality"]).items())
            console.print(f"{row['stage']}: {row['status']}; {figures}; key {row['key']}", markup=False)
        return
    found = read_status(opened)
    note_absent(found)
    todo = found.ingest.todo_by_stage() | found.plan.todo_by_stage()
    done = {**found.ingest.done, **found.plan.done}
    quarantined = {**found.ingest.quarantined, **found.plan.quarantined}
    if as_json:
        console.print_json(
            data={
                "sources": dict(found.sources),
                "clips": {f"{split}/{kind}": count for (split, kind), count in found.clips.items()},
                "done": done,
                "todo": todo,
                "quarantined": quarantined,
                "blocked": dict(found.plan.blocked),
                "failures": [
                    {name: row[name] for name in ("stage", "item_id", "cause", "error", "attempts")}
                    for row in found.failures
                ],
                "left_out": {name: list(reasons) for name, reasons in found.selection.refused.items()},
                "warnings": {name: list(doubts) for name, doubts in found.selection.warned.items()},
                "idle_rules": list(found.selection.idle_rules),
                "release": found.release.number if found.release else None,
            }
        )
        return
    print_status(found, done, todo, quarantined)


def plan(
    *,
    dataset: Annotated[
        str | None,
        typer.Option("--dataset", "-d", help="Dataset folder, or a URI such as s3://bucket/name."),
    ] = None,
    clips: Annotated[int | None, typer.Option("--clips", min=1, help="Forecast a dataset of so many clips.")] = None,
    gpus: Annotated[int, typer.Option("--gpus", min=0, help="GPUs of the forecast.")] = 0,
    cpus: Annotated[
        int | None, typer.Option("--cpus", min=1, help="Cores of the forecast; default 12 a GPU, 1 without.")
    ] = None,
    nodes: Annotated[
        int | None, typer.Option("--nodes", min=1, help="Equal nodes of the forecast; default one for 8 GPUs.")
    ] = None,
    custom: Annotated[
        list[str] | None, typer.Option("--custom", help="Custom resource of the forecast's cluster, e.g. xpose=8.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="YAML configuration of the forecast.", dir_okay=False)
    ] = None,
    preset: Annotated[str | None, typer.Option("--preset", help="Backends of the forecast: embedded or paper.")] = None,
    frames: Annotated[
        int | None, typer.Option("--frames", min=1, help="Frames a clip of the forecast; default: as in the dataset.")
    ] = None,
    rate: Annotated[
        list[str] | None, typer.Option("--rate", help="Seconds an item of a stage in the forecast, e.g. pose=3.5.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a build would run and why, with an estimate of hours and bytes. Runs nothing.

    With --clips: what a new dataset of that size would take, from rates measured in --dataset, given, or typical.

    Examples:

      mikudance plan -d data/mmd

      mikudance plan --clips 120000 --gpus 16 -d data/mmd

      mikudance plan --clips 120000 --gpus 16 --preset paper --rate camera=60
    """
    if clips is not None:
        from pipeline.cli.forecast import print_forecast

        print_forecast(
            dataset,
            config=config,
            preset=preset,
            clips=clips,
            gpus=gpus,
            cpus=cpus,
            nodes=nodes,
            custom=custom or [],
            frames=frames,
            given=rate or [],
            as_json=as_json,
        )
        return
    if dataset is None:
        raise typer.BadParameter("name a dataset with --dataset, or a size with --clips")

    from pipeline.estimate import estimate, measured_rates
    from pipeline.report import human_bytes
    from pipeline.status import looking_graph, pack_change, read_status
    from pipeline.why import COLUMNS, reasons

    opened = Dataset.open(dataset)
    found = read_status(opened)
    todo = found.ingest.todo_by_stage() | found.plan.todo_by_stage()
    rates = measured_rates(opened)
    estimates = estimate(todo, rates)
    change = pack_change(found, opened.config.pack)
    note_absent(found)
    if as_json:
        packed = [{"stage": "pack", "items": change.shards, **vars(change)}] if change else []
        console.print_json(data=[*({**vars(e), "core_hours": e.core_hours} for e in estimates), *packed])
        return
    if change:
        console.print(
            f"a build would publish release {change.number}: {change.entering} samples enter, {change.leaving} leave, "
            f"{change.renewed} are packed again, in {change.shards} new shards"
            + ("; what is still to be made comes on top" if estimates else "")
        )
    if not estimates:
        console.print("nothing to run: every artifact of the present configuration exists")
        return
    table = Table(box=None, pad_edge=False)
    for name in ("stage", "items", "seconds an item", "core hours", "bytes", "figures"):
        table.add_column(name, justify="left" if name in ("stage", "figures") else "right")
    for e in estimates:
        basis = "measured" if e.measured else "typical"
        table.add_row(
            e.stage, str(e.items), f"{e.seconds:.2f}", f"{e.core_hours:.2f}", human_bytes(e.items * e.bytes), basis
        )
    console.print(table)
    hours, size = sum(e.core_hours for e in estimates), sum(e.items * e.bytes for e in estimates)
    console.print(f"in all {hours:.2f} core hours and {human_bytes(size)}")
    if found.ingest.todo:
        console.print(f"{len(found.ingest.todo)} sources are not cut into clips yet: their clips come on top")
    graph, _ = looking_graph(opened)
    items = [*found.ingest.todo, *found.plan.todo]
    made = opened.catalog.select("artifacts", "item_id", {item.item_id for item in items}, COLUMNS)
    for (stage, reason), count in reasons(items, made, graph).items():
        console.print(f"why: {stage}, {count} items: {reason}", markup=False)


def verify(
    *,
    dataset: DatasetOption,
    quick: Annotated[bool, typer.Option("--quick", help="Presence and sizes only.")] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Remove damaged artifacts (a build makes them again) and loose files.")
    ] = False,
    grace_hours: Annotated[
        float,
        typer.Option(
            "--grace-hours",
            min=0,
            help="Loose files younger than this, or newer than the start of a run that has not ended, are not removed: "
            "a build may be writing them. 0: no build is running.",
        ),
    ] = 1.0,
) -> None:
    """Check every artifact, shard, index and release against its checksum and schema, and find loose files.

    Exit code 4 if something is damaged.

    Example:

      mikudance verify -d data/mmd --repair
    """
    from pipeline.repair import repair as repair_findings
    from pipeline.verify import verify as find

    opened = Dataset.open(dataset)
    findings = []
    for finding in find(opened, deep=not quick):
        findings.append(finding)
        style = "red" if finding.damage else "yellow"
        console.print(f"{finding.kind}: {finding.path}: {finding.reason}", style=style, markup=False)
    damage = sum(finding.damage for finding in findings)
    console.print(f"{damage} damaged, {len(findings) - damage} loose files")
    if repair and findings:
        repaired = repair_findings(opened, findings, grace_s=3600 * grace_hours)
        console.print(f"removed {repaired.removed} files; `mikudance build` makes artifacts again")
        for reason, count in repaired.kept.items():
            console.print(f"kept {count} loose files: {reason}")
        if repaired.kept:
            console.print("where no build is running and every release is whole, `--grace-hours 0` removes them")
    if damage:
        raise typer.Exit(Exit.DAMAGED)


def dag(
    *,
    dataset: Annotated[str | None, typer.Option("--dataset", "-d", help="Use this dataset's configuration.")] = None,
    output: Annotated[str | None, typer.Option("--output", "-o", help="Write an SVG picture here.")] = None,
) -> None:
    """Print the stage graph, and draw it.

    Example:

      mikudance dag -o graph.svg
    """
    from pathlib import Path

    from pipeline.config import DatasetConfig
    from pipeline.dag import edges, svg, text

    config = Dataset.open(dataset).config if dataset else DatasetConfig()
    console.print(text(edges(config)), markup=False)
    if output:
        Path(output).write_text(svg(edges(config)), encoding="utf-8")
        console.print(f"drawn in {output}")


def doctor(
    *,
    dataset: Annotated[str | None, typer.Option("--dataset", "-d", help="Check this dataset's backends first.")] = None,
) -> None:
    """Say which backends can run on this machine and, for each that cannot, why and the exact remedy.

    Exit code 1 if a backend of the dataset (or of the defaults) cannot run.

    Example:

      mikudance doctor
    """
    from pipeline.config import DatasetConfig
    from pipeline.doctor import examine

    config = Dataset.open(dataset).config if dataset else DatasetConfig()
    bad = False
    for check in examine(config):
        chosen = "in use" if check.in_use else "      "
        if check.problem is None:
            console.print(f"ok       {chosen}  {check.stage:<8} {check.name}", markup=False)
        else:
            bad |= check.in_use
            console.print(
                f"cannot   {chosen}  {check.stage:<8} {check.name}: {check.problem.cause}\n"
                f"                   remedy: {check.problem.remedy}",
                markup=False,
            )
    if bad:
        raise typer.Exit(Exit.ERROR)
