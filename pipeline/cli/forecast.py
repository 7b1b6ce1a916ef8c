"""`plan --clips N --gpus M`: what a dataset of N clips would take."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from pipeline.cli.common import console
from pipeline.dataset import Dataset

if TYPE_CHECKING:
    from pipeline.config import DatasetConfig

CORES_PER_GPU = 12
GPUS_PER_NODE = 8
"""Of a node with 8 GPUs and 96 cores."""


def print_forecast(
    dataset: str | None,
    *,
    config: Path | None,
    preset: str | None,
    clips: int,
    gpus: int,
    cpus: int | None,
    nodes: int | None,
    custom: list[str],
    frames: int | None,
    given: list[str],
    as_json: bool,
) -> None:
    """Prints hours, GPU hours and bytes by stage and in all. Raises BadParameter for a rate or count that is none, or a
    stage that fits no such machine.
    """
    from pipeline.forecast import Machines, dataset_rates, forecast, mean_frames, typical_rates, unfit, with_given
    from pipeline.report import human_bytes

    opened = Dataset.open(dataset) if dataset else None
    settings = _settings(opened, config, preset)
    rates = dataset_rates(opened) if opened else typical_rates()
    rates = with_given(rates, _numbers(given, "STAGE=SECONDS", set(rates.stages)))
    machines = Machines(
        cpus=cpus if cpus is not None else max(1, CORES_PER_GPU * gpus),
        gpus=gpus,
        nodes=nodes or max(1, -(-gpus // GPUS_PER_NODE)),
        custom=_numbers(custom, "NAME=COUNT"),
    )
    if problem := unfit(settings, machines):
        raise typer.BadParameter(problem)
    usual = (mean_frames(opened) if opened else None) or float(settings.ingest.clip_frames)
    scale = frames / usual if frames else 1.0
    found = forecast(settings, rates, clips=clips, machines=machines, frames_scale=scale)
    if as_json:
        stages = [
            {
                "stage": s.stage,
                "items": s.items,
                "seconds": s.rate.seconds,
                "basis": s.rate.basis,
                "workers": s.workers,
                "hours": s.hours,
                "core_hours": s.core_hours,
                "gpu_hours": s.gpu_hours,
                "bytes": s.bytes,
            }
            for s in found.stages
        ]
        total = {"hours": found.hours, "core_hours": found.core_hours, "gpu_hours": found.gpu_hours}
        console.print_json(data={"stages": stages, **total, "bytes": found.bytes, **vars(machines)})
        return
    heading = ("items", "s/item", "workers", "hours", "core h", "GPU h", "bytes")
    console.print(f"{'stage':<13}" + "".join(f"{name:>10}" for name in heading) + "  figures")
    for s in found.stages:
        hours = (f"{value:,.1f}" for value in (s.hours, s.core_hours, s.gpu_hours))
        row = (f"{s.items:,}", f"{s.rate.seconds:.2f}", str(s.workers), *hours, human_bytes(s.bytes))
        console.print(f"{s.stage:<13}" + "".join(f"{text:>10}" for text in row) + f"  {s.rate.basis}")
    console.print(
        f"in all at least {found.hours:,.1f} hours on {machines.cpus:g} cores and {gpus} GPUs "
        f"({machines.nodes} node{'s' if machines.nodes > 1 else ''}): "
        f"{found.core_hours:,.1f} core hours, {found.gpu_hours:,.1f} GPU hours, {human_bytes(found.bytes)}"
    )
    console.print(
        f"clips of {frames or round(usual)} frames, {rates.clips_per_source:.1f} from a source "
        f"({rates.clips_basis} ratio); "
        "typical figures are those of the embedded backends on one core (--rate STAGE=SECONDS gives others)"
    )
    if gpus and not found.gpu_hours:
        console.print("no stage of this configuration uses a GPU (run.STAGE.gpus): the GPUs only bring their cores")


def _settings(opened: Dataset | None, config: Path | None, preset: str | None) -> "DatasetConfig":
    """Those of the file, else of the dataset, else the defaults, with the preset over them: as `build` takes them."""
    from pipeline.config import DatasetConfig
    from pipeline.config_file import load, validate
    from pipeline.presets import preset_settings

    below = load(DatasetConfig, config) if config else opened.config if opened else DatasetConfig()
    if not preset:
        return below
    return validate(DatasetConfig, preset_settings(preset, below.model_dump(mode="json")), f"the preset {preset}")


def _numbers(texts: Iterable[str], form: str, names: set[str] | None = None) -> dict[str, float]:
    """NAME=NUMBER pairs, numbers above 0. names: those allowed, None for any."""
    found = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            number = float(value)
        except ValueError:
            number = -1.0
        if not name or (names is not None and name not in names) or not 0 < number < float("inf"):
            allowed = f", a stage being one of {', '.join(sorted(names))}" if names else ""
            raise typer.BadParameter(f"{text!r}: write {form}{allowed}")
        found[name] = number
    return found
