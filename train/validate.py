"""Validation: the same samples drawn from the same noise each time, as pictures or short videos, with their PSNR."""

from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
import torch
from torch import Tensor

from train.config import TrainConfig
from train.data.batch import TrainBatch, signed
from train.data.motion import finish
from train.data.rng import normal
from train.distributed import Ranks
from train.model.conditions import ConditionEncoder, keep_all
from train.model.config import LATENT_CHANNELS
from train.model.mikudance import MikuDance
from train.sampling.sampler import GivenConditions, sample_latents


class Validator:
    """Draws the fixed samples. All ranks draw all of them (they gather the same weights in the same order); rank 0
    writes.
    """

    def __init__(
        self, *, config: TrainConfig, model: MikuDance, conditioner: ConditionEncoder, ranks: Ranks, folder: Path
    ) -> None:
        self._config = config
        self._model = model
        self._conditioner = conditioner
        self._ranks = ranks
        self._folder = folder
        count = config.validation.samples
        changes = {"split": config.validation.split, "camera_share": None, "style_share": 0.0, "workers": 0}
        reader = config.reader.model_copy(update=changes).build(root=config.dataset, global_batch=count)
        self._batches = [reader.at([index]) for index in range(min(count, reader.order.epoch_size))]

    def run(self, step: int) -> dict[str, float]:
        """Writes `validation/step-…/` and returns the mean PSNR (dB) against the targets and against what the
        autoencoder makes of them, its own ceiling taken away.
        """
        scores = [self._one(batch, step) for batch in self._batches]
        means = np.mean(np.array(scores), axis=0)
        return {"validation_psnr": float(means[0]), "validation_psnr_autoencoder": float(means[1])}

    def _one(self, batch: TrainBatch, step: int) -> tuple[float, float]:
        batch = finish(batch, self._ranks.device, compat=self._config.model.motion_compat)
        conditions = self._conditioner.conditions(batch, keep_all(1))
        target = signed(batch.target[0])
        frames, _, height, width = target.shape
        noise = normal(
            self._config.seed,
            batch.global_index.cpu(),
            "validation",
            (frames, LATENT_CHANNELS, height // 8, width // 8),
        )
        half = self._config.parallel.precision == "bfloat16"
        with torch.autocast(self._ranks.device.type, torch.bfloat16, enabled=half):
            latents = sample_latents(
                self._model,
                guidance=GivenConditions(conditions),
                noise=noise[0].to(self._ranks.device),
                scheduler=self._config.noise.ddim_scheduler(),
                config=self._config.validation.sampling,
            )
        encoders = self._conditioner.encoders
        made, ceiling = encoders.decode(latents), encoders.decode(encoders.latents(target))
        if self._ranks.first:
            self._write(batch, made, step)
        return psnr(made, target), psnr(made, ceiling)

    def _write(self, batch: TrainBatch, made: Tensor, step: int) -> None:
        folder = self._folder / f"step-{step:08d}"
        folder.mkdir(parents=True, exist_ok=True)
        reference = batch.reference[0].expand_as(batch.target[0])
        drawn = made.add(1).mul(127.5).round().to(torch.uint8)
        sheets = torch.cat([reference, batch.pose_body[0], batch.target[0], drawn], dim=3)
        pictures = np.ascontiguousarray(sheets.permute(0, 2, 3, 1).cpu().numpy())
        name = batch.sample_ids[0]
        cv2.imwrite(str(folder / f"{name}.png"), pictures[-1][..., ::-1])
        if len(pictures) > 1:
            write_video(folder / f"{name}.mp4", pictures, fps=10)


def psnr(made: Tensor, target: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of pictures in [-1, 1]."""
    error = (made - target).square().mean().item()
    return float("inf") if error == 0 else float(10 * np.log10(4 / error))


def write_video(path: Path, frames: np.ndarray, *, fps: float) -> None:
    """RGB uint8 `[frames, height, width, 3]` as H.264 (yuv420p, which every player opens)."""
    writer = imageio_ffmpeg.write_frames(
        str(path), (frames.shape[2], frames.shape[1]), fps=fps, codec="libx264", macro_block_size=2, quality=8
    )
    writer.send(None)
    try:
        for frame in frames:
            writer.send(np.ascontiguousarray(frame))
    finally:
        writer.close()
