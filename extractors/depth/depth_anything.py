"""Depth backends "depth-anything" and "depth-anything-clip": inverse depth networks of `transformers`.

Depth-Anything V2 (arXiv 2406.09414) and DPT-Hybrid MiDaS (arXiv 2103.13413), which the published MikuDance code uses.
Both give inverse depth up to scale and shift. Pictures are prepared here, by the model's `preprocessor_config.json`,
because the image processors of transformers want torchvision or fall back to another resampling, by version.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import cv2
import numpy as np
from pydantic import Field

from extractors.batches import in_batches
from extractors.devices import Device, Precision, device_problem, package_problem, torch_device
from extractors.geometry.alignment import AlignmentConfig, DepthAlignment, align_depth, sample_map
from extractors.geometry.trajectory import path_length
from extractors.protocols import DepthResult, ExtractionError
from extractors.weights.catalog import find
from extractors.weights.store import located, missing_weights
from schemas.artifacts.camera import CameraArtifact
from schemas.artifacts.depth import DepthArtifact
from schemas.artifacts.header import finite_quality
from schemas.config import BackendConfig, Problem

if TYPE_CHECKING:
    import torch

Model = Literal["depth-anything-v2-small", "depth-anything-v2-base", "depth-anything-v2-large", "dpt-hybrid-midas"]
FILES = ("config.json", "preprocessor_config.json", "model.safetensors")
RESAMPLING: dict[int, Literal["bilinear", "bicubic"]] = {2: "bilinear", 3: "bicubic"}
"""Pillow's numbers, which the files use."""


class _NetworkConfig(BackendConfig):
    """Settings that both backends share."""

    keyless: ClassVar[frozenset[str]] = BackendConfig.keyless | {"folder", "accept_non_commercial_licence"}

    model: Model = Field(
        "depth-anything-v2-small",
        description="Small and dpt-hybrid-midas are Apache-2.0; base and large are CC-BY-NC-4.0 (no commercial use).",
    )
    folder: Path | None = Field(None, description="The model's folder (transformers layout); None: the weights folder.")
    accept_non_commercial_licence: bool = Field(False, description="Must be true for base and large.")
    precision: Precision = Field("float32", description="Arithmetic of the network; float16 or bfloat16 on GPUs.")
    device: Device = Field("auto", description="Where the network runs.")
    batch_size: int = Field(4, ge=1, description="Frames at a time; halved once when the GPU's memory runs out.")
    cell: int = Field(4, ge=1, le=32, description="Frame pixels of a cell of the stored map.")

    def model_folder(self) -> Path:
        return located(self.folder, self.model)

    def weights(self) -> tuple[Path, ...]:
        return tuple(self.model_folder() / name for name in FILES)

    def problem(self) -> Problem | None:
        if find(self.model).non_commercial and not self.accept_non_commercial_licence:
            return Problem(
                cause=f"{self.model} is licensed {find(self.model).licence}: no commercial use",
                remedy="set accept_non_commercial_licence: true if that suits you, or take depth-anything-v2-small",
            )
        return (
            package_problem("transformers", extra="depth-anything")
            or device_problem(self.device, backend="depth-anything")
            or missing_weights(self.weights(), self.model)
        )


class DepthAnythingConfig(_NetworkConfig):
    """Each reference frame on its own; scale and shift are fitted once a clip by the scene motion stage."""

    backend: Literal["depth-anything"] = "depth-anything"

    def build(self) -> "DepthAnything":
        return DepthAnything(network=DepthNetwork.load(self), cell=self.cell)


class DepthAnythingClipConfig(_NetworkConfig):
    """Reference frames made consistent over the clip: each is fitted to the camera's own sparse points, so that a
    network's drift of scale and shift from frame to frame is gone and both are in the camera's unit.
    """

    needs_camera: ClassVar[bool] = True

    backend: Literal["depth-anything-clip"] = "depth-anything-clip"
    alignment: AlignmentConfig = Field(default_factory=AlignmentConfig, description="When a frame's fit is believed.")

    def build(self) -> "DepthAnything":
        return DepthAnything(network=DepthNetwork.load(self), cell=self.cell, alignment=self.alignment)


@dataclass(frozen=True)
class Preparation:
    """How a network wants its pictures: `preprocessor_config.json`."""

    size: tuple[int, int]
    keep_aspect_ratio: bool
    multiple: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resampling: Literal["bilinear", "bicubic"] = "bicubic"

    @classmethod
    def read(cls, path: Path) -> "Preparation":
        """Raises ExtractionError for a file that is not one of a DPT image processor."""
        try:
            settings: dict[str, Any] = json.loads(path.read_text())
            size = settings["size"]
            size = size if isinstance(size, dict) else {"height": size, "width": size}
            return cls(
                size=(int(size["width"]), int(size["height"])),
                keep_aspect_ratio=bool(settings.get("keep_aspect_ratio", False)),
                multiple=int(settings.get("ensure_multiple_of", 1)),
                mean=tuple(float(v) for v in settings["image_mean"]),  # type: ignore[arg-type]
                std=tuple(float(v) for v in settings["image_std"]),  # type: ignore[arg-type]
                resampling=RESAMPLING[int(settings.get("resample", 3))],
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ExtractionError(
                f"{path} is not the preprocessor_config.json of a depth network ({error!r}): fetch the model again"
            ) from error

    def network_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(width, height) that a picture of `size` is resized to: with the aspect ratio kept, the side that changes
        less comes to its wanted length; both are rounded to the multiple.
        """
        across, down = self.size[0] / size[0], self.size[1] / size[1]
        if self.keep_aspect_ratio:
            across = down = across if abs(1 - across) < abs(1 - down) else down
        width, height = (
            max(self.multiple, round(side * s / self.multiple) * self.multiple)
            for side, s in zip(size, (across, down), strict=True)
        )
        return width, height

    def prepare(self, frames: np.ndarray, device: "torch.device", dtype: "torch.dtype") -> "torch.Tensor":
        """Frames uint8 [N, H, W, 3] as normalised pictures [N, 3, h, w]; antialiased."""
        import torch
        from torch.nn import functional

        width, height = self.network_size((frames.shape[2], frames.shape[1]))
        pixels = torch.from_numpy(np.ascontiguousarray(frames)).to(device).permute(0, 3, 1, 2).float() / 255
        if (width, height) != (frames.shape[2], frames.shape[1]):
            pixels = functional.interpolate(pixels, (height, width), mode=self.resampling, antialias=True).clamp(0, 1)
        mean, std = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (self.mean, self.std))
        return ((pixels - mean) / std).to(dtype)


class DepthNetwork:
    """A loaded model: frames in, inverse depth out."""

    def __init__(
        self, *, model: Any, preparation: Preparation, precision: Precision, device: Device, batch: int
    ) -> None:
        import torch

        self._device, self._dtype = torch_device(device), getattr(torch, precision)
        self._model = model.to(device=self._device, dtype=self._dtype).eval().requires_grad_(False)
        self._preparation, self._batch = preparation, batch

    @classmethod
    def load(cls, config: _NetworkConfig) -> "DepthNetwork":
        """Raises ExtractionError where `config.problem()` names a problem or the files do not load."""
        if problem := config.problem():
            raise ExtractionError(f"{problem.cause}: {problem.remedy}")
        from transformers import AutoModelForDepthEstimation

        folder = config.model_folder()
        try:
            model = AutoModelForDepthEstimation.from_pretrained(folder, local_files_only=True, use_safetensors=True)
        except (OSError, ValueError, RuntimeError) as error:
            raise ExtractionError(f"{folder} does not load as a depth model ({error}): fetch it again") from error
        return cls(
            model=model,
            preparation=Preparation.read(folder / "preprocessor_config.json"),
            precision=config.precision,
            device=config.device,
            batch=config.batch_size,
        )

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """Frames uint8 [N, H, W, 3]; inverse depth float32 [N, h, w] at the network's size, up to scale and shift."""
        import torch

        def run(batch: Sequence[np.ndarray]) -> list[np.ndarray]:
            with torch.inference_mode():
                pixels = self._preparation.prepare(np.stack(batch), self._device, self._dtype)
                depth = self._model(pixel_values=pixels).predicted_depth
            return list(depth.float().cpu().numpy())

        return np.stack(in_batches(list(frames), run, batch_size=self._batch, backend="depth-anything"))


class DepthAnything:
    """Fits `extractors.protocols.DepthExtractor`; with `alignment` the result is in the camera's unit."""

    def __init__(self, *, network: DepthNetwork, cell: int, alignment: AlignmentConfig | None = None) -> None:
        self._network, self._cell, self._alignment = network, cell, alignment

    def __call__(
        self,
        frames: np.ndarray,
        references: tuple[int, ...],
        mask: np.ndarray,
        camera: CameraArtifact | None,
        *,
        seed: int,
    ) -> DepthResult:
        """Raises ExtractionError where the network gives values that are not finite."""
        height, width = frames.shape[1:3]
        grid = (max(1, width // self._cell), max(1, height // self._cell))
        raw = self._network(frames[list(references)])
        if not np.isfinite(raw).all():
            raise ExtractionError("the depth network gave values that are not finite: use precision float32")
        depth = np.stack([cv2.resize(d, grid, interpolation=cv2.INTER_AREA) for d in raw])
        low, high = np.percentile(depth, [5, 95])
        quality = finite_quality(depth_p05=low, depth_p95=high)
        kind = "relative"
        if self._alignment is not None and camera is not None and camera.status == "moving":
            fits = [
                _fit(depth[i], mask[frame], camera, frame, (width, height), self._alignment, seed)
                for i, frame in enumerate(references)
            ]
            usable = [fit for fit in fits if fit.status == "fitted"]
            if usable:
                # a frame with too few points of its own takes the best-supported fit of the clip
                best = max(usable, key=lambda fit: fit.points)
                chosen = [fit if fit.points >= self._alignment.min_points else best for fit in fits]
                depth = np.stack([fit.apply(d) for fit, d in zip(chosen, depth, strict=True)])
                kind = "camera"
                quality |= finite_quality(
                    fit_residual=float(np.mean([fit.residual for fit in usable])), fit_frames=len(usable)
                )
        artifact = DepthArtifact(
            references=references,
            inverse_depth=depth.astype(np.float32),
            filled=np.zeros(depth.shape, bool),
            kind=kind,
        )
        return DepthResult(depth=artifact, quality=quality)


def _fit(
    depth: np.ndarray,
    mask: np.ndarray,
    camera: CameraArtifact,
    frame: int,
    size: tuple[int, int],
    config: AlignmentConfig,
    seed: int,
) -> DepthAlignment:
    """The fit of one frame's map to that frame's sparse points, those on characters left out."""
    sparse = camera.sparse[frame]
    free = sample_map(cv2.dilate(mask.astype(np.float32), np.ones((3, 3))), sparse.xy, size) < 0.01
    return align_depth(
        sample_map(depth, sparse.xy, size)[free],
        sparse.inverse_depth[free],
        kind="relative",
        path=path_length(camera.cam_to_world),
        median=float(np.median(depth)),
        config=config,
        seed=seed,
    )
