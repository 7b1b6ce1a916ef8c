"""demo: the main job on videos that the project renders itself."""

import shlex
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.common import Exit, Stopper, console
from pipeline.dataset import Dataset

DEMO_SIZE = 384
DEMO_FRAMES = 48


def demo(
    output: Annotated[Path, typer.Argument(help="Folder for the videos, the dataset and the contact sheet.")] = Path(
        "demo-out"
    ),
    *,
    size: Annotated[int, typer.Option(help="Frame width and height, pixels.", min=64, max=1024)] = DEMO_SIZE,
    frames: Annotated[int, typer.Option(help="Frames a clip.", min=16, max=240)] = DEMO_FRAMES,
) -> None:
    """Render demo videos and build a dataset of them on embedded defaults: CPU only, nothing to download but packages.

    Example:

      mikudance demo demo-out
    """
    from pipeline.config import DatasetConfig
    from pipeline.config_file import validate
    from pipeline.contact_sheet import contact_sheet
    from pipeline.demo import render_demo
    from pipeline.ingest.sources import discover
    from pipeline.progress import ProgressView
    from pipeline.report import print_summary
    from pipeline.run import Run, RunOptions
    from pipeline.sources import known_files
    from stages.jpeg import encode_jpeg

    videos, root = output / "videos", output / "dataset"
    console.print(f"1/3 rendering demo videos into {videos} ({size} px, {frames} frames a clip)")
    made = render_demo(videos, size=size, frames=frames)
    settings = {"decode": {"size": size}, "ingest": {"clip_frames": frames}}
    dataset = Dataset.create_or_open(str(root), validate(DatasetConfig, settings, "the demo's settings"))
    console.print(f"2/3 building a dataset of {len(made)} videos in {root}")
    with Stopper().installed() as stopper, ProgressView(console) as view:
        run = Run(dataset, view, RunOptions(command="demo", stop=stopper))
        known = known_files(run.state.sources)
        files = [
            file
            for kind in ("character", "camera")
            for file in discover(
                [str(video.path) for video in made if video.kind == kind],
                kind=kind,
                config=dataset.config.ingest,
                known=known,
            )
        ]
        summary = run.build(files)
    print_summary(console, dataset, summary)
    if summary.release is None or stopper.stopped:
        raise typer.Exit(Exit.INTERRUPTED if stopper.stopped else Exit.ERROR)
    sheet = output / "contact_sheet.jpg"
    sheet.write_bytes(encode_jpeg(contact_sheet(dataset, summary.release.release)))
    console.print(f"3/3 contact sheet: {sheet}")
    console.print("next steps:\n" + next_steps(root))
    if summary.failed or summary.left:
        raise typer.Exit(Exit.QUARANTINE)


def next_steps(root: Path) -> str:
    """Commands to go on with, one a line, that a shell takes as they are printed."""
    dataset = shlex.quote(str(root))
    steps = {
        f"mikudance status --dataset {dataset}": "progress, quarantine, what is left out",
        f"mikudance verify --dataset {dataset}": "checksums, schemas, shards, indexes",
        "mikudance build YOUR_VIDEOS --dataset my-data": "the same on your own videos",
    }
    activate = Path(sys.prefix) / "bin" / "activate"
    if shutil.which("mikudance") is None and activate.is_file():
        near = activate.relative_to(Path.cwd()) if activate.is_relative_to(Path.cwd()) else activate
        steps = {f"source {shlex.quote(str(near))}": "puts mikudance on this shell's PATH", **steps}
    width = max(map(len, steps))
    return "\n".join(f"  {command:<{width}}  # {purpose}" for command, purpose in steps.items())
