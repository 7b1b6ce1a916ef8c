"""study: a blind ranking page out of several methods' outputs, and the count of its answers."""

import random
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.common import console
from pipeline.cli.evaluate import named_folders
from pipeline.cli.refusals import refusals

app = typer.Typer(help="The paper's user study: a blind ranking page, and what its answers say.", no_args_is_help=True)


@app.command()
def make(
    *,
    method: Annotated[list[str], typer.Option(help="NAME=DIR: outputs of a method; two or more.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for page.html and key.json.")],
    context: Annotated[Path | None, typer.Option(help="Folder of videos to show above, e.g. the driving ones.")] = None,
    videos: Annotated[int, typer.Option(help="Videos to ask about, drawn at random; the paper took 20.", min=1)] = 20,
    fps: Annotated[float, typer.Option(help="Rate of folders of frames; a video keeps its own.", min=1)] = 30.0,
    seed: Annotated[int, typer.Option(help="Seed of the draw of videos.")] = 0,
) -> None:
    """Make a blind ranking page: one file to send, and a key to keep.

    Example:

      mikudance study make --method ours=out/ours --method theirs=out/theirs -o study
    """
    with refusals():
        from pipeline.study.page import Shown, StudyError, make_page
        from train.evaluation.media import Sequence, sequences

        def shown(video: Sequence) -> Shown:
            return Shown(video.frames(), video.rate() or fps)

        folders = {name: sequences(folder) for name, folder in named_folders(method).items()}
        shared = sorted(set.intersection(*(set(found) for found in folders.values())))
        if not shared:
            raise StudyError("the methods share no video; their files must have equal names")
        chosen = sorted(random.Random(seed).sample(shared, min(videos, len(shared))))  # noqa: S311 (a draw, no secret)
        around = sequences(context) if context else {}
        key = make_page(
            {name: {label: shown(found[name]) for label, found in folders.items()} for name in chosen},
            page=output / "page.html",
            key=output / "key.json",
            context={name: shown(around[name]) for name in chosen if name in around},
        )
    console.print(
        f"{len(chosen)} videos of {', '.join(key.methods)}\n"
        f"send {output / 'page.html'} to the participants; keep {output / 'key.json'}; they send back one file each",
        markup=False,
    )


@app.command()
def count(
    answers: Annotated[list[Path], typer.Argument(help="Answer files that participants sent back.")],
    *,
    key: Annotated[Path, typer.Option(help="The study's key.json.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Markdown file to write as well.")] = None,
) -> None:
    """Count the answers: how often each method came first, and its mean place, with confidence intervals.

    Example:

      mikudance study count --key study/key.json answers/*.json
    """
    with refusals():
        from pipeline.study.results import count as count_answers
        from pipeline.study.results import markdown, read_key

        text = markdown(count_answers(read_key(key), answers))
    console.print(text, markup=False)
    if output is not None:
        output.write_text(text, encoding="utf-8")
