"""`plan --clips N --gpus M`: what a dataset of N clips would take."""

import typer

from pipeline.cli.common import console
from pipeline.dataset import Dataset

CORES_PER_GPU = 12
"""Of a node with 8 GPUs and 96 cores."""


def print_forecast(
    dataset: str | None, *, clips: int, gpus: int, cpus: int | None, frames: int | None, given: list[str], as_json: bool
) -> None:
    """Prints hours, GPU hours and bytes by stage and in all. Raises BadParameter for a rate that is none, or a stage
    that fits no such machine.
    """
    from pipeline.config import DatasetConfig
    from pipeline.forecast import dataset_rates, forecast, mean_frames, typical_rates, unfit, with_given
    from pipeline.report import human_bytes

    opened = Dataset.open(dataset) if dataset else None
    config = opened.config if opened else DatasetConfig()
    rates = dataset_rates(opened) if opened else typical_rates()
    rates = with_given(rates, _given(given, set(rates.stages)))
    cores = cpus if cpus is not None else max(1, CORES_PER_GPU * gpus)
    if problem := unfit(config, cpus=cores, gpus=gpus):
        raise typer.BadParameter(problem)
    usual = (mean_frames(opened) if opened else None) or float(config.ingest.clip_frames)
    scale = frames / usual if frames else 1.0
    found = forecast(config, rates, clips=clips, cpus=cores, gpus=gpus, frames_scale=scale)
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
        console.print_json(data={"stages": stages, **total, "bytes": found.bytes, "cpus": cores, "gpus": gpus})
        return
    heading = ("items", "s/item", "workers", "hours", "core h", "GPU h", "bytes")
    console.print(f"{'stage':<13}" + "".join(f"{name:>10}" for name in heading) + "  figures")
    for s in found.stages:
        hours = (f"{value:,.1f}" for value in (s.hours, s.core_hours, s.gpu_hours))
        row = (f"{s.items:,}", f"{s.rate.seconds:.2f}", str(s.workers), *hours, human_bytes(s.bytes))
        console.print(f"{s.stage:<13}" + "".join(f"{text:>10}" for text in row) + f"  {s.rate.basis}")
    console.print(
        f"in all at least {found.hours:,.1f} hours on {cores} cores and {gpus} GPUs: "
        f"{found.core_hours:,.1f} core hours, {found.gpu_hours:,.1f} GPU hours, {human_bytes(found.bytes)}"
    )
    console.print(
        f"clips of {frames or round(usual)} frames, {rates.clips_per_source:.1f} from a source "
        f"({rates.clips_basis} ratio); "
        "typical figures are those of the embedded backends on one core (--rate STAGE=SECONDS gives others)"
    )
    if gpus and not found.gpu_hours:
        console.print("no stage of this configuration uses a GPU (run.STAGE.gpus): the GPUs only bring their cores")


def _given(texts: list[str], stages: set[str]) -> dict[str, float]:
    found = {}
    for text in texts:
        stage, _, value = text.partition("=")
        try:
            seconds = float(value)
        except ValueError:
            seconds = -1.0
        if stage not in stages or not 0 < seconds < float("inf"):
            raise typer.BadParameter(f"{text!r}: write STAGE=SECONDS, a stage being one of {', '.join(sorted(stages))}")
        found[stage] = seconds
    return found
