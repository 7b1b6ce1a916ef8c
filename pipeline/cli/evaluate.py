"""evaluate: scores folders of animations against the real videos. Needs the extras `train` and `evaluate`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from pipeline.cli.animate import parse_size
from pipeline.cli.common import ConfigError, console
from pipeline.cli.refusals import refusals
from pipeline.config_file import parse_yaml, validate

ProtocolOption = Annotated[
    Literal["disco", "corrected"],
    typer.Option(help="disco: how the paper's numbers are made; corrected: docs/evaluation.md says what differs."),
]
NetworksOption = Annotated[
    Path | None,
    typer.Option("--networks", help="YAML with path and sha256 of fid, lpips, fid_vid, fvd; absent ones are left out."),
]


def evaluate(
    *,
    real: Annotated[Path, typer.Option(help="Folder of the real videos, or of folders of their frames.")],
    method: Annotated[list[str], typer.Option(help="NAME=DIR: outputs of a method, named as the real videos.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for scores.md, .csv and .json.")] = None,
    protocol: ProtocolOption = "disco",
    networks: NetworksOption = None,
    published: Annotated[bool, typer.Option("--published", help="Add the paper's rows to the table.")] = False,
    frames: Annotated[int | None, typer.Option(help="Score the first so many frames of each video.", min=1)] = None,
    size: Annotated[
        str | None, typer.Option(help="WIDTHxHEIGHT to resize all videos to; else sizes must agree.")
    ] = None,
    device: Annotated[Literal["auto", "cuda", "cpu"], typer.Option(help="Where TorchScript networks run.")] = "auto",
    resamples: Annotated[int, typer.Option(help="Bootstrap resamples; 0: no intervals.", min=0)] = 1000,
) -> None:
    """Score any number of methods: FID, SSIM, PSNR, LPIPS, L1, FID-VID, FVD.

    Example:

      mikudance evaluate --real out/real --method ours=out/ours --method repeat=out/repeat -o out/scores
    """
    with refusals():
        from train.evaluation import table
        from train.evaluation.config import EvaluationConfig
        from train.evaluation.evaluate import evaluate as score
        from train.evaluation.published import COMPARISON

        settings = {
            "protocol": protocol,
            "networks": read_networks(networks),
            "frames": frames,
            "size": None if size is None else parse_size(size),
            "device": device,
            "resamples": resamples,
            "frechet_resamples": min(resamples, 100),
        }
        config = validate(EvaluationConfig, settings, "the options")
        with console.status("scoring") as status:
            report = score(real, named_folders(method), config, status.update)
    text = table.markdown(report, COMPARISON if published else None)
    console.print(text, markup=False)
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        for name, content in (
            ("scores.md", text),
            ("scores.csv", table.csv_table(report)),
            ("videos.csv", table.csv_videos(report)),
            ("scores.json", table.json_report(report)),
        ):
            (output / name).write_text(content, encoding="utf-8")
        console.print(f"written to {output}: scores.md, scores.csv, videos.csv, scores.json")


def read_networks(path: Path | None) -> dict[str, object]:
    """The sections of a networks file, paths relative to the file itself."""
    if path is None:
        return {}
    data = parse_yaml(path.read_bytes(), str(path))
    for entry in data.values():
        if isinstance(entry, dict) and isinstance(entry.get("path"), str):
            entry["path"] = str(path.parent / entry["path"])
    return data


def named_folders(given: list[str]) -> dict[str, Path]:
    """Folders by name of the arguments of --method. Raises ConfigError."""
    return {name: Path(folder) for name, folder in named(given, "--method", "ours=out/ours").items()}


def named(given: list[str], option: str, example: str) -> dict[str, str]:
    """What stands after the names in the NAME=FOLDER arguments of an option. Raises ConfigError."""
    methods: dict[str, str] = {}
    for text in given:
        name, sign, folder = text.partition("=")
        if not (name and sign and folder):
            raise ConfigError(f"{option} {text}: NAME=FOLDER is expected, e.g. {example}")
        if name in methods:
            raise ConfigError(f"{option} {name} stands twice; names must differ")
        methods[name] = folder
    return methods
