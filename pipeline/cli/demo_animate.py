"""demo-animate: the network that `make demo-train` made, put to work and scored."""

import shutil
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.animate import bar
from pipeline.cli.common import Exit, console, errors
from pipeline.cli.refusals import refusals

DRIVING, REFERENCE = "character_truck", "character_orbit"
"""Videos of the demo: whose motion is taken, and whose first frame is the picture."""

ANIMATED = 48
"""Driving frames of the animated picture."""


def demo_animate(
    folder: Annotated[Path, typer.Argument(help="The demo's folder, after `demo` and `python -m train.demo`.")] = Path(
        "demo-out"
    ),
    *,
    clips: Annotated[int, typer.Option(help="Clips of the dataset to animate and score.", min=1)] = 4,
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
        config = validate(AnimateConfig, {"frames": frames, "steps": steps}, "the options")
        with bar() as shown:
            task = shown.add_task("starting", total=None)

            def say(text: str) -> None:
                shown.update(task, description=text, completed=0, total=None)

            def advance(done: int, total: int) -> None:
                shown.update(task, completed=done, total=total)

            release = opened.newest_release()
            splits = {entry.split for entry in release.shards} if release else set()
            split = next((s for s in ("test", "val") if s in splits), "train")
            animate_split(
                dataset,
                split,
                checkpoint,
                output,
                name="trained",
                config=config,
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
                config=config.model_copy(update={"side_by_side": True, "frames": frames or ANIMATED}),
                stages=opened.config,
                say=say,
                progress=advance,
            )
    text = markdown(report)
    (output / "scores.md").write_text(text, encoding="utf-8")
    (output / "scores.json").write_text(json_report(report), encoding="utf-8")
    console.print(text, markup=False)
    where = "clips that the network was trained on" if split == "train" else "clips it has not seen"
    console.print(f"scored on split {split!r}, {where}; `{BASELINE}` shows the reference all the time", markup=False)
    console.print(f"a picture animated: {made.path} (picture, driving video, pose, scene motion, result)", markup=False)
    for note in made.notes:
        errors.print(f"note: {note}", style="yellow", markup=False)
    trained, repeat = (method.scores for method in report.methods)
    worse = [
        name
        for name, sign in (("psnr", 1), ("ssim", 1), ("l1", -1))
        if sign * (trained[name].value - repeat[name].value) <= 0  # type: ignore[index]
    ]
    if worse:
        errors.print(f"error: the trained network does not win on {', '.join(worse)}", style="red")
        raise typer.Exit(Exit.ERROR)
    console.print("the trained network wins on PSNR, SSIM and L1")


def newest_export(folder: Path) -> Path:
    """The export of the most steps. Raises FileNotFoundError saying how to make one."""
    exports = sorted(folder.glob("step-*")) if folder.is_dir() else []
    if not exports:
        raise FileNotFoundError(f"{folder} holds no trained network; run `make demo-train` first")
    return exports[-1]
