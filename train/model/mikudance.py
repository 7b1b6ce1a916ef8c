"""The whole network: what runs once a frame (`features`) and what runs once a denoising step (`denoise`)."""

from collections.abc import Iterator

import torch
from diffusers import ControlNetModel, ModelMixin, UNet2DConditionModel, UNetMotionModel
from torch import Tensor, nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.nn import functional

from train.model.attention import read_features
from train.model.bank import ReferenceBank
from train.model.config import LATENT_CHANNELS, ModelConfig
from train.model.reference import ReferenceUNet, unreachable_parameters

WRAPPED = "_checkpoint_wrapped_module."
"""What torch's checkpoint_wrapper puts into the names of parameters."""
Residuals = tuple[tuple[Tensor, ...], Tensor]
"""What ControlNets add to the skip connections and to the middle block of the denoising UNet."""


class MikuDance(nn.Module):
    """Reference UNet, denoising UNet and, in the ablation without MIX, two ControlNets.

    denoiser: a `UNet2DConditionModel` in stage 1, a `UNetMotionModel` in stage 2; layers of the same name mean the same
    in both. The parts are sharded one by one, so `features` and `denoise` may be called on their own.
    """

    def __init__(
        self,
        *,
        config: ModelConfig,
        reference: ReferenceUNet,
        denoiser: UNet2DConditionModel | UNetMotionModel,
        pose_control: ControlNetModel | None = None,
        motion_control: ControlNetModel | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.reference = reference
        self.denoiser = denoiser
        self.pose_control = pose_control
        self.motion_control = motion_control
        read_features(denoiser, config.reference_attention)

    @property
    def stage(self) -> int:
        """1 without temporal layers, 2 with them."""
        return 2 if isinstance(self.denoiser, UNetMotionModel) else 1

    def forward(
        self,
        noisy: Tensor,
        timesteps: Tensor,
        pictures: Tensor,
        tokens: Tensor,
        keep: Tensor,
        motion: Tensor | None = None,
        pose_images: Tensor | None = None,
    ) -> Tensor:
        """The network's prediction (noise or velocity, as it was trained), like `noisy`.

        noisy: `[B, F, 4, h, w]` latents. timesteps: int64 `[B]`. pictures: `[B, F, 20, h, w]` latents (4 channels in
        the ablation without MIX). tokens: `[B, tokens, D]`. keep: `[B]`, 0 hides reference and tokens from a sample.
        motion: `[B, F, C, h, w]` in model units (`train.model.motion`). pose_images: `[B, F, 9, H, W]` in [0, 1], for
        ControlNets alone.
        """
        frames = noisy.shape[1]
        bank = self.features(pictures, tokens, motion)
        bank.keep = keep.repeat_interleave(frames)
        tokens = tokens * keep.to(tokens.dtype)[:, None, None]
        residuals = self.control(noisy, timesteps, tokens, motion, pose_images)
        return self.denoise(noisy, timesteps, tokens, bank, residuals)

    def features(self, pictures: Tensor, tokens: Tensor, motion: Tensor | None) -> ReferenceBank:
        """The Reference UNet's features of `B·F` frames; they do not depend on the noise level."""
        frames = pictures.shape[1]
        inputs = pictures.flatten(0, 1)
        guide = None if motion is None else motion.flatten(0, 1)
        if self.config.motion_injection == "concat" and self.config.motion_channels:
            if guide is None:
                # Stage 1 has no camera guidance; the columns are there so that stage 2 opens the same network.
                guide = inputs.new_zeros(len(inputs), self.config.motion_channels, *inputs.shape[2:])
            inputs = torch.cat([inputs, guide.to(inputs.dtype)], dim=1)
        bank = ReferenceBank()
        self.reference(inputs, tokens.repeat_interleave(frames, dim=0), guide, bank)
        return bank

    def control(
        self, noisy: Tensor, timesteps: Tensor, tokens: Tensor, motion: Tensor | None, pose_images: Tensor | None
    ) -> Residuals | None:
        """Sum of the ControlNets' outputs, or None where there is none."""
        frames = noisy.shape[1]
        guides: list[tuple[ControlNetModel, Tensor]] = []
        if self.pose_control is not None:
            if pose_images is None:
                raise ValueError("the network without MIX needs the pose images as pictures")
            guides.append((self.pose_control, pose_images.flatten(0, 1)))
        if self.motion_control is not None:
            if motion is None:
                raise ValueError("the network without MIX needs a motion map in stage 2")
            # A ControlNet shrinks its picture by eight; the map is on the latent grid already.
            picture = functional.interpolate(motion.flatten(0, 1), scale_factor=8.0, mode="nearest")
            guides.append((self.motion_control, picture))
        total: Residuals | None = None
        for network, picture in guides:
            down, middle = network(
                noisy.flatten(0, 1),
                timesteps.repeat_interleave(frames),
                encoder_hidden_states=tokens.repeat_interleave(frames, dim=0),
                controlnet_cond=picture.to(noisy.dtype),
                return_dict=False,
            )
            if total is not None:
                down = tuple(a + b for a, b in zip(total[0], down, strict=True))
                middle = total[1] + middle
            total = (tuple(down), middle)
        return total

    def denoise(
        self,
        noisy: Tensor,
        timesteps: Tensor,
        tokens: Tensor,
        bank: ReferenceBank,
        residuals: Residuals | None = None,
    ) -> Tensor:
        """One call of the denoising UNet; shapes as in `forward`."""
        frames = noisy.shape[1]
        repeated = tokens.repeat_interleave(frames, dim=0)
        extra = {"cross_attention_kwargs": {"bank": bank}, "return_dict": False}
        if residuals is not None:
            extra |= {"down_block_additional_residuals": residuals[0], "mid_block_additional_residual": residuals[1]}
        if self.stage == 2:
            sample = self.denoiser(noisy.transpose(1, 2), timesteps, repeated, **extra)[0]
            return sample.transpose(1, 2)
        flat = noisy.flatten(0, 1)
        sample = self.denoiser(flat, timesteps.repeat_interleave(frames), repeated, **extra)[0]
        return sample.unflatten(0, noisy.shape[:2])

    def parts(self) -> dict[str, ModelMixin]:
        """Networks by the name of the folder that each is saved in."""
        named: dict[str, ModelMixin | None] = {
            "reference_unet": self.reference.unet,
            "man": self.reference.man,
            "denoising_unet": self.denoiser,
            "pose_control": self.pose_control,
            "motion_control": self.motion_control,
        }
        return {name: part for name, part in named.items() if part is not None}

    def enable_checkpointing(self) -> None:
        """Recomputes activations in the backward pass. Non-reentrant: the reentrant kind would cut the gradients that
        reach the Reference UNet through the bank.
        """
        for part in self.parts().values():
            if part is not self.reference.man:
                part.enable_gradient_checkpointing()
        # diffusers leaves out the temporal layers of the down blocks, at 768² the largest activations of all.
        for block in self.denoiser.down_blocks if self.stage == 2 else ():
            for motion_module in block.motion_modules:
                layers = motion_module.transformer_blocks
                for index, layer in enumerate(layers):
                    layers[index] = checkpoint_wrapper(layer)


def named_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters by the names that they have in `state_dict()`, whether or not layers are wrapped for recomputation:
    checkpoints must not depend on that.
    """
    return {name.replace(WRAPPED, ""): value for name, value in model.named_parameters()}


def motion_module_parameters(denoiser: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """The temporal layers of a `UNetMotionModel`."""
    return ((name, value) for name, value in denoiser.named_parameters() if "motion_modules" in name)


def freeze_for_stage(model: MikuDance, stage: int) -> None:
    """Marks what trains (paper, section 3.4).

    Stage 1: both UNets, less what no gradient reaches. Stage 2: MAN and motion modules alone; in the ablations what
    takes MAN's place: the Reference UNet's first convolution (concat), or the motion ControlNet (without MIX).
    """
    if stage != model.stage:
        raise ValueError(f"this network is built for stage {model.stage}, not for stage {stage}")
    model.requires_grad_(stage == 1)
    if stage == 1:
        for parameter in unreachable_parameters(model.reference.unet).values():
            parameter.requires_grad_(False)
        return
    for _, parameter in motion_module_parameters(model.denoiser):
        parameter.requires_grad_(True)
    if model.reference.man is not None:
        model.reference.man.requires_grad_(True)
    elif model.motion_control is not None:
        model.motion_control.requires_grad_(True)
    elif model.config.motion != "none" and model.reference.unet.config.in_channels > LATENT_CHANNELS:
        model.reference.unet.conv_in.requires_grad_(True)
