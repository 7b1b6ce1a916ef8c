"""audit, check, sql, explain, remove: see, question and trust what a dataset holds."""

import csv
import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table

from pipeline.cli.common import DatasetOption, Exit, console, errors
from pipeline.dataset import Dataset

LimitsOption = Annotated[
    Path | None, typer.Option("--limits", help="YAML with limits of the checks laid over the defaults.", dir_okay=False)
]
WorkersOption = Annotated[int, typer.Option("--workers", help="Processes that measure clips; 0: one a core.", min=0)]


def load_limits(file: Path | None) -> Any:
    """The limits of a file over the defaults."""
    from pipeline.checks.verdict import CheckLimits
    from pipeline.config_file import load

    return load(CheckLimits, file) if file else CheckLimits()


def audit(
    dataset: Annotated[str, typer.Argument(help="Dataset folder, or a URI such as s3://bucket/name.")],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the site.", file_okay=False)] = Path(
        "audit-out"
    ),
    pages: Annotated[int, typer.Option("--pages", help="Clips of the sample that get a page.", min=0)] = 24,
    failed_pages: Annotated[
        int, typer.Option("--failed-pages", help="Most pages of clips with a problem.", min=0)
    ] = 500,
    clip: Annotated[list[str] | None, typer.Option("--clip", help="A clip to make a page of (repeatable).")] = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Measure every clip and read every file, as `check` does.")
    ] = False,
    limits: LimitsOption = None,
    workers: WorkersOption = 0,
    compare: Annotated[
        tuple[str, str] | None, typer.Option("--compare", help="Two releases (numbers) or runs (ids): what changed.")
    ] = None,
    rrd: Annotated[str | None, typer.Option("--rrd", help="Write a Rerun recording of this clip instead.")] = None,
) -> None:
    """Make a static site about a dataset: coverage, failures, figures with limits, and pages of clips with pictures.

    It opens from disk, without a server. Pages are made for an even sample, for every clip with a problem, and for
    --clip. Clips that get a page are measured; `mikudance check` or --deep measures all.

    Examples:

      mikudance audit data/mmd -o audit

      mikudance audit data/mmd -o audit --clip 2f0c6a1b9d3e4f55_000000_0085

      mikudance audit data/mmd -o changes --compare 3 4

      mikudance audit data/mmd -o audit --rrd 2f0c6a1b9d3e4f55_000000_0085
    """
    from dataclasses import replace

    from pipeline.audit.readme import write_readme
    from pipeline.audit.site import SiteOptions, build_site, choose_pages
    from pipeline.checks.run import measure_clips, report, run_checks
    from pipeline.checks.snapshot import read_snapshot
    from pipeline.cli.trainer_view import make_trainer_view

    opened = Dataset.open(dataset)
    if compare is not None:
        from pipeline.audit.compare import build_comparison

        made = build_comparison(opened, *compare, output, pictures=pages)
        console.print(f"{made.added} added, {made.removed} removed, {made.changed} changed clips: {made.index}")
        return
    snapshot, judged = read_snapshot(opened), load_limits(limits)
    if rrd is not None:
        from pipeline.rerun_export import export

        console.print(f"recording: {export(snapshot, rrd, output)} (open it with `rerun`)")
        return
    options = SiteOptions(pages=pages, failed_pages=failed_pages, clips=tuple(clip or ()))
    names = sorted(snapshot.clips) if deep else choose_pages(snapshot, {}, options)[0]
    measured, broken = measure_clips(snapshot, names, workers=workers, tick=_tick)
    snapshot = replace(snapshot, measured=measured)
    results = run_checks(snapshot, judged, files=deep, unreadable=broken)
    view = None
    if snapshot.release:
        try:
            view = make_trainer_view(opened.root, snapshot.release)
        except ImportError as error:
            errors.print(
                f"pages come without the trainer's view ({error}): pip install 'mikudance[train]'", markup=False
            )
    site = build_site(snapshot, results, judged, output, options, view)
    found = report(opened, results, judged)
    (output / "report.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    write_readme(snapshot, results, output / "README.md")
    console.print(f"{site.pages} clip pages; verdict: checks {found['verdict']}; open {site.index}")


def check(
    *,
    dataset: DatasetOption,
    limits: LimitsOption = None,
    quick: Annotated[bool, typer.Option("--quick", help="Read no file: the catalog and what is measured.")] = False,
    sample: Annotated[int, typer.Option("--sample", help="Measure at most so many clips; 0: all.", min=0)] = 0,
    workers: WorkersOption = 0,
    report_file: Annotated[Path | None, typer.Option("--json", help="Write the report for machines here.")] = None,
) -> None:
    """Judge a dataset: physical consistency, leakage, balance, stale samples, shards against indexes and checksums.

    Clips are measured once; the figures stay in the catalog. Exit code 4 if a check fails.

    Examples:

      mikudance check -d data/mmd --json report.json

      mikudance check -d data/mmd --quick --limits limits.yaml
    """
    from dataclasses import replace

    from pipeline.checks.run import measure_clips, report, run_checks, spread
    from pipeline.checks.snapshot import read_snapshot
    from pipeline.checks.verdict import failed

    judged = load_limits(limits)
    opened = Dataset.open(dataset)
    snapshot = read_snapshot(opened)
    broken: list[Any] = []
    if not quick:
        names = sorted(snapshot.clips)
        measured, broken = measure_clips(snapshot, spread(names, sample), workers=workers, tick=_tick)
        snapshot = replace(snapshot, measured=measured)
    results = run_checks(snapshot, judged, files=not quick, unreadable=broken)
    print_results(results)
    if report_file:
        report_file.write_text(json.dumps(report(opened, results, judged), indent=1) + "\n", encoding="utf-8")
    if failed(results):
        raise typer.Exit(Exit.DAMAGED)


def _tick(done: int, total: int) -> None:
    if done == total or done % 200 == 0:
        errors.print(f"measured {done} of {total} clips")


def print_results(results: list[Any], most: int = 10) -> None:
    """One line a check, then its findings."""
    styles = {"failed": "red", "passed": "green", "not_run": "yellow"}
    for result in results:
        note = f"; {result.note}" if result.note else ""
        words = f"{result.verdict.replace('_', ' '):8} {result.name:<16} {result.question} ({result.checked}{note})"
        console.print(words, style=styles[result.verdict], markup=False)
        for finding in result.findings[:most]:
            figures = "" if finding.value is None else f" [{finding.value:.4g}, limit {finding.limit:.4g}]"
            console.print(f"         {finding.subject}: {finding.message}{figures}", markup=False)
        if len(result.findings) > most:
            console.print(f"         and {len(result.findings) - most} more (--json lists all)")


def sql(
    query: Annotated[str, typer.Argument(help="One SELECT (DuckDB's SQL).")],
    *,
    dataset: DatasetOption,
    form: Annotated[Literal["table", "csv", "json"], typer.Option("--format", help="Form of the output.")] = "table",
) -> None:
    """Ask the catalog in SQL, read-only. Tables: sources, clips, artifacts, failures, shards, runs, measurements,
    tombstones; views: figures (one row a quality figure), lineage (one row an edge between artifacts).

    Example:

      mikudance sql "SELECT item_id, value FROM figures WHERE figure = 'reprojection_error_px' ORDER BY value DESC
      LIMIT 10" -d data/mmd
    """
    from pipeline.sql import query as ask

    found = ask(Dataset.open(dataset), query)
    rows = found.to_pylist()
    if form == "json":
        typer.echo(json.dumps(rows, indent=1, default=str))
    elif form == "csv":
        writer = csv.DictWriter(sys.stdout, found.schema.names)
        writer.writeheader()
        writer.writerows(rows)
    else:
        table = Table(box=None, pad_edge=False)
        for name in found.schema.names:
            table.add_column(name, overflow="fold")
        for row in rows:
            table.add_row(*("" if value is None else str(value) for value in row.values()))
        console.print(table, markup=False)
        console.print(f"{len(rows)} rows")


def explain(
    clip: Annotated[str, typer.Argument(help="A clip id, as `status`, `sql` and shard members name it.")],
    *,
    dataset: DatasetOption,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """Tell where a sample comes from: shard, artifacts, parameters, weights, code, run, machine, source bytes.

    Example:

      mikudance explain 2f0c6a1b9d3e4f55_000000_0085 -d data/mmd
    """
    from pipeline.checks.snapshot import read_snapshot
    from pipeline.explain import in_words, lineage

    found = lineage(read_snapshot(Dataset.open(dataset)), clip)
    if as_json:
        typer.echo(json.dumps(found.record(), indent=1))
    else:
        console.print(in_words(found), markup=False)


def remove(
    *,
    dataset: DatasetOption,
    source: Annotated[str, typer.Option("--source", help="Id of the source (16 hex digits).")],
    reason: Annotated[str, typer.Option("--reason", help="Kept in the tombstone; name no person in it.")],
) -> None:
    """Take a source down: its artifacts and samples go, shards that held them are rewritten as a new release, and its
    content is refused for ever. No build may run on the dataset meanwhile. Exit code 4 if a trace remains.

    Example:

      mikudance remove --source 2f0c6a1b9d3e4f55 --reason "rights holder's request 12" -d data/mmd
    """
    from pipeline.remove import remove_source

    done = remove_source(Dataset.open(dataset), source, reason)
    console.print(
        f"removed source {done.source_id}: {done.clips} clips, {done.artifacts} artifacts, "
        f"{len(done.removed_shards)} shards, of which {len(done.new_shards)} were written again without it; "
        f"newest release: {done.release}"
    )
    if done.uri:
        console.print(f"the source's own file is not the dataset's and stays: {done.uri}", markup=False)
    for trace in done.traces:
        console.print(f"trace left: {trace.path} holds {trace.needle}", style="red", markup=False)
    if done.traces:
        raise typer.Exit(Exit.DAMAGED)
    console.print("searched every file of the dataset: no name, digest or clip id of it remains")
