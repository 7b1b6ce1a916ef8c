"""Opens the networks that a configuration names."""

from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNetMotionModel
from torch import nn
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from train.checkpoint import newest_checkpoint, read_unsharded
from train.config import ConfigError, TrainConfig
from train.model.build import build_stage1, build_stage2
from train.model.config import ModelConfig
from train.model.encoders import Encoders
from train.model.mikudance import MikuDance
from train.model.saving import MANIFEST, load_model, open_image_encoder, open_part
from train.weights.bases import load_motion_modules, load_sd15_unet
from train.weights.files import LoadReport
from train.weights.published import load_published


def open_model(config: TrainConfig) -> tuple[MikuDance, tuple[LoadReport, ...]]:
    """The network on the CPU, its weights loaded, and reports on the files of others. Raises ConfigError,
    WeightsError, SavedModelError.
    """
    weights, reports = config.weights, []
    if config.stage == 2 and weights.stage1 is not None:
        stage1 = open_stage1(weights.stage1, config.model, config.seed)
    elif weights.sd15 is not None:
        base, report = load_sd15_unet(weights.sd15, config.model)
        reports.append(report)
        stage1 = build_stage1(config.model, base=base, seed=config.seed)
    elif weights.random or (config.stage == 2 and weights.published is not None):
        stage1 = build_stage1(config.model, seed=config.seed)
    else:
        wanted = "weights.sd15" if config.stage == 1 else "weights.stage1 (a finished run of stage 1)"
        raise ConfigError(f"there is nothing to start from: set {wanted}, or weights.random: true for a demonstration")
    if config.stage == 1:
        return stage1, tuple(reports)
    model = build_stage2(config.model, stage1, seed=config.seed)
    if weights.motion_modules is not None and isinstance(model.denoiser, UNetMotionModel):
        reports.append(load_motion_modules(weights.motion_modules, model.denoiser))
    if weights.published is not None:
        reports.extend(load_published(weights.published, model))
    return model, tuple(reports)


def open_stage1(path: Path, config: ModelConfig, seed: int = 0) -> MikuDance:
    """A stage-1 network from an export, a checkpoint, or a run's folder (its newest export, else checkpoint)."""
    export = find_export(path)
    if export is not None:
        saved, model = load_model(export)
        if saved.stage != 1:
            raise ConfigError(f"{export} is of stage {saved.stage}; weights.stage1 wants stage 1")
        for name in ("unet", "guidance", "reference_channels", "reference_attention"):
            have, want = getattr(saved.model, name), getattr(config, name)
            if have != want:
                raise ConfigError(f"{export} was trained with model.{name} = {have}, the configuration says {want}")
        return model
    checkpoint = path if (path / ".metadata").is_file() else newest_checkpoint(path)
    if checkpoint is None:
        raise ConfigError(f"{path} holds neither an export nor a checkpoint of stage 1")
    model = build_stage1(config, seed=seed)
    read_unsharded(checkpoint, model)
    return model


def find_export(path: Path) -> Path | None:
    """`path` itself where it is an export, or the newest export of the run at `path`."""
    if (path / MANIFEST).is_file():
        return path
    exports = sorted(p.parent for p in path.glob(f"export/step-*/{MANIFEST}") if p.parent.suffix != ".tmp")
    return exports[-1] if exports else None


def open_encoders(config: TrainConfig) -> Encoders:
    """The frozen networks. Raises ConfigError naming the setting that is absent."""
    weights = config.weights
    export = None if weights.stage1 is None else find_export(weights.stage1)
    vae: nn.Module
    if (folder := _first(weights.vae, _inside(export, "vae"), _inside(weights.sd15, "vae"))) is not None:
        vae = open_part(AutoencoderKL, folder, torch.float32)
    elif weights.random:
        vae = random_vae(config.seed)
    else:
        raise ConfigError("there is no autoencoder: set weights.vae (sd-vae-ft-mse)")
    if (folder := _first(_nested(weights.image_encoder), _inside(export, "image_encoder"))) is not None:
        encoder = open_image_encoder(folder)
    elif weights.random:
        encoder = random_image_encoder(config.model, config.seed)
    else:
        raise ConfigError("there is no image encoder: set weights.image_encoder (sd-image-variations-diffusers)")
    width = encoder.config.projection_dim
    if width != config.model.unet.cross_attention_dim:
        raise ConfigError(f"the image encoder's tokens are {width} wide, model.unet.cross_attention_dim differs")
    encoding = config.encoding
    return Encoders(vae=vae, image_encoder=encoder, chunk=encoding.chunk, cache_bytes=encoding.cache_bytes)


def random_vae(seed: int, channels: int = 16) -> AutoencoderKL:
    """An untrained autoencoder of the true factor and latent channels; `train.demo` trains one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(channels, channels, 2 * channels, 2 * channels),
            layers_per_block=1,
            latent_channels=4,
            norm_num_groups=8,
        )


def random_image_encoder(config: ModelConfig, seed: int) -> CLIPVisionModelWithProjection:
    """A small untrained CLIP vision tower. Random features still tell pictures apart."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return CLIPVisionModelWithProjection(
            CLIPVisionConfig(
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=2,
                image_size=64,
                patch_size=16,
                projection_dim=config.unet.cross_attention_dim,
            )
        )


def _first(*folders: Path | None) -> Path | None:
    return next((folder for folder in folders if folder is not None), None)


def _inside(folder: Path | None, name: str) -> Path | None:
    return folder / name if folder is not None and (folder / name).is_dir() else None


def _nested(folder: Path | None) -> Path | None:
    """The folder of an image encoder itself where the root of its repository was given."""
    return _inside(folder, "image_encoder") or folder
