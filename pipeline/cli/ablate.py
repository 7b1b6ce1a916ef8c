"""ablate: the paper's ablation table out of trained variants, beside the published one."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from pipeline.cli.animate import CacheOption, bar, cache_bytes
from pipeline.cli.common import console
from pipeline.cli.evaluate import NetworksOption, ProtocolOption, named, read_networks
from pipeline.cli.refusals import refusals


def ablate(
    *,
    dataset: Annotated[str, typer.Option("--dataset", "-d", help="Dataset whose clips are animated.")],
    variant: Annotated[
        list[str], typer.Option(help="NAME=CHECKPOINT: an export of stage 2, or its URI; one for each row.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for all outputs and the table.")],
    split: Annotated[str, typer.Option(help="Which split.")] = "test",
    clips: Annotated[int | None, typer.Option(help="At most so many clips.", min=1)] = None,
    frames: Annotated[int | None, typer.Option(help="At most so many frames of each.", min=1)] = None,
    steps: Annotated[int, typer.Option(help="DDIM steps.", min=1)] = 20,
    protocol: ProtocolOption = "disco",
    networks: NetworksOption = None,
    cache: CacheOption = 8.0,
    device: Annotated[Literal["auto", "cuda", "cpu"], typer.Option(help="Where networks run.")] = "auto",
) -> None:
    """Animate a split with each trained variant (w/o MIX, MAN or SMT; Plücker; flow) and print the ablation table.

    Variants are trained with `python -m train` and the settings that docs/animation.md lists. Rows named as the paper's
    must have its setting, and all variants must be alike in everything else.

    Example:

      mikudance ablate -d data/mmd --variant full=runs/full/export/step-00060000 --variant "w/o SMT=runs/smt/…" -o out
    """
    with refusals():
        from pipeline.animate import AnimateConfig
        from pipeline.animation.dataset import animate_split
        from pipeline.config_file import validate
        from train.evaluation.ablation import check_variants
        from train.evaluation.config import EvaluationConfig
        from train.evaluation.evaluate import evaluate
        from train.evaluation.published import ABLATIONS
        from train.evaluation.table import json_report, markdown
        from train.stored_export import local_export

        options = {"frames": frames, "steps": steps, "device": device, "cache_bytes": cache_bytes(cache)}
        config = validate(AnimateConfig, options, "the options")
        settings = {"protocol": protocol, "networks": read_networks(networks), "device": device}
        scoring = validate(EvaluationConfig, settings, "the options")
        given = named(variant, "--variant", "full=runs/full/export/step-00060000")
        checkpoints = {name: local_export(checkpoint) for name, checkpoint in given.items()}
        check_variants(checkpoints)
        folders = {name: f"variant{number}" for number, name in enumerate(checkpoints)}
        with bar() as shown:
            task = shown.add_task("starting", total=None)
            for name, folder in folders.items():

                def say(text: str, name: str = name) -> None:
                    shown.update(task, description=f"{name}: {text}", completed=0, total=None)

                def advance(done: int, total: int) -> None:
                    shown.update(task, completed=done, total=total)

                animate_split(
                    dataset,
                    split,
                    checkpoints[name],
                    output,
                    name=folder,
                    config=config,
                    limit=clips,
                    say=say,
                    progress=advance,
                )
            report = evaluate(output / "real", {name: output / folder for name, folder in folders.items()}, scoring)
    text = markdown(report, ABLATIONS, title="Setting")
    (output / "ablation.md").write_text(text, encoding="utf-8")
    (output / "ablation.json").write_text(json_report(report), encoding="utf-8")
    console.print(text, markup=False)
