"""demo-animate: the network that `make demo-train` made, put to work and scored."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.animate import bar
from pipeline.cli.common import ConfigError, Exit, console, errors
from pipeline.cli.refusals import refusals
from schemas.clip import Kind

if TYPE_CHECKING:
    from train.evaluation.config import Metric

DRIVING, REFERENCE = "character_orbit", "character_pan"
"""Videos of the demo: whose motion is taken, and whose first frame is the picture (another character, same place)."""

KIND: Kind = "character"
"""Clips that are animated and scored: those of the task, a picture of a character."""

SIGNS: "dict[Metric, int]" = {"psnr": 1, "ssim": 1, "l1": -1}
"""Metrics that are won or lost; -1: less is better."""

GUIDANCE = 1.0
"""Without classifier-free guidance: it sharpens a large network's pictures, and takes a tiny one's off the mark."""


def demo_animate(
    folder: Annotated[Path, typer.Argument(help="The demo's folder, after `demo` and `python -m train.demo`.")] = Path(
        "demo-out"
    ),
    *,
    clips: Annotated[int | None, typer.Option(help="Clips to animate and score at most; default: all.", min=1)] = None,
    frames: Annotated[int | None, typer.Option(help="Frames of each at most; default: all.", min=2)] = None,
    steps: Annotated[int, typer.Option(help="DDIM steps.", min=1)] = 20,
) -> None:
    """Animate the demo's clips with the network trained on them, score it against repeating the reference, and animate
    one picture with another video.

    Example:

      mikudance demo-animate demo-out
    """
    with refusals():
        from pipeline.animate import AnimateConfig, animate
        from pipeline.animation.dataset import BASELINE, animate_split
        from pipeline.animation.first_frame import first_frame
        from pipeline.config_file import validate
        from pipeline.dataset import Dataset
        from train.evaluation.config import EvaluationConfig
        from train.evaluation.evaluate import evaluate
        from train.evaluation.table import json_report, markdown

        checkpoint = newest_export(folder / "train" / "stage2" / "export")
        dataset = str(folder / "dataset")
        opened = Dataset.open(dataset)
        output = folder / "animate"
        if output.is_dir():
            shutil.rmtree(output)  # of another training, perhaps: these outputs are made anew each time
        config = validate(AnimateConfig, {"frames": frames, "steps": steps, "guidance": GUIDANCE}, "the options")
        with bar() as shown:
            task = shown.add_task("starting", total=None)

            def say(text: str) -> None:
                shown.update(task, description=text, completed=0, total=None)

            def advance(done: int, total: int) -> None:
                shown.update(task, completed=done, total=total)

            release = opened.newest_release()
            splits = {entry.split for entry in release.shards if entry.kind == KIND} if release else set()
            split = next((s for s in ("test", "val") if s in splits), "train")
            animate_split(
                dataset,
                split,
                checkpoint,
                output,
                name="trained",
                config=config,
                kind=KIND,
                limit=clips,
                say=say,
                progress=advance,
            )
            methods = {name: output / name for name in ("trained", BASELINE)}
            report = evaluate(output / "real", methods, EvaluationConfig(), say)
            art = output / "picture.png"
            first_frame(folder / "videos" / f"{REFERENCE}.mp4", art)
            made = animate(
                art,
                folder / "videos" / f"{DRIVING}.mp4",
                checkpoint,
                output / "animation.mp4",
                config=config.model_copy(update={"side_by_side": True}),
                stages=opened.config,
                say=say,
                progress=advance,
            )
    text = markdown(report)
    (output / "scores.md").write_text(text, encoding="utf-8")
    (output / "scores.json").write_text(json_report(report), encoding="utf-8")
    console.print(text, markup=False)
    where = "the very clips that it was trained on" if split == "train" else "clips that it has not seen"
    console.print(
        f"scored on the {KIND} clips of split {split!r}, {where}; `{BASELINE}` shows the reference all the time",
        markup=False,
    )
    console.print(f"a picture animated: {made.path} (picture, driving video, pose, scene motion, result)", markup=False)
    for note in made.notes:
        errors.print(f"note: {note}", style="yellow", markup=False)
    ours, theirs = ({name: method.scores[name].value for name in SIGNS} for method in report.methods)
    figures = ", ".join(f"{name} {ours[name]:.4g} against {theirs[name]:.4g}" for name in SIGNS)
    worse = lost(ours, theirs)
    verdict = f"does not win on {', '.join(worse)}" if worse else "wins"
    console.print(f"over all {report.videos} clips the trained network {verdict}: {figures}", markup=False)
    if worse:
        raise typer.Exit(Exit.ERROR)


def lost(ours: "Mapping[Metric, float]", theirs: "Mapping[Metric, float]") -> list[str]:
    """The metrics on which ours are not better."""
    return [name for name, sign in SIGNS.items() if not sign * ours[name] > sign * theirs[name]]


def newest_export(folder: Path) -> Path:
    """The export of the most steps. Raises ConfigError saying how to make one."""
    from train.networks import find_export

    found = find_export(folder.parent)
    if found is None:
        raise ConfigError(f"{folder} holds no trained network; run `make demo-train` first")
    return found
