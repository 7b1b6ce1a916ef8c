"""build, add, retry: commands that run the pipeline."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

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

if TYPE_CHECKING:
    from pipeline.run import RunOptions

Kind = Literal["character", "camera"]
Sources = Annotated[list[str] | None, typer.Argument(help="Videos, folders, globs, or a manifest (.csv, .parquet).")]
KindOption = Annotated[
    Kind | None,
    typer.Option(
        "--kind",
        help="What the sources show; a manifest's own column wins. Default: as known, else character (build), camera "
        "(add).",
    ),
]
ReassignOption = Annotated[
    bool, typer.Option("--reassign", help="Let --kind and a manifest change the kind and split of known sources.")
]
RetryOption = Annotated[bool, typer.Option("--retry-failed", help="Try quarantined clips again.")]
QuarantineOption = Annotated[
    bool, typer.Option("--quarantine-ok", help="End with 0, not 3, where all is published but what is in quarantine.")
]
PresetOption = Annotated[
    str | None, typer.Option("--preset", help="Backends: embedded (default, CPU) or paper (CUDA, weights needed).")
]


def build(
    sources: Sources = None,
    *,
    dataset: DatasetOption,
    kind: KindOption = None,
    config: ConfigOption = None,
    settings: SetOption = None,
    preset: PresetOption = None,
    ray_address: RayOption = None,
    retry_failed: RetryOption = False,
    reassign: ReassignOption = False,
    quarantine_ok: QuarantineOption = False,
) -> None:
    """Make a dataset of videos, or bring one up to date.

    Without SOURCES all sources that the dataset knows are brought up to date. Run it again at any time: what exists is
    not made again.

    Examples:

      mikudance build videos/ --dataset data/mmd

      mikudance build manifest.csv -d data/mmd --set decode.size=512
    """
    from pipeline.run import RunOptions

    options = RunOptions(command="build", address=ray_address, retry_failed=retry_failed, reassign=reassign)
    opened = open_for_build(dataset, config, settings, preset)
    quarantined = _run(opened, options, sources or [], kind, usual="character")
    _end(quarantined, quarantine_ok)


def add(
    sources: Annotated[list[str], typer.Argument(help="Videos, folders, globs, or a manifest (.csv, .parquet).")],
    *,
    dataset: DatasetOption,
    kind: KindOption = None,
    ray_address: RayOption = None,
    retry_failed: RetryOption = False,
    reassign: ReassignOption = False,
    quarantine_ok: QuarantineOption = False,
) -> None:
    """Add videos to a finished dataset: new shards and a new release; no existing shard is touched.

    Example:

      mikudance add --kind camera flights/*.mp4 --dataset data/mmd
    """
    from pipeline.run import RunOptions

    options = RunOptions(command="add", address=ray_address, retry_failed=retry_failed, reassign=reassign)
    quarantined = _run(Dataset.open(dataset), options, sources, kind, usual="camera")
    _end(quarantined, quarantine_ok)


def retry(*, dataset: DatasetOption, ray_address: RayOption = None, quarantine_ok: QuarantineOption = False) -> None:
    """Try everything in quarantine again, then go on as `build` does.

    Example:

      mikudance retry --dataset data/mmd
    """
    from pipeline.run import RunOptions

    options = RunOptions(command="retry", address=ray_address, retry_failed=True)
    quarantined = _run(Dataset.open(dataset), options, [], None, usual="character")
    _end(quarantined, quarantine_ok)


def _run(dataset: Dataset, options: "RunOptions", sources: Sequence[str], kind: Kind | None, *, usual: Kind) -> bool:
    """Whether something is in quarantine. usual: the kind of sources of which nobody says or knows it.

    Raises typer.Exit where not all else is done and published.
    """
    from pipeline.ingest.sources import discover
    from pipeline.progress import ProgressView
    from pipeline.report import print_summary
    from pipeline.run import Run
    from pipeline.sources import check_sources, known_files

    with Stopper().installed() as stopper, ProgressView(console) as view:
        options.stop = stopper
        run = Run(dataset, view, options)
        files = discover(
            sources,
            kind=kind or usual,
            kind_given=kind is not None,
            config=dataset.config.ingest,
            known=known_files(run.state.sources),
            warn=lambda text: view.line(text, style="yellow"),
        )
        if not files and not run.state.sources:
            console.print("there is nothing to do: the dataset knows no source; name videos, folders or a manifest")
            raise typer.Exit(Exit.USAGE)
        check_sources(run.state.sources, files, reassign=options.reassign)
        dataset.write_config()  # not before: a wrong argument or absent weights must leave a dataset as it was
        summary = run.build(files, only_given=options.command == "add")
    print_summary(console, dataset, summary)
    if stopper.stopped:
        raise typer.Exit(Exit.INTERRUPTED)
    if summary.broken or summary.left:
        raise typer.Exit(Exit.ERROR)
    return bool(summary.failed.total() or summary.quarantined.total())


def _end(quarantined: bool, quarantine_ok: bool) -> None:
    if quarantined and not quarantine_ok:
        raise typer.Exit(Exit.QUARANTINE)
