"""Style backend "sdxl": image-to-image with a depth ControlNet over the side-by-side pair (SDXL, arXiv 2307.01952).

The paper styles its frames with an anime checkpoint of SDXL. Both frames lie in one picture, so that the attention of
the network gives them one style; the depth of each half keeps the pose and the place of things.
"""

from pathlib import Path
from typing import Any, ClassVar, Literal

import cv2
import numpy as np
from pydantic import Field

from extractors.depth.depth_anything import DepthAnythingConfig, DepthNetwork
from extractors.devices import Device, Precision, device_problem, package_problem, torch_device
from extractors.protocols import ExtractionError
from extractors.weights.store import located, missing_weights
from schemas.config import BackendConfig, Problem

PROMPTS = (
    "anime key visual, clean line art, flat colours",
    "oil painting, thick brush strokes, warm light",
    "watercolour illustration, soft washes, paper texture",
    "ink drawing with cross-hatching, monochrome",
    "pixel art game scene, limited palette",
    "pastel picture-book illustration",
    "3d render, toon shading, soft studio light",
    "ukiyo-e woodblock print",
    "cyberpunk night scene, neon lights",
    "gouache concept art, bold shapes",
)


class SdxlConfig(BackendConfig):
    """Any SDXL checkpoint in diffusers' layout."""

    keyless: ClassVar[frozenset[str]] = BackendConfig.keyless | {"checkpoint", "controlnet", "vae_tiling"}

    backend: Literal["sdxl"] = "sdxl"
    checkpoint: Path | None = Field(
        None,
        description="Folder of an SDXL checkpoint (diffusers layout); None: sdxl-checkpoint in the weights folder.",
    )
    controlnet: Path | None = Field(None, description="Folder of the depth ControlNet; None: the weights folder.")
    depth: DepthAnythingConfig = Field(default_factory=DepthAnythingConfig, description="Depth network for ControlNet.")
    prompts: tuple[str, ...] = Field(PROMPTS, min_length=1, description="One is chosen for a pair by its seed.")
    negative_prompt: str = Field(
        "blurry, low quality, watermark, text", description="What the picture should not show."
    )
    strength: float = Field(0.6, gt=0, le=1, description="Share of the noise schedule that is run over the frames.")
    guidance: float = Field(6.0, ge=0, description="Classifier-free guidance scale.")
    control: float = Field(0.8, ge=0, le=2, description="Weight of the depth ControlNet.")
    steps: int = Field(28, ge=1, le=200, description="Steps of the whole schedule.")
    max_pixels: int = Field(1536 * 768, ge=4096, description="Pixels of the pair as the network sees it.")
    precision: Precision = Field("float16", description="Arithmetic of the networks (float32 on a CPU).")
    device: Device = Field("auto", description="Where the networks run.")
    vae_tiling: bool = Field(False, description="Code the picture in tiles: less GPU memory, slower.")

    def checkpoint_folder(self) -> Path:
        return located(self.checkpoint, "sdxl-checkpoint")

    def controlnet_folder(self) -> Path:
        return located(self.controlnet, "sdxl-depth-controlnet")

    def weights(self) -> tuple[Path, ...]:
        """All JSON and safetensors files of checkpoint and ControlNet, and the depth network's."""
        # The first named file stands for an absent folder, so that the digest fails and does not go on without it.
        folders = ((self.checkpoint_folder(), "model_index.json"), (self.controlnet_folder(), "config.json"))
        files = [
            path
            for folder, first in folders
            for path in (sorted(folder.rglob("*")) or [folder / first])
            if path.suffix in (".json", ".safetensors", ".txt") and not path.is_dir()
        ]
        return (*files, *self.depth.weights())

    def problem(self) -> Problem | None:
        if problem := (
            package_problem("diffusers", extra="sdxl")
            or package_problem("transformers", extra="sdxl")
            or device_problem(self.device, backend="sdxl")
        ):
            return problem
        if not (self.checkpoint_folder() / "model_index.json").is_file():
            return Problem(
                cause=f"no SDXL checkpoint in {self.checkpoint_folder()} (it would hold model_index.json)",
                remedy="put a checkpoint in diffusers' layout there, or set `checkpoint`; docs/backends.md names some",
            )
        controlnet = self.controlnet_folder()
        return (
            missing_weights(
                (controlnet / "config.json", controlnet / "diffusion_pytorch_model.safetensors"),
                "sdxl-depth-controlnet",
            )
            or self.depth.problem()
        )

    def build(self) -> "SdxlStylizer":
        """Raises ExtractionError where `problem()` names one or the folders do not load."""
        if problem := self.problem():
            raise ExtractionError(f"{problem.cause}: {problem.remedy}")
        import torch
        from diffusers import ControlNetModel, StableDiffusionXLControlNetImg2ImgPipeline

        dtype = getattr(torch, self.precision)
        try:
            controlnet = ControlNetModel.from_pretrained(
                self.controlnet_folder(), torch_dtype=dtype, local_files_only=True, use_safetensors=True
            )
            pipeline = StableDiffusionXLControlNetImg2ImgPipeline.from_pretrained(
                self.checkpoint_folder(),
                controlnet=controlnet,
                torch_dtype=dtype,
                local_files_only=True,
                use_safetensors=True,
                add_watermarker=False,
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise ExtractionError(
                f"{self.checkpoint_folder()} and {self.controlnet_folder()} do not load as SDXL with a ControlNet "
                f"({error}): check the folders"
            ) from error
        pipeline.to(torch_device(self.device))
        pipeline.set_progress_bar_config(disable=True)
        if self.vae_tiling:
            pipeline.vae.enable_tiling()
        return SdxlStylizer(pipeline=pipeline, depth=DepthNetwork.load(self.depth), config=self)


class SdxlStylizer:
    """Fits `extractors.protocols.Stylizer`; equal arguments give equal pictures on equal hardware and libraries."""

    def __init__(self, *, pipeline: Any, depth: DepthNetwork, config: SdxlConfig) -> None:
        self._pipeline, self._depth, self._config = pipeline, depth, config

    def __call__(self, pair: np.ndarray, *, seed: int) -> tuple[np.ndarray, str]:
        """A pair uint8 RGB [H, 2·W, 3] in the style of one of the prompts, and that prompt.

        Raises ExtractionError where the GPU's memory runs out or the network gives no picture.
        """
        import torch
        from PIL import Image

        config = self._config
        prompt = config.prompts[int(np.random.default_rng(seed).integers(len(config.prompts)))]
        size = working_size((pair.shape[1], pair.shape[0]), config.max_pixels)
        picture = cv2.resize(pair, size, interpolation=cv2.INTER_AREA)
        control = cv2.resize(self._depth_picture(pair), size, interpolation=cv2.INTER_LINEAR)
        try:
            # The generator stays on the CPU, so that the noise is the same on every device.
            styled = self._pipeline(
                prompt=prompt,
                negative_prompt=config.negative_prompt,
                image=Image.fromarray(picture),
                control_image=Image.fromarray(np.repeat(control[..., None], 3, axis=-1)),
                strength=config.strength,
                guidance_scale=config.guidance,
                controlnet_conditioning_scale=config.control,
                num_inference_steps=config.steps,
                generator=torch.Generator("cpu").manual_seed(seed),
                output_type="np",
            ).images[0]
        except torch.OutOfMemoryError as error:
            raise ExtractionError(
                f"sdxl: out of GPU memory for a pair of {size[0]} × {size[1]} pixels: lower max_pixels, set "
                "vae_tiling, or give its worker a larger share of the GPU"
            ) from error
        if not np.isfinite(styled).all():
            raise ExtractionError("sdxl gave values that are not finite: use precision bfloat16 or float32")
        out = (styled * 255).round().clip(0, 255).astype(np.uint8)
        return cv2.resize(out, (pair.shape[1], pair.shape[0]), interpolation=cv2.INTER_CUBIC), prompt

    def _depth_picture(self, pair: np.ndarray) -> np.ndarray:
        """Inverse depth of both halves side by side, uint8 [h, 2·w], stretched over the pair together."""
        halves = self._depth(np.stack(np.hsplit(pair, 2)))
        depth = np.hstack(list(halves))
        low, high = float(depth.min()), float(depth.max())
        return ((depth - low) / max(high - low, 1e-12) * 255).round().astype(np.uint8)


def working_size(size: tuple[int, int], max_pixels: int) -> tuple[int, int]:
    """(width, height) in multiples of 64, the aspect ratio kept as well as that allows, at most about `max_pixels`."""
    scale = min(1.0, float(np.sqrt(max_pixels / (size[0] * size[1]))))
    width, height = (max(64, round(side * scale / 64) * 64) for side in size)
    return width, height
