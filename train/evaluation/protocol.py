"""The two protocols as data: what differs between them, and nothing else does. docs/evaluation.md gives reasons."""

from dataclasses import dataclass
from typing import Literal

from train.evaluation.config import Values

KINETICS_MEAN = (114.7748, 107.7354, 99.4750)
"""Channel means (RGB, 0 to 255) that the 3D ResNet of FID-VID was trained with."""


@dataclass(frozen=True)
class Sampling:
    """What a feature network sees. frames: of a clip, 1 for pictures. stride: frames between clips. pad: a last
    incomplete clip is filled up with the last frame; otherwise it is left out. size: side in pixels, 0 as it is.
    """

    values: Values
    size: int
    frames: int = 1
    stride: int = 1
    pad: bool = False


@dataclass(frozen=True)
class Protocol:
    """l1: "per_area", mean |Δ| of 0–255 over H·W; "unit", mean |Δ| of [0, 1]. ssim: "grey_box", 7 × 7 windows on grey;
    "gaussian_rgb", σ = 1.5 on each colour, as Wang et al. (2004). psnr: "frame", of each frame, 100 dB where equal;
    "video", of the video's mean squared error, ∞ where equal. weight: means over all "frame"s, or over "video"s.
    """

    name: Literal["disco", "corrected"]
    l1: Literal["per_area", "unit"]
    ssim: Literal["grey_box", "gaussian_rgb"]
    psnr: Literal["frame", "video"]
    weight: Literal["frame", "video"]
    lpips: Sampling
    fid: Sampling
    fid_vid: Sampling
    fvd: Sampling


DISCO = Protocol(
    name="disco",
    l1="per_area",
    ssim="grey_box",
    psnr="frame",
    weight="frame",
    lpips=Sampling("unit", 0),
    fid=Sampling("unit", 0),
    fid_vid=Sampling("kinetics", 112, frames=16, stride=16, pad=True),
    fvd=Sampling("signed", 224, frames=16),
)
CORRECTED = Protocol(
    name="corrected",
    l1="unit",
    ssim="gaussian_rgb",
    psnr="video",
    weight="video",
    lpips=Sampling("signed", 0),
    fid=Sampling("unit", 299),
    fid_vid=Sampling("kinetics", 112, frames=16, stride=16),
    fvd=Sampling("signed", 224, frames=16),
)
PROTOCOLS = {protocol.name: protocol for protocol in (DISCO, CORRECTED)}
