"""animate: a picture and a driving video in, an animation out. Needs the extra `train`."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pipeline.cli.common import ConfigError, SetOption, console, errors
from pipeline.cli.refusals import refusals
from pipeline.config_file import load, override, validate

FOR_VIDEO = ("driving", "camera_track", "stages", "settings", "fit", "side_by_side", "no_sound")
FOR_DATASET = ("split", "clips", "kind", "name")
"""Options that mean something for a driving video or for a dataset's clips alone."""
CacheOption = Annotated[
    float, typer.Option("--cache-gib", help="Device memory for reference features, GiB; less is slower.", min=0)
]


def animate(
    context: typer.Context,
    *,
    checkpoint: Annotated[
        str, typer.Option(help="Trained network: a folder export/step-… of stage 2, or the URI of a run or export.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help=".mp4, .webm, .gif, or a folder for png frames.")],
    reference: Annotated[Path | None, typer.Option(help="The picture to animate.")] = None,
    driving: Annotated[Path | None, typer.Option(help="The video whose motion and camera it follows.")] = None,
    dataset: Annotated[str | None, typer.Option("--dataset", "-d", help="Animate a dataset's clips instead.")] = None,
    split: Annotated[str, typer.Option(help="With --dataset: which split.")] = "test",
    clips: Annotated[int | None, typer.Option(help="With --dataset: at most so many clips.", min=1)] = None,
    kind: Annotated[
        Literal["character", "camera"] | None, typer.Option(help="With --dataset: clips of this kind alone.")
    ] = None,
    name: Annotated[str, typer.Option(help="With --dataset: the method's folder in OUTPUT.")] = "mikudance",
    camera_track: Annotated[Path | None, typer.Option(help="The driving video's MMD camera track (.vmd).")] = None,
    stages: Annotated[Path | None, typer.Option(help="YAML as a dataset's, for pose, camera and depth.")] = None,
    settings: SetOption = None,
    size: Annotated[str | None, typer.Option(help="WIDTHxHEIGHT, multiples of 8; default: the checkpoint's.")] = None,
    fit: Annotated[Literal["crop", "pad"], typer.Option(help="How the picture fills another shape.")] = "crop",
    frames: Annotated[int | None, typer.Option(help="Frames of each animation at most.", min=1)] = None,
    frame_step: Annotated[int | None, typer.Option(help="Driving frames from one output frame to the next.")] = None,
    depth_scale: Annotated[float, typer.Option(help="Factor on inverse depth: above 1 more parallax.")] = 1.0,
    no_scene_motion: Annotated[bool, typer.Option("--no-scene-motion", help="The scene stands still.")] = False,
    camera_only: Annotated[bool, typer.Option("--camera-only", help="The picture shows no character.")] = False,
    side_by_side: Annotated[bool, typer.Option("--side-by-side", help="Show the guidance beside the result.")] = False,
    no_sound: Annotated[bool, typer.Option("--no-sound", help="Leave the driving video's sound out.")] = False,
    steps: Annotated[int, typer.Option(help="DDIM steps.", min=1)] = 20,
    guidance: Annotated[float, typer.Option(help="Classifier-free guidance scale; 1 is without.")] = 3.5,
    window: Annotated[int | None, typer.Option(help="Frames the network sees at once; default: as trained.")] = None,
    overlap: Annotated[int | None, typer.Option(help="Frames that windows share; default: a third.")] = None,
    cache: CacheOption = 8.0,
    seed: Annotated[int, typer.Option(help="Seed of the noise.", min=0)] = 0,
    device: Annotated[Literal["auto", "cuda", "cpu"], typer.Option(help="Where the network runs.")] = "auto",
) -> None:
    """Animate a picture with the motion and the camera of a video; or every clip of a dataset's split, for `evaluate`.

    Examples:

      mikudance animate --reference art.png --driving dance.mp4 --checkpoint runs/stage2/export/step-00060000 -o out.mp4

      mikudance animate --dataset data/mmd --split test --checkpoint runs/stage2/export/step-00060000 -o out
    """
    from pipeline.config import DatasetConfig

    if (dataset is None) == (reference is None or driving is None) or (dataset is not None and reference is not None):
        raise ConfigError("give --reference and --driving, or --dataset")
    if dataset is None:
        refuse_given(context, FOR_DATASET, "without --dataset")
    else:
        refuse_given(context, FOR_VIDEO, "with --dataset, whose clips have their own signals")
    with refusals():
        from pipeline.animate import AnimateConfig, Animation, animate
        from pipeline.animation.dataset import animate_split

        config = validate(
            AnimateConfig,
            {
                "size": None if size is None else parse_size(size),
                "fit": fit,
                "frames": frames,
                "frame_step": frame_step,
                "depth_scale": depth_scale,
                "scene_motion": not no_scene_motion,
                "camera_only": camera_only,
                "side_by_side": side_by_side,
                "sound": not no_sound,
                "steps": steps,
                "guidance": guidance,
                "window": window,
                "overlap": overlap,
                "cache_bytes": cache_bytes(cache),
                "seed": seed,
                "device": device,
            },
            "the options",
        )
        base = load(DatasetConfig, stages).model_dump(mode="json") if stages else {}
        backends = validate(DatasetConfig, override(base, settings or []), str(stages or "the stages with --set"))
        with bar() as shown:
            task = shown.add_task("starting", total=None)

            def say(text: str) -> None:
                shown.update(task, description=text, completed=0, total=None)

            def advance(done: int, total: int) -> None:
                shown.update(task, completed=done, total=total)

            from train.stored_export import local_export  # torch: after all options were looked at

            say("opening the network")
            network = local_export(checkpoint)
            if dataset is not None:
                made = animate_split(
                    dataset,
                    split,
                    network,
                    output,
                    name=name,
                    config=config,
                    kind=kind,
                    limit=clips,
                    say=say,
                    progress=advance,
                )
                result = (
                    f"{made.clips} clips of split {split} in {output}: real, {name}, repeat\nnext: {made.next_step}"
                )
            else:
                assert reference is not None
                assert driving is not None
                done: Animation = animate(
                    reference,
                    driving,
                    network,
                    output,
                    config=config,
                    stages=backends,
                    camera_track=camera_track,
                    say=say,
                    progress=advance,
                )
                result = f"{done.frames} frames at {done.fps:g} a second: {done.path}"
                for note in done.notes:
                    errors.print(f"note: {note}", style="yellow", markup=False)
    console.print(result, markup=False)


def bar() -> Progress:
    """A progress line that says what is being done."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=errors, transient=True)


def refuse_given(context: typer.Context, names: Sequence[str], where: str) -> None:
    """Raises ConfigError naming those of the options that stand on the command line, for they would be ignored."""
    sources = {name: context.get_parameter_source(name) for name in names}
    typed = {name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"}
    given = [parameter.opts[0] for parameter in context.command.params if parameter.name in typed]
    if given:
        raise ConfigError(f"{', '.join(given)}: of no use {where}; leave it out")


def cache_bytes(gib: float) -> int:
    """Whole bytes of GiB. Raises ConfigError for what is no number of bytes."""
    if not math.isfinite(gib):
        raise ConfigError(f"--cache-gib {gib}: a number of GiB is expected")
    return int(gib * 2**30)


def parse_size(text: str) -> tuple[int, int]:
    """(width, height) of "768x512". Raises ConfigError."""
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdigit() and int(part) > 0 for part in parts):
        raise ConfigError(f"--size {text}: WIDTHxHEIGHT is expected, e.g. 768x768")
    return int(parts[0]), int(parts[1])
