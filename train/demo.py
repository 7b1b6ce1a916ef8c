"""`python -m train.demo DATASET -o OUT`: an autoencoder, stage 1 and stage 2 of a tiny model, on a CPU in minutes.

OUT/vae/       the autoencoder        OUT/stage1/ OUT/stage2/   runs, as `python -m train` leaves them
OUT/loss.png   the loss curves        OUT/stage2/export/step-…  what `MikuDancePipeline.from_pretrained` opens
"""

import argparse
import logging
import sys
from pathlib import Path

import torch

from train.__main__ import EXPECTED
from train.autoencoder import train_autoencoder
from train.config import TrainConfig, load_config
from train.loop import train
from train.metrics import read_metrics

log = logging.getLogger("train.demo")


def demo(
    dataset: str, output: Path, *, autoencoder_steps: int, stage1_steps: int, stage2_steps: int, size: int, frames: int
) -> Path:
    """Trains everything and returns the last export. Runs that are in `output` already are gone on with."""
    first = stage_config(1, dataset, output, stage1_steps, size, 1)
    second = stage_config(2, dataset, output, stage2_steps, size, frames)
    curves: dict[str, list[float]] = {}
    if not (output / "vae" / "config.json").is_file():
        log.info("autoencoder: %d steps", autoencoder_steps)
        vae, errors = train_autoencoder(read_pictures(first), steps=autoencoder_steps)
        vae.save_pretrained(output / "vae")
        curves["autoencoder"] = errors
    for config in (first, second):
        train(config)
        lines = read_metrics(config.output / "metrics.jsonl")
        curves[f"stage {config.stage}"] = [line["loss"] for line in lines]
    plot_curves(curves, output / "loss.png")
    return output / "stage2" / "export" / f"step-{stage2_steps:08d}"


def stage_config(stage: int, dataset: str, output: Path, steps: int, size: int, frames: int) -> TrainConfig:
    """tiny.yaml, for one stage of the demonstration."""
    settings = [
        f"stage={stage}",
        f"dataset={dataset}",
        f"output={output / f'stage{stage}'}",
        f"steps={steps}",
        f"reader.stage={stage}",
        f"reader.frames={frames}",
        f"reader.size=[{size}, {size}]",
        f"weights.vae={output / 'vae'}",
        f"checkpoint.every={max(1, steps // 2)}",
        f"validation.every={steps}",
    ]
    if stage == 2:
        stage1 = f"weights.stage1={output / 'stage1'}"
        settings += [stage1, "reader.camera_share=null", "global_batch=2", "micro_batch=1"]
    return load_config("tiny.yaml", settings)


def read_pictures(config: TrainConfig, limit: int = 192) -> torch.Tensor:
    """Frames and pose drawings of the dataset, uint8 `[N, 3, H, W]`: the autoencoder sees both."""
    reader = config.reader.build(root=config.dataset, global_batch=1)
    parts = []
    for index in range(limit // 4):
        batch = reader.at([index])
        parts += [batch.reference, batch.target[:, 0], batch.pose_body[:, 0], batch.pose_hand[:, 0]]
    return torch.cat(parts)


def plot_curves(curves: dict[str, list[float]], path: Path) -> None:
    """Loss against step, one panel a stage, with the mean of the last twenty steps."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(curves), figsize=(5 * len(curves), 3.5), squeeze=False)
    for panel, (name, values) in zip(panels[0], curves.items(), strict=True):
        smooth = [sum(values[max(0, i - 19) : i + 1]) / len(values[max(0, i - 19) : i + 1]) for i in range(len(values))]
        panel.plot(range(1, len(values) + 1), values, color="0.8", linewidth=0.8)
        panel.plot(range(1, len(values) + 1), smooth, color="C0")
        panel.set(title=name, xlabel="step", ylabel="mean squared error", yscale="log")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 done, 2 refused with the reason on stderr."""
    parser = argparse.ArgumentParser(prog="train.demo", description="Trains a tiny model of the true architecture.")
    parser.add_argument("dataset", help="folder of a dataset with at least one release")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder to write to")
    parser.add_argument("--autoencoder-steps", type=int, default=400)
    parser.add_argument("--stage1-steps", type=int, default=300)
    parser.add_argument("--stage2-steps", type=int, default=60)
    parser.add_argument("--size", type=int, default=128, help="width and height of the pictures, pixels")
    parser.add_argument("--frames", type=int, default=8, help="frames of a stage-2 window")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    try:
        export = demo(
            given.dataset,
            given.output,
            autoencoder_steps=given.autoencoder_steps,
            stage1_steps=given.stage1_steps,
            stage2_steps=given.stage2_steps,
            size=given.size,
            frames=given.frames,
        )
    except EXPECTED as error:
        sys.stderr.write(f"train.demo: {error}\n")
        return 2
    log.info("loss curves: %s; network: %s", given.output / "loss.png", export)
    return 0


if __name__ == "__main__":
    sys.exit(main())
