"""Which files a run starts from."""

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field

from schemas.config import FrozenConfig


def place(text: str) -> Path | str:
    """What a person means by a text: a folder, or the URI of one in an object store (without a slash at its end)."""
    local = text.removeprefix("file://")
    return local.rstrip("/") if "://" in local else Path(local)


def _place(value: object) -> object:
    return place(value) if isinstance(value, str) else value


Place = Annotated[Path | str, BeforeValidator(_place)]
"""See `place`."""


class WeightsConfig(FrozenConfig):
    """Folders and files of weights; none is ever downloaded."""

    sd15: Path | None = Field(None, description="Stable Diffusion 1.5 as a diffusers folder (unet/, vae/).")
    vae: Path | None = Field(None, description="Autoencoder folder (sd-vae-ft-mse); null: the one of stage1 or sd15.")
    image_encoder: Path | None = Field(
        None, description="CLIP vision tower with projection (sd-image-variations-diffusers); null: the one of stage1."
    )
    motion_modules: Path | None = Field(
        None, description="AnimateDiff v2 motion modules for stage 2: the original .ckpt or a diffusers folder."
    )
    published: Path | None = Field(
        None, description="Folder of the released MikuDance files, to go on training from in stage 2."
    )
    stage1: Place | None = Field(
        None, description="What stage 2 starts from: folder or URI of a stage-1 run, export or checkpoint."
    )
    random: bool = Field(False, description="Start from random weights where no file is given (tests, demonstrations).")
