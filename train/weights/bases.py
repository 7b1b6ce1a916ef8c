"""Stable Diffusion 1.5 and AnimateDiff, as their authors publish them."""

from pathlib import Path

from diffusers import UNet2DConditionModel, UNetMotionModel
from diffusers.loaders.single_file_utils import convert_animatediff_checkpoint_to_diffusers
from torch import Tensor

from train.model.build import unet_arguments
from train.model.config import ModelConfig
from train.weights.files import LoadReport, WeightsError, folder_tensors, lay_over, read_tensors

POSITIONS = ("pos_encoder.pe", "pos_embed.pe")
"""Sinusoidal position tables: computed here, stored in files of others."""


def load_sd15_unet(folder: Path, config: ModelConfig) -> tuple[UNet2DConditionModel, LoadReport]:
    """The UNet of a Stable Diffusion 1.5 folder (its root, or unet/ itself). Raises WeightsError.

    The network is built from our configuration and the file must fill it entirely, so that a model of another family
    is refused by the names and shapes that differ.
    """
    unet_folder = folder / "unet" if (folder / "unet").is_dir() else folder
    unet = UNet2DConditionModel(**unet_arguments(config))
    report = lay_over(unet, folder_tensors(unet_folder), source=str(unet_folder)).require_complete()
    return unet, report


def load_motion_modules(path: Path, denoiser: UNetMotionModel) -> LoadReport:
    """AnimateDiff's temporal layers into a denoising UNet, from the original .ckpt / .safetensors or a diffusers
    MotionAdapter folder. Raises WeightsError where they do not fill every temporal layer.
    """
    tensors = folder_tensors(path) if path.is_dir() else read_tensors(path)
    return lay_over_motion(denoiser, motion_names(tensors), source=str(path)).require_complete()


def motion_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Temporal layers under diffusers' names, whichever they came with; everything else is left out."""
    temporal = {name: value for name, value in tensors.items() if "motion_modules" in name}
    converted: dict[str, Tensor] = convert_animatediff_checkpoint_to_diffusers(temporal)
    return {name: value for name, value in converted.items() if not name.endswith(POSITIONS)}


def lay_over_motion(denoiser: UNetMotionModel, tensors: dict[str, Tensor], *, source: str) -> LoadReport:
    """Lays temporal layers over a denoising UNet; its spatial layers are not counted as missing."""
    if not tensors:
        raise WeightsError(f"{source} holds no motion modules")
    other = frozenset(n for n in denoiser.state_dict() if "motion_modules" not in n or n.endswith(POSITIONS))
    return lay_over(denoiser, tensors, source=source, spare=other)
