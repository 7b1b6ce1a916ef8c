"""Settings of an evaluation: the protocol and the files of the feature networks."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from schemas.config import FrozenConfig

Metric = Literal["fid", "ssim", "psnr", "lpips", "l1", "fid_vid", "fvd"]
METRICS: tuple[Metric, ...] = ("fid", "ssim", "psnr", "lpips", "l1", "fid_vid", "fvd")
"""In the column order of the paper's table 1."""
Values = Literal["unit", "signed", "byte", "kinetics"]


class NetworkFile(FrozenConfig):
    """A feature network as one file: TorchScript (.pt, .jit, .ts) or ONNX (.onnx).

    It takes float32 pictures [N, 3, H, W] (clips [N, 3, T, H, W]) and returns features [N, D]; further axes are
    averaged. For LPIPS it takes two such batches and returns the N distances.
    """

    path: Path = Field(description="The file.")
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="sha256 of the file; any other content is refused.")
    values: Values | None = Field(
        None,
        description="Range of the pictures it takes: unit [0, 1], signed [-1, 1], byte [0, 255], kinetics: 0 to 255 "
        "less the channel means of the 3D ResNet's training. null: what the protocol's own network takes.",
    )
    size: int | None = Field(
        None, ge=0, description="Side it wants, pixels; 0: it resizes by itself. null: the protocol's."
    )
    options: dict[str, bool] = Field(
        default_factory=dict, description="Switches passed by name (TorchScript), e.g. return_features: true."
    )


class Networks(FrozenConfig):
    """Files by metric; a metric without its file is left out, and the table says so."""

    fid: NetworkFile | None = Field(None, description="Inception-v3, pool3 features (2048).")
    lpips: NetworkFile | None = Field(None, description="LPIPS with VGG: two batches of pictures to distances.")
    fid_vid: NetworkFile | None = Field(None, description="3D ResNet-50 trained on Kinetics, features (2048).")
    fvd: NetworkFile | None = Field(None, description="I3D trained on Kinetics-400, logits (400).")


class EvaluationConfig(FrozenConfig):
    """How animations are scored."""

    protocol: Literal["disco", "corrected"] = Field(
        "disco", description="disco: what the paper's numbers follow; corrected: see docs/evaluation.md."
    )
    networks: Networks = Field(default_factory=Networks, description="Files of the feature networks.")
    frames: int | None = Field(
        None, ge=1, description="Score the first so many frames of every video; null scores all, and counts must agree."
    )
    size: tuple[int, int] | None = Field(
        None, description="(width, height) to which all videos are resized first; null: sizes must agree."
    )
    device: Literal["auto", "cuda", "cpu"] = Field("auto", description="Where TorchScript networks run.")
    batch: int = Field(8, ge=1, description="Pictures or clips that a network takes at once.")
    confidence: float = Field(0.95, gt=0, lt=1, description="Confidence of the intervals.")
    resamples: int = Field(1000, ge=0, description="Bootstrap resamples of the videos for means; 0: no intervals.")
    frechet_resamples: int = Field(100, ge=0, description="The same for FID, FID-VID and FVD, which cost more.")
    seed: int = Field(0, ge=0, description="Seed of the resampling.")
