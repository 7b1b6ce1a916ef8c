"""Opens the networks that a configuration names."""

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNetMotionModel
from torch import nn
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from train.checkpoint import newest_checkpoint, read_trainer_state, read_unsharded
from train.config import ConfigError, TrainConfig
from train.model.build import build_stage1, build_stage2
from train.model.config import ModelConfig
from train.model.encoders import Encoders
from train.model.mikudance import MikuDance
from train.model.saving import MANIFEST, load_model_reported, open_image_encoder, open_part
from train.resume import changed, flat
from train.weights.bases import load_motion_modules, load_sd15_unet
from train.weights.files import LoadReport
from train.weights.published import load_published

MEANING = (
    "model.unet.",
    "model.guidance",
    "model.reference_attention",
    "noise.prediction",
    "noise.timesteps",
    "noise.beta_",
    "noise.zero_snr",
    "encoding.pose_range",
)
"""What a network takes and gives. What only weighs or perturbs samples may differ between the stages."""


def open_model(config: TrainConfig) -> tuple[MikuDance, tuple[LoadReport, ...]]:
    """The network on the CPU, its weights loaded, and reports on the files. Raises ConfigError, WeightsError,
    SavedModelError.
    """
    weights = config.weights
    if config.stage == 1:
        return _start_stage1(config)
    reports: list[LoadReport] = []
    if weights.published is not None:
        check_published(config)
        stage1 = build_stage1(config.model, seed=config.seed)
    elif weights.stage1 is not None:
        stage1, found = open_stage1(Path(weights.stage1), config)
        reports += found
    elif weights.random:
        stage1, found = _start_stage1(config)
        reports += found
    else:
        raise ConfigError(
            "there is no stage 1 to start from: set weights.stage1 (a finished run of stage 1), or weights.random: "
            "true for a demonstration; Stable Diffusion alone (weights.sd15) has never seen a reference or a pose"
        )
    model = build_stage2(config.model, stage1, seed=config.seed)
    if weights.motion_modules is not None and isinstance(model.denoiser, UNetMotionModel):
        reports.append(load_motion_modules(weights.motion_modules, model.denoiser))
    if weights.published is not None:
        reports.extend(load_published(weights.published, model))
    return model, tuple(reports)


def _start_stage1(config: TrainConfig) -> tuple[MikuDance, tuple[LoadReport, ...]]:
    if config.weights.sd15 is not None:
        base, report = load_sd15_unet(config.weights.sd15, config.model)
        return build_stage1(config.model, base=base, seed=config.seed), (report,)
    if config.weights.random:
        return build_stage1(config.model, seed=config.seed), ()
    raise ConfigError("there is nothing to start from: set weights.sd15, or weights.random: true for a demonstration")


def check_published(config: TrainConfig) -> None:
    """Raises ConfigError unless a configuration takes what the released weights were trained on."""
    found = {
        "noise.prediction": (config.noise.prediction, "v_prediction"),
        "noise.zero_snr": (config.noise.zero_snr, True),
        "encoding.pose_range": (config.encoding.pose_range, "unit"),
        "model.motion_compat": (config.model.motion_compat, "published"),
        "model.motion_scale": (config.model.motion_scale, 1.0),
    }
    wrong = [f"{name} = {want} (it is {have})" for name, (have, want) in found.items() if have != want]
    if wrong:
        raise ConfigError(f"weights.published wants {', '.join(wrong)}; stage2_published.yaml has them all")


def open_stage1(path: Path, config: TrainConfig) -> tuple[MikuDance, tuple[LoadReport, ...]]:
    """A stage-1 network from an export, a checkpoint, or a run's folder (its newest export, else checkpoint). Raises
    ConfigError where it was trained for other inputs or another output than the configuration says.
    """
    export = find_export(path)
    if export is not None:
        saved, model, reports = load_model_reported(export)
        if saved.model.reference_channels != config.model.reference_channels:
            raise ConfigError(
                f"the Reference UNet of {export} has {saved.model.reference_channels} input channels, the "
                f"configuration's {config.model.reference_channels}; give model.motion and motion_injection as there"
            )
        _check_stage1(export, saved.stage, flat(saved.model_dump(mode="json")), config)
        return model, reports
    checkpoint = path if (path / ".metadata").is_file() else newest_checkpoint(path)
    if checkpoint is None:
        raise ConfigError(f"{path} holds neither an export nor a checkpoint of stage 1")
    state = read_trainer_state(checkpoint)
    _check_stage1(checkpoint, state.stage, state.settings, config)
    model = build_stage1(config.model, seed=config.seed)
    read_unsharded(checkpoint, model)
    return model, ()


def _check_stage1(path: Path, stage: int, made: dict[str, Any], config: TrainConfig) -> None:
    """made: settings of the stage-1 run by dotted name."""
    if stage != 1:
        raise ConfigError(f"{path} is of stage {stage}; weights.stage1 wants stage 1")
    decisive = {name: value for name, value in made.items() if name.startswith(MEANING)}
    if differences := changed(decisive, flat(config.model_dump(mode="json"))):
        raise ConfigError(f"{path} was trained with {differences}; set the same for stage 2, or give another stage 1")


def find_export(path: Path) -> Path | None:
    """`path` itself where it is an export, or the newest export of the run at `path`."""
    if (path / MANIFEST).is_file():
        return path
    exports = sorted(p.parent for p in path.glob(f"export/step-*/{MANIFEST}") if p.parent.suffix != ".tmp")
    return exports[-1] if exports else None


def open_encoders(config: TrainConfig) -> tuple[Encoders, tuple[LoadReport, ...]]:
    """The frozen networks, and reports on their files. Raises ConfigError naming the setting that is absent, and
    SavedModelError.
    """
    weights, reports = config.weights, []
    export = None if weights.stage1 is None else find_export(Path(weights.stage1))
    vae: nn.Module
    if (folder := _first(weights.vae, _inside(export, "vae"), _inside(weights.sd15, "vae"))) is not None:
        vae, report = open_part(AutoencoderKL, folder, torch.float32)
        reports.append(report)
    elif weights.random:
        vae = random_vae(config.seed)
    else:
        raise ConfigError("there is no autoencoder: set weights.vae (sd-vae-ft-mse)")
    if (folder := _first(_nested(weights.image_encoder), _inside(export, "image_encoder"))) is not None:
        encoder, report = open_image_encoder(folder)
        reports.append(report)
    elif weights.random:
        encoder = random_image_encoder(config.model, config.seed)
    else:
        raise ConfigError("there is no image encoder: set weights.image_encoder (sd-image-variations-diffusers)")
    width = encoder.config.projection_dim
    if width != config.model.unet.cross_attention_dim:
        raise ConfigError(f"the image encoder's tokens are {width} wide, model.unet.cross_attention_dim differs")
    encoding = config.encoding
    encoders = Encoders(vae=vae, image_encoder=encoder, chunk=encoding.chunk, cache_bytes=encoding.cache_bytes)
    return encoders, tuple(reports)


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
