"""Pose backend "xpose": X-Pose (UniPose Swin-T, arXiv 2310.08530), the pose network of the paper.

For non-commercial research only. Upstream's code is loaded from a checkout that the user names (xpose_upstream). Three
prompts are run on each frame: person (17 points), face (68) and hand (21). X-Pose gives one score an instance, not one
a point: it is repeated for each of the instance's points.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from extractors.batches import in_batches
from extractors.devices import Device, Precision, device_problem, package_problem, torch_device
from extractors.pose.assemble import assemble
from extractors.pose.people import Found, suppress
from extractors.protocols import ExtractionError, PoseResult
from extractors.weights.store import located, missing_weights
from schemas.artifacts.pose import BODY, FACE, HAND
from schemas.config import BackendConfig, Problem

if TYPE_CHECKING:
    import torch

PROMPTS = ("person", "face", "hand")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class XPoseConfig(BackendConfig):
    """Thresholds are those of the published MikuDance code; upstream's own runner has 0.1 and 0.9."""

    keyless: ClassVar[frozenset[str]] = BackendConfig.keyless | {
        "accept_non_commercial_licence",
        "source",
        "checkpoint",
        "tokenizer",
    }

    backend: Literal["xpose"] = "xpose"
    accept_non_commercial_licence: bool = Field(
        False, description="X-Pose's licence allows non-commercial scientific research only: must be true to run it."
    )
    source: Path | None = Field(None, description="Checkout of IDEA-Research/X-Pose; None: the weights folder.")
    checkpoint: Path | None = Field(None, description="unipose_swint.pth; None: the weights folder.")
    tokenizer: Path | None = Field(None, description="Folder with CLIP's vocabulary; None: the weights folder.")
    box_threshold: float = Field(0.2, ge=0, le=1, description="Lowest score of an instance.")
    nms: float = Field(0.4, ge=0, le=1, description="Overlap of boxes above which the lower score is dropped.")
    short_side: int = Field(
        800,
        ge=256,
        description="Pixels of the shorter side as the network sees it. It picks 900 places; less has too few.",
    )
    long_side: int = Field(1333, ge=64, description="Pixels the longer side may have at most.")
    people: int = Field(1, ge=1, le=8, description="People kept, the most prominent first.")
    mask_side: int = Field(192, ge=16, description="Longer side of the character mask, in cells.")
    precision: Precision = Field("float32", description="Arithmetic of the network (float16 by autocast on GPUs).")
    device: Device = Field("auto", description="Where the network runs.")
    batch_size: int = Field(2, ge=1, description="Frames at a time; halved once when the GPU's memory runs out.")

    def source_folder(self) -> Path:
        return located(self.source, "xpose-source")

    def checkpoint_file(self) -> Path:
        return located(self.checkpoint, "xpose-swin-t/unipose_swint.pth")

    def tokenizer_folder(self) -> Path:
        return located(self.tokenizer, "clip-tokenizer")

    def weights(self) -> tuple[Path, ...]:
        """Checkpoint, vocabulary, and upstream's code: all three decide the output."""
        from extractors.pose.xpose_text import TOKENIZER_FILES

        source = self.source_folder()
        code = sorted(p for folder in ("models", "util", "config_model") for p in (source / folder).rglob("*.py"))
        return (
            self.checkpoint_file(),
            *(self.tokenizer_folder() / name for name in TOKENIZER_FILES),
            *code,
            source / "predefined_keypoints.py",
        )

    def problem(self) -> Problem | None:
        if not self.accept_non_commercial_licence:
            return Problem(
                cause="X-Pose's licence allows non-commercial scientific research only",
                remedy="set accept_non_commercial_licence: true if that is what you do, or take the backend rtmw",
            )
        if problem := package_problem("transformers", extra="xpose") or device_problem(self.device, backend="xpose"):
            return problem
        from extractors.pose.xpose_text import TOKENIZER_FILES
        from extractors.pose.xpose_upstream import FILES

        source = self.source_folder()
        if not all((source / name).is_file() for name in FILES):
            return Problem(
                cause=f"{source} is no checkout of X-Pose",
                remedy="clone github.com/IDEA-Research/X-Pose and set `source` to it",
            )
        tokenizer = tuple(self.tokenizer_folder() / name for name in TOKENIZER_FILES)
        return missing_weights((self.checkpoint_file(),), "xpose-swin-t") or missing_weights(
            tokenizer, "clip-tokenizer"
        )

    def build(self) -> "XPose":
        """Raises ExtractionError where `problem()` names one, or code or weights do not load."""
        if problem := self.problem():
            raise ExtractionError(f"{problem.cause}: {problem.remedy}")
        from extractors.pose.xpose_text import encode, instance_prompt, keypoint_prompt, text_tower
        from extractors.pose.xpose_upstream import PROMPTS as NAMES
        from extractors.pose.xpose_upstream import build_network, literals, load_weights

        device = torch_device(self.device)
        network = build_network(self.source_folder(), device=device.type)
        tower = text_tower(load_weights(network, self.checkpoint_file()))
        names = literals(self.source_folder() / NAMES)
        prompts = {}
        for prompt, count in zip(PROMPTS, (BODY, FACE, HAND), strict=True):
            points = names[prompt]["keypoints"]
            if len(points) != count:
                raise ExtractionError(f"X-Pose's prompt {prompt!r} has {len(points)} keypoints, expected {count}")
            sentences = [instance_prompt(prompt), *map(keypoint_prompt, points)]
            embedded = encode(tower, self.tokenizer_folder(), sentences).to(device)
            prompts[prompt] = Prompt(name=prompt, instance=embedded[:1], points=embedded[1:])
        return XPose(network=network.to(device), prompts=prompts, config=self)


@dataclass(frozen=True)
class Prompt:
    """A kind of instance and its keypoints in words. instance: [1, 512]; points: [K, 512], text embeddings."""

    name: str
    instance: "torch.Tensor"
    points: "torch.Tensor"

    def target(self) -> dict[str, Any]:
        """The prompt as upstream's forward wants it, for one picture."""
        import torch

        count, width = self.points.shape
        room = 100 - count  # upstream pads to 100 before it cuts to its 68 slots
        used = torch.cat([self.points.new_ones(count), self.points.new_zeros(room)])
        return {
            "instance_text_prompt": [self.name],
            "keypoint_text_prompt": ["point"] * count,
            "object_embeddings_text": self.instance,
            "kpts_embeddings_text": torch.cat([self.points, self.points.new_zeros(room, width)]),
            "kpt_vis_text": used,
        }


class XPose:
    """Fits `extractors.protocols.PoseExtractor`."""

    def __init__(self, *, network: Any, prompts: dict[str, Prompt], config: XPoseConfig) -> None:
        self._network, self._prompts, self._config = network, prompts, config

    def __call__(self, frames: np.ndarray, *, fps: float, seed: int) -> PoseResult:
        """The most prominent people of the clip; frames in which one is not found stay missing."""
        people, faces, hands = (self._find(frames, self._prompts[name]) for name in PROMPTS)
        config = self._config
        return assemble(
            people,
            faces,
            hands,
            size=(frames.shape[2], frames.shape[1]),
            count=config.people,
            mask_side=config.mask_side,
        )

    def _find(self, frames: np.ndarray, prompt: Prompt) -> list[list[Found]]:
        """What one prompt finds in each frame, best first."""
        import torch

        config, size = self._config, (frames.shape[2], frames.shape[1])
        device = prompt.points.device

        def run(batch: Sequence[np.ndarray]) -> list[list[Found]]:
            pixels = prepare(np.stack(batch), config.short_side, config.long_side, device)
            dtype = getattr(torch, config.precision)
            autocast = torch.autocast(device.type, dtype=dtype, enabled=config.precision != "float32")
            with torch.inference_mode(), autocast:
                outputs = self._network(pixels, [prompt.target()] * len(batch))
            return [
                decode(
                    outputs["pred_logits"][i].float().cpu().numpy(),
                    outputs["pred_boxes"][i].float().cpu().numpy(),
                    outputs["pred_keypoints"][i].float().cpu().numpy(),
                    count=len(prompt.points),
                    size=size,
                    threshold=config.box_threshold,
                    nms=config.nms,
                )
                for i in range(len(batch))
            ]

        return in_batches(list(frames), run, batch_size=config.batch_size, backend="xpose")


def network_size(size: tuple[int, int], short_side: int, long_side: int) -> tuple[int, int]:
    """(width, height) of a picture of `size` as the network sees it: the shorter side at `short_side`, or less where
    the longer one would exceed `long_side`.
    """
    short, long = min(size), max(size)
    side = short_side
    if long / short * side > long_side:
        side = round(long_side * short / long)
    if size[0] <= size[1]:
        return side, int(side * size[1] / size[0])
    return int(side * size[0] / size[1]), side


def prepare(frames: np.ndarray, short_side: int, long_side: int, device: "torch.device") -> "torch.Tensor":
    """Frames uint8 [N, H, W, 3] as normalised pictures float32 [N, 3, h, w]; bilinear, antialiased."""
    import torch
    from torch.nn import functional

    width, height = network_size((frames.shape[2], frames.shape[1]), short_side, long_side)
    pixels = torch.from_numpy(np.ascontiguousarray(frames)).to(device).permute(0, 3, 1, 2).float() / 255
    pixels = functional.interpolate(pixels, (height, width), mode="bilinear", antialias=True)
    mean, std = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (MEAN, STD))
    return (pixels - mean) / std


def decode(
    logits: np.ndarray,
    boxes: np.ndarray,
    keypoints: np.ndarray,
    *,
    count: int,
    size: tuple[int, int],
    threshold: float,
    nms: float,
) -> list[Found]:
    """One frame's outputs as instances in frame pixels, best first.

    logits: [Q, T], −inf for prompts not asked for. boxes: [Q, 4], centre and size as shares of the picture. keypoints:
    [Q, 3 · 68], x and y of each point as shares of the picture, then what is not read. count: points of the prompt.
    """
    scores = 1 / (1 + np.exp(-logits.max(-1).astype(np.float64)))
    scale = np.array(size, np.float64)
    chosen = np.flatnonzero(scores > threshold)
    middles, extents = boxes[chosen, :2] * scale - 0.5, boxes[chosen, 2:] * scale
    corners = np.concatenate([middles - extents / 2, middles + extents / 2], -1)
    found = []
    for i in suppress(corners, scores[chosen], nms):
        points = np.empty((count, 3), np.float32)
        # share 0 is the picture's left border, half a pixel left of the centre of its first pixel
        points[:, :2] = keypoints[chosen[i], : 2 * count].reshape(-1, 2) * scale - 0.5
        points[:, 2] = scores[chosen[i]]
        found.append(Found(box=corners[i], score=float(scores[chosen[i]]), points=points))
    return found
