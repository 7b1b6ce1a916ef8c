"""build, add, retry: commands that run the pipeline."""

from collections.abc import Sequence
from typing import Annotated, Literal

import typer

from pipeline.cli.common import (
    ConfigOption,
    DatasetOption,
    Exit,
    RayOption,
    SetOption,
    Stopper,
    console,
    open_for_build,
)
from pipeline.dataset import Dataset

Kind = Literal["character", "camera"]
Sources = Annotated[list[str] | None, typer.Argument(help="Videos, folders, globs, or a manifest (.csv, .parquet).")]
KindOption = Annotated[Kind, typer.Option("--kind", help="What the sources show (a manifest's own column wins).")]
RetryOption = Annotated[bool, typer.Option("--retry-failed", help="Try quarantined clips again.")]
PresetOption = Annotated[
    str | None, typer.Option("--preset", help="Backends: embedded (default, CPU) or paper (CUDA, weights needed).")
]


def build(
    sources: Sources = None,
    *,
    dataset: DatasetOption,
    kind: KindOption = "character",
    config: ConfigOption = None,
    settings: SetOption = None,
    preset: PresetOption = None,
    ray_address: RayOption = None,
    retry_failed: RetryOption = False,
) -> None:
    """Make a dataset of videos, or bring one up to date.

    Without SOURCES all sources that the dataset knows are brought up to date. Run it again at any time: what exists is
    not made again.

    Examples:

      mikudance build videos/ --dataset data/mmd

      mikudance build manifest.csv -d data/mmd --set decode.size=512
    """
    opened = open_for_build(dataset, config, settings, preset)
    _run(opened, "build", sources or [], kind, ray_address=ray_address, retry_failed=retry_failed, only_given=False)


def add(
    sources: Annotated[list[str], typer.Argument(help="Videos, folders, globs, or a manifest (.csv, .parquet).")],
    *,
    dataset: DatasetOption,
    kind: KindOption = "camera",
    ray_address: RayOption = None,
    retry_failed: RetryOption = False,
) -> None:
    """Add videos to a finished dataset: new shards and a new release; no existing shard is touched.

    Example:

      mikudance add --kind camera flights/*.mp4 --dataset data/mmd
    """
    _run(
        Dataset.open(dataset), "add", sources, kind, ray_address=ray_address, retry_failed=retry_failed, only_given=True
    )


def retry(*, dataset: DatasetOption, ray_address: RayOption = None) -> None:
    """Try everything in quarantine again, then go on as `build` does.

    Example:

      mikudance retry --dataset data/mmd
    """
    _run(Dataset.open(dataset), "retry", [], "character", ray_address=ray_address, retry_failed=True, only_given=False)


def _run(
    dataset: Dataset,
    command: str,
    sources: Sequence[str],
    kind: Kind,
    *,
    ray_address: str | None,
    retry_failed: bool,
    only_given: bool,
) -> None:
    from pipeline.ingest.sources import discover
    from pipeline.progress import ProgressView
    from pipeline.report import print_summary
    from pipeline.run import Run, RunOptions
    from pipeline.sources import known_files

    with Stopper().installed() as stopper, ProgressView(console) as view:
        options = RunOptions(command=command, address=ray_address, retry_failed=retry_failed, stop=stopper)
        run = Run(dataset, view, options)
        known = known_files(run.state.sources)
        files = discover(sources, kind=kind, config=dataset.config.ingest, known=known) if sources else []
        if not files and not run.state.sources:
            console.print("there is nothing to do: the dataset knows no source; name videos, folders or a manifest")
            raise typer.Exit(Exit.USAGE)
        summary = run.build(files, only_given=only_given)
    print_summary(console, dataset, summary)
    if stopper.stopped:
        raise typer.Exit(Exit.INTERRUPTED)
    if summary.broken or summary.left:
        raise typer.Exit(Exit.ERROR)
    if summary.failed.total() or summary.quarantined.total():
        raise typer.Exit(Exit.QUARANTINE)
