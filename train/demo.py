"""`python -m train.demo DATASET -o OUT`: an autoencoder, stage 1 and stage 2 of a tiny model, on a CPU in minutes.

OUT/vae/       the autoencoder        OUT/stage1/ OUT/stage2/   runs, as `python -m train` leaves them
OUT/loss.png   the loss curves        OUT/stage2/export/step-…  what `MikuDancePipeline.from_pretrained` opens
"""

import argparse
import json
import logging
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from train.autoencoder import train_autoencoder
from train.config import TrainConfig, load_config
from train.loop import train
from train.metrics import read_metrics
from train.refusals import EXPECTED

log = logging.getLogger("train.demo")


@dataclass(frozen=True)
class DemoSizes:
    """How much is trained. size: width and height of the pictures, pixels. frames: of a window in stage 2."""

    autoencoder_steps: int = 2000
    stage1_steps: int = 2400
    stage2_steps: int = 1200
    size: int = 128
    frames: int = 8


def demo(dataset: str, output: Path, sizes: DemoSizes) -> Path | None:
    """Trains everything and returns the last export, or None where SIGTERM ended it. What is in `output` already is
    kept, and gone on with.
    """
    first = stage_config(1, dataset, output, sizes)
    second = stage_config(2, dataset, output, sizes)
    train_or_keep_autoencoder(first, output / "vae", sizes.autoencoder_steps)
    curves = {"autoencoder": json.loads((output / "vae" / "errors.json").read_text())}
    for config in (first, second):
        if train(config).interrupted:
            return None
        lines = read_metrics(config.folder / "metrics.jsonl")
        curves[f"stage {config.stage}"] = [line["loss"] for line in lines]
        plot_curves(curves, output / "loss.png")
    return output / "stage2" / "export" / f"step-{sizes.stage2_steps:08d}"


def stage_config(stage: int, dataset: str, output: Path, sizes: DemoSizes) -> TrainConfig:
    """tiny.yaml, for one stage of the demonstration."""
    steps = sizes.stage1_steps if stage == 1 else sizes.stage2_steps
    settings = [
        f"stage={stage}",
        f"dataset={dataset}",
        f"output={output / f'stage{stage}'}",
        f"steps={steps}",
        f"reader.stage={stage}",
        f"reader.frames={1 if stage == 1 else sizes.frames}",
        f"reader.size=[{sizes.size}, {sizes.size}]",
        f"weights.vae={output / 'vae'}",
        f"checkpoint.every={max(1, steps // 4)}",
        f"validation.every={steps}",
        # The noisiest step is pure noise and asks for the picture itself. At lesser noise the noisy frame tells which
        # one it is; what the pose tells is learnt where nothing else does.
        "noise={prediction: v_prediction, zero_snr: true, timestep_shift: 3}",
        # The gradients of a run this short change fast: a short memory of their squares, and a rate that falls to zero.
        "optimizer={lr: 2.0e-3, beta2: 0.98, warmup_steps: 20, decay_share: 1, ema_decay: 0.99}",
        # Nothing is hidden: what a network of this size is not shown, it does not learn.
        "dropout={pose: 0, motion: 0, unconditional: 0}",
        # Some hundreds of pictures come again and again, uncropped: encoding them took most of a step.
        f"encoding={{sample_target: false, cache_bytes: {64 << 20}}}",
    ]
    if stage == 1:
        settings += ["global_batch=8", "micro_batch=8"]
    else:
        stage1 = f"weights.stage1={output / 'stage1'}"
        settings += [stage1, "reader.camera_share=null", "global_batch=2", "micro_batch=2"]
    return load_config("tiny.yaml", settings)


def train_or_keep_autoencoder(config: TrainConfig, folder: Path, steps: int) -> None:
    """Writes `folder`, unless it is there: the autoencoder, and its error at each step in `errors.json`."""
    if folder.is_dir():
        return
    log.info("autoencoder: %d steps", steps)
    vae, errors = train_autoencoder(read_pictures(config), steps=steps)
    part = folder.with_suffix(".tmp")  # a folder that is half written must not be taken for a whole one
    vae.save_pretrained(part)
    (part / "errors.json").write_text(json.dumps(errors))
    part.rename(folder)


def read_pictures(config: TrainConfig, samples: int = 96) -> torch.Tensor:
    """Frames and pose drawings of clips of both kinds, uint8 `[N, 3, H, W]`: the autoencoder meets all of them."""
    both = config.reader.model_copy(update={"camera_share": None})
    reader = both.build(root=config.dataset, global_batch=1)
    parts = []
    for index in range(samples):
        batch = reader.at([index])
        parts += [batch.reference, batch.target[:, 0], batch.pose_body[:, 0]]
        if index % 4 == 0:  # small strokes on black, most of them alike
            parts += [batch.pose_face[:, 0], batch.pose_hand[:, 0]]
    return torch.cat(parts)


def plot_curves(curves: dict[str, list[float]], path: Path) -> None:
    """Loss against step, one panel a stage, with the mean over the last twenty, or fiftieth part, of the steps."""
    import matplotlib as mpl

    mpl.use("Agg")
    import numpy as np
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(curves), figsize=(5 * len(curves), 3.5), squeeze=False)
    for panel, (name, values) in zip(panels[0], curves.items(), strict=True):
        width = max(20, len(values) // 50)
        sums = np.concatenate([[0.0], np.cumsum(values)])
        ends = np.arange(1, len(values) + 1)
        starts = np.maximum(ends - width, 0)
        panel.plot(ends, values, color="0.8", linewidth=0.8)
        panel.plot(ends, (sums[ends] - sums[starts]) / (ends - starts), color="C0", label=f"mean of {width} steps")
        panel.set(title=name, xlabel="step", ylabel="mean squared error", yscale="log")
        panel.legend()
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 done, 2 refused with the reason on stderr."""
    parser = argparse.ArgumentParser(prog="train.demo", description="Trains a tiny model of the true architecture.")
    default = DemoSizes()
    parser.add_argument("dataset", help="folder of a dataset with at least one release")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder to write to")
    parser.add_argument("--autoencoder-steps", type=int, default=default.autoencoder_steps)
    parser.add_argument("--stage1-steps", type=int, default=default.stage1_steps)
    parser.add_argument("--stage2-steps", type=int, default=default.stage2_steps)
    parser.add_argument("--size", type=int, default=default.size, help="width and height of the pictures, pixels")
    parser.add_argument("--frames", type=int, default=default.frames, help="frames of a stage-2 window")
    given = parser.parse_args(arguments)
    sizes = DemoSizes(**{name: value for name, value in vars(given).items() if name not in ("dataset", "output")})
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    try:
        export = demo(given.dataset, given.output, sizes)
    except EXPECTED as error:
        sys.stderr.write(f"train.demo: {error}\n")
        return 2
    if export is None:
        log.info("asked to end; the same command goes on")
    else:
        log.info("loss curves: %s; network: %s", given.output / "loss.png", export)
    return 0


if __name__ == "__main__":
    sys.exit(main())
