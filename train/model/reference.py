"""The Reference UNet: sees all guidance pictures at once, and leaves its features for the denoising UNet."""

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from train.model.attention import record_features, self_attention_names
from train.model.bank import ReferenceBank
from train.model.man import MotionAdaptiveNorm


class ReferenceUNet(nn.Module):
    """A Stable Diffusion UNet with a widened first convolution, and MAN after its down blocks.

    unet: `UNet2DConditionModel` with 20 input channels (see `widen_conv_in`); stays a plain diffusers model, is saved
    and opened as one. man: None in stage 1 and in the ablations without it.
    """

    def __init__(self, *, unet: UNet2DConditionModel, man: MotionAdaptiveNorm | None) -> None:
        super().__init__()
        self.unet = unet
        self.man = man
        record_features(unet)
        freeze_unreachable(unet)

    def forward(self, pictures: Tensor, tokens: Tensor, motion: Tensor | None, bank: ReferenceBank) -> None:
        """Fills and seals the bank. Runs once a frame at timestep 0 (paper, section 3.2).

        pictures: `[samples, 20, h, w]` latents in the order reference image, reference pose, body, face, hand.
        tokens: `[samples, tokens, cross_attention_dim]`. motion: `[samples, channels, H, W]` in model units, needed
        where there is a MAN. The steps are those of `UNet2DConditionModel.forward`, with MAN between the blocks and
        without the output layers, which nothing reads.
        """
        unet = self.unet
        timesteps = torch.zeros(len(pictures), dtype=torch.int64, device=pictures.device)
        embedding = unet.time_embedding(unet.get_time_embed(sample=pictures, timestep=timesteps))
        attention = {"encoder_hidden_states": tokens, "cross_attention_kwargs": {"bank": bank}}
        hidden = unet.conv_in(pictures)
        skips: tuple[Tensor, ...] = (hidden,)
        for index, block in enumerate(unet.down_blocks):
            hidden, block_skips = block(hidden, temb=embedding, **(attention if block_attends(block) else {}))
            skips += block_skips
            if self.man is not None:
                if motion is None:
                    raise ValueError("this Reference UNet has motion-adaptive normalisation; it needs a motion map")
                hidden = self.man(index, hidden, motion)
        hidden = unet.mid_block(hidden, embedding, **attention)
        for block in unet.up_blocks:
            count = len(block.resnets)
            block_skips, skips = skips[-count:], skips[:-count]
            size = skips[-1].shape[2:] if skips else None
            extra = attention if block_attends(block) else {}
            hidden = block(hidden, block_skips, temb=embedding, upsample_size=size, **extra)
        bank.seal()


def block_attends(block: nn.Module) -> bool:
    """Whether a diffusers block has cross-attention, and takes its arguments."""
    return bool(getattr(block, "has_cross_attention", False))


def widen_conv_in(unet: UNet2DConditionModel, channels: int) -> UNet2DConditionModel:
    """The same UNet with `channels` inputs: the first ones keep their weights, the new ones start at zero.

    Whatever the new inputs hold, the output stays that of the original until training moves the new weights.
    """
    old = unet.conv_in
    if old.bias is None:
        raise ValueError("the first convolution has no bias; this is no Stable Diffusion UNet")
    if channels < old.in_channels:
        raise ValueError(f"the UNet has {old.in_channels} input channels already, {channels} were asked for")
    new = nn.Conv2d(channels, old.out_channels, old.kernel_size, padding=old.padding, device=old.weight.device)
    if not new.weight.is_meta:
        with torch.no_grad():
            new.weight.zero_()
            new.weight[:, : old.in_channels] = old.weight
            new.bias = nn.Parameter(old.bias.clone())
    unet.conv_in = new.to(old.weight.dtype)
    unet.register_to_config(in_channels=channels)
    return unet


def unreachable_parameters(unet: UNet2DConditionModel) -> dict[str, nn.Parameter]:
    """Parameters after the last layer that writes into the bank; 2,454,404 for Stable Diffusion 1.5."""
    last = self_attention_names(unet)[-1]
    block = last.removesuffix(".attn1")
    transformer = block.rsplit(".transformer_blocks", 1)[0]
    parts = (last, f"{block}.norm2", f"{block}.attn2", f"{block}.norm3", f"{block}.ff", f"{transformer}.proj_out")
    tails = tuple(f"{part}." for part in (*parts, "conv_norm_out", "conv_out"))
    return {name: value for name, value in unet.named_parameters() if name.startswith(tails)}


def freeze_unreachable(unet: UNet2DConditionModel) -> None:
    """No gradient reaches these; frozen, they cost no optimiser state and decay by no weight decay."""
    for parameter in unreachable_parameters(unet).values():
        parameter.requires_grad_(False)
