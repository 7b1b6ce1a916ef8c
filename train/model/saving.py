"""A trained network as a folder: one diffusers model a subfolder, and `mikudance.json`, which says how to join them.

    mikudance.json            the settings below
    reference_unet/           UNet2DConditionModel with 20 input channels
    denoising_unet/           UNet2DConditionModel (stage 1) or UNetMotionModel (stage 2)
    man/                      MotionAdaptiveNorm, stage 2
    pose_control/ motion_control/   ControlNetModel, in the ablation without MIX
    vae/ image_encoder/       AutoencoderKL, CLIPVisionModelWithProjection
    scheduler/                DDIMScheduler

All weights are safetensors; every subfolder opens with its class's `from_pretrained`.
"""

from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import AutoencoderKL, ControlNetModel, ModelMixin, UNet2DConditionModel, UNetMotionModel
from pydantic import Field, ValidationError
from torch import Tensor, nn
from transformers import CLIPVisionModelWithProjection

from schemas.config import FrozenConfig
from train.model.config import EncodingConfig, ModelConfig
from train.model.encoders import Encoders
from train.model.man import MotionAdaptiveNorm
from train.model.mikudance import MikuDance, freeze_for_stage
from train.model.reference import ReferenceUNet
from train.noise import NoiseConfig
from train.weights.files import LoadReport

MANIFEST = "mikudance.json"


class SavedModel(FrozenConfig):
    """The file `mikudance.json`."""

    format_version: Literal[1] = 1
    stage: Literal[1, 2] = Field(description="1 single frames, 2 with temporal layers.")
    step: int = Field(0, ge=0, description="Optimiser steps of this stage that made the weights.")
    model: ModelConfig = Field(ModelConfig(), description="The network.")
    noise: NoiseConfig = Field(NoiseConfig(), description="The noise schedule that it was trained with.")
    encoding: EncodingConfig = Field(EncodingConfig(), description="How pictures were encoded.")
    size: tuple[int, int] = Field((768, 768), description="(width, height) that it was trained at, pixels.")
    frames: int = Field(1, ge=1, description="Frames of a training window.")


class SavedModelError(ValueError):
    """A folder that is no trained network; the message names the file, the cause and the next step."""


def save_model(
    folder: Path,
    *,
    saved: SavedModel,
    model: MikuDance,
    encoders: Encoders | None,
    states: dict[str, dict[str, Tensor]] | None = None,
) -> None:
    """Writes a network. states: weights by part (as `MikuDance.parts` names them) in place of the modules' own, for
    networks whose parameters are sharded or averaged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in model.parts().items():
        if states is None:
            part.save_pretrained(folder / name)
        else:
            _save(part, folder / name, states[name])
    if encoders is not None:
        encoders.vae.save_pretrained(folder / "vae")
        encoders.image_encoder.save_pretrained(folder / "image_encoder")
    saved.noise.ddim_scheduler().save_pretrained(folder / "scheduler")
    (folder / MANIFEST).write_text(saved.model_dump_json(indent=2) + "\n")


def _save(part: ModelMixin, folder: Path, state: dict[str, Tensor]) -> None:
    """`save_pretrained` for weights that are not in the module (diffusers takes them from the module alone)."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    part.save_config(folder)
    contiguous = {name: value.detach().contiguous().cpu() for name, value in state.items()}
    save_file(contiguous, folder / "diffusion_pytorch_model.safetensors", metadata={"format": "pt"})


def read_manifest(folder: Path) -> SavedModel:
    """The settings of a saved network. Raises SavedModelError."""
    path = folder / MANIFEST
    if not path.is_file():
        raise SavedModelError(f"{path} does not exist; give a folder that training wrote (export/step-…)")
    try:
        return SavedModel.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise SavedModelError(f"{path} is not a description of a trained network: {error}") from error


def load_model(folder: Path, *, dtype: torch.dtype = torch.float32) -> tuple[SavedModel, MikuDance]:
    """A saved network on the CPU. Raises SavedModelError naming the part, or the weights, that are absent."""
    saved, model, _ = load_model_reported(folder, dtype=dtype)
    return saved, model


def load_model_reported(
    folder: Path, *, dtype: torch.dtype = torch.float32
) -> tuple[SavedModel, MikuDance, tuple[LoadReport, ...]]:
    """As `load_model`, with a report on the weights of each part."""
    saved = read_manifest(folder)
    denoiser_class = UNet2DConditionModel if saved.stage == 1 else UNetMotionModel
    wanted: dict[str, type[ModelMixin]] = {"reference_unet": UNet2DConditionModel, "denoising_unet": denoiser_class}
    if saved.stage == 2 and saved.model.uses_man:
        wanted["man"] = MotionAdaptiveNorm
    if saved.model.guidance == "controlnets":
        wanted["pose_control"] = ControlNetModel
        if saved.stage == 2 and saved.model.motion != "none":
            wanted["motion_control"] = ControlNetModel
    parts, reports = {}, []
    for name, kind in wanted.items():
        parts[name], report = open_part(kind, folder / name, dtype)
        reports.append(report)
    model = MikuDance(
        config=saved.model,
        reference=ReferenceUNet(unet=parts["reference_unet"], man=parts.get("man")),
        denoiser=parts["denoising_unet"],
        pose_control=parts.get("pose_control"),
        motion_control=parts.get("motion_control"),
    )
    freeze_for_stage(model, saved.stage)
    return saved, model, tuple(reports)


def load_encoders(folder: Path, *, chunk: int, dtype: torch.dtype = torch.float32) -> Encoders:
    """The autoencoder and image encoder beside a saved network. Raises SavedModelError."""
    vae, _ = open_part(AutoencoderKL, folder / "vae", dtype)
    encoder, _ = open_image_encoder(folder / "image_encoder", dtype)
    return Encoders(vae=vae, image_encoder=encoder, chunk=chunk)


def open_part(kind: type[ModelMixin], folder: Path, dtype: torch.dtype) -> tuple[Any, LoadReport]:
    """`from_pretrained` from a folder, never from a network address. Raises SavedModelError, also where the files lack
    weights: `from_pretrained` would draw those at random.
    """
    if not (folder / "config.json").is_file():
        raise SavedModelError(
            f"{folder} holds no config.json; a {kind.__name__} in diffusers' format is expected there"
        )
    model, info = kind.from_pretrained(
        folder,
        torch_dtype=dtype,
        local_files_only=True,
        use_safetensors=_has_safetensors(folder),
        output_loading_info=True,
    )
    return model, _complete(model, info, folder)


def open_image_encoder(
    folder: Path, dtype: torch.dtype = torch.float32
) -> tuple[CLIPVisionModelWithProjection, LoadReport]:
    """A CLIP vision tower from a transformers folder. Raises SavedModelError, as `open_part` does."""
    if not (folder / "config.json").is_file():
        raise SavedModelError(f"{folder} holds no config.json; a CLIP vision model with projection is expected there")
    model, info = CLIPVisionModelWithProjection.from_pretrained(
        folder, dtype=dtype, local_files_only=True, output_loading_info=True
    )
    return model, _complete(model, info, folder)


def _complete(model: nn.Module, info: dict[str, Any], folder: Path) -> LoadReport:
    """The report on what `from_pretrained` found. Raises SavedModelError naming the weights that it did not find."""
    missing = tuple(sorted(info["missing_keys"]))
    mismatched = tuple((name, tuple(have), tuple(want)) for name, have, want in info["mismatched_keys"])
    absent = {*missing, *(name for name, _, _ in mismatched)}
    report = LoadReport(
        source=str(folder),
        matched=tuple(sorted(model.state_dict().keys() - absent)),
        missing=missing,
        unexpected=tuple(sorted(info["unexpected_keys"])),
        mismatched=mismatched,
    )
    if absent:
        raise SavedModelError(f"{folder} lacks weights of its network; copy or download it again.\n{report}")
    return report


def _has_safetensors(folder: Path) -> bool:
    # Older public folders hold .bin files alone; diffusers reads those with weights_only.
    return any(folder.glob("*.safetensors"))
