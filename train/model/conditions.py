"""From a batch of pictures to what the network takes."""

from dataclasses import dataclass

import torch
from torch import Tensor

from train.data.batch import TrainBatch, signed, unit
from train.data.rng import normal, uniform
from train.model.config import LATENT_CHANNELS, DropoutConfig, EncodingConfig, ModelConfig
from train.model.encoders import Encoders
from train.model.motion import camera_guidance


@dataclass(frozen=True)
class Conditions:
    """Guidance of B clips of F frames.

    pictures: `[B, F, 20, h, w]` latents in the order reference, reference pose, body, face, hand (4 channels, the
    reference alone, in the ablation without MIX). tokens: `[B, tokens, D]`. keep: float `[B]`, 0 hides reference and
    tokens. motion: `[B, F, C, h, w]` in model units, or None. pose_images: `[B, F, 9, H, W]` in [0, 1], or None.
    """

    pictures: Tensor
    tokens: Tensor
    keep: Tensor
    motion: Tensor | None
    pose_images: Tensor | None


@dataclass(frozen=True)
class Kept:
    """What dropout left: float `[B]`, 1 kept and 0 hidden."""

    body: Tensor
    face: Tensor
    hand: Tensor
    motion: Tensor
    reference: Tensor


def draw_kept(global_index: Tensor, dropout: DropoutConfig, seed: int) -> Kept:
    """Dropout of each sample, keyed by its global index."""

    def keep(purpose: str, rate: float) -> Tensor:
        return (uniform(seed, global_index.cpu(), f"drop_{purpose}") >= rate).float()

    pose = keep("pose", dropout.pose)
    return Kept(
        body=pose,
        face=pose * keep("face", dropout.face),
        hand=pose * keep("hand", dropout.hand),
        motion=keep("motion", dropout.motion),
        reference=keep("unconditional", dropout.unconditional),
    )


def keep_all(count: int) -> Kept:
    """No dropout, as in validation."""
    ones = torch.ones(count)
    return Kept(body=ones, face=ones, hand=ones, motion=ones, reference=ones)


class ConditionEncoder:
    """Encodes batches for a network of one configuration."""

    def __init__(self, *, encoders: Encoders, model: ModelConfig, encoding: EncodingConfig, stage: int) -> None:
        self.encoders = encoders
        self.model = model
        self.encoding = encoding
        self.stage = stage

    def target(self, batch: TrainBatch, seed: int) -> Tensor:
        """Latents `[B, F, 4, h, w]` of the target frames, float32."""
        pictures = signed(batch.target)
        noise = None
        if self.encoding.sample_target:
            frames, (height, width) = pictures.shape[1], (size // 8 for size in pictures.shape[-2:])
            shape = (frames, LATENT_CHANNELS, height, width)
            noise = normal(seed, batch.global_index.cpu(), "posterior", shape).to(pictures.device)
        return self.encoders.latents(pictures, noise).float()

    def conditions(self, batch: TrainBatch, kept: Kept) -> Conditions:
        """The guidance of a batch, on the batch's device."""
        device = batch.target.device
        poses = [
            pictures * mask.to(device, torch.uint8)[:, None, None, None, None]
            for pictures, mask in (
                (batch.pose_body, kept.body),
                (batch.pose_face, kept.face),
                (batch.pose_hand, kept.hand),
            )
        ]
        motion = None
        if self.stage == 2:
            motion = camera_guidance(batch, self.model)
            if motion is not None:
                motion = motion * kept.motion.to(device)[:, None, None, None, None]
        mixed = self.model.guidance == "mixed"
        return Conditions(
            pictures=self.pictures(batch.reference, batch.reference_pose, poses),
            tokens=self.encoders.tokens(unit(batch.reference)),
            keep=kept.reference.to(device),
            motion=motion,
            pose_images=None if mixed else unit(torch.cat(poses, dim=2)),
        )

    def pictures(self, reference: Tensor, reference_pose: Tensor, poses: list[Tensor]) -> Tensor:
        """Latents `[B, F, 20, h, w]`, 4 channels without MIX; poses: body, face, hand uint8 `[B, F, 3, H, W]`."""
        once = self.reference_latents(reference, reference_pose).expand(-1, poses[0].shape[1], -1, -1, -1)
        return torch.cat([once, *map(self.drawing_latents, poses)], dim=2) if self.model.guidance == "mixed" else once

    def reference_latents(self, reference: Tensor, reference_pose: Tensor) -> Tensor:
        """Reference and its pose `[B, 1, 8, h, w]` (the reference alone, 4 channels, without MIX) of uint8
        `[B, 3, H, W]`.
        """
        latents = self.encoders.latents(signed(reference))[:, None]
        if self.model.guidance != "mixed":
            return latents
        return torch.cat([latents, self.drawing_latents(reference_pose[:, None])], dim=2)

    def drawing_latents(self, drawings: Tensor) -> Tensor:
        """Latents `[B, F, 4, h, w]` of pose drawings uint8 `[B, F, 3, H, W]`.

        Black ones (dropped poses, clips without a character, faces and hands that were not found) are many: one of them
        is encoded for all.
        """
        flat = drawings.flatten(0, 1)
        drawn = flat.flatten(1).amax(dim=1) > 0
        shown = flat[drawn] if drawn.all() else torch.cat([flat[drawn], torch.zeros_like(flat[:1])])
        latents = self.encoders.latents(unit(shown) if self.encoding.pose_range == "unit" else signed(shown))
        places = torch.where(drawn, drawn.cumsum(0) - 1, len(shown) - 1)
        return latents[places].unflatten(0, drawings.shape[:2])
