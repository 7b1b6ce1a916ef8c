"""Attention processors that carry features from the Reference UNet to the denoising UNet.

The bank arrives as `cross_attention_kwargs={"bank": bank}`, which diffusers hands to every spatial attention layer.
"""

from typing import Literal

import torch
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import Tensor, nn

from train.model.bank import ReferenceBank


class RecordAttention(AttnProcessor2_0):
    """Self-attention of the Reference UNet: leaves its input (after the layer norm) in the bank.

    layer: name of the attention layer. last: nothing after this layer is read, so it does not attend at all while a
    bank is being filled (at 768² it is one of the three most expensive layers).
    """

    def __init__(self, *, layer: str, last: bool) -> None:
        super().__init__()
        self.layer = layer
        self.last = last

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        bank: ReferenceBank | None = None,
    ) -> Tensor:
        """hidden_states `[samples, positions, channels]`, returned in the same shape."""
        if bank is not None:
            bank.write(self.layer, hidden_states)
            if self.last:
                return hidden_states
        return super().__call__(attn, hidden_states, encoder_hidden_states, attention_mask, temb)


class ReferenceAttention(AttnProcessor2_0):
    """Self-attention of the denoising UNet: keys and values also from the Reference UNet's layer of the same name.

    mode "add": keys and values of `hidden + bank` (what the published code does); "concat": of both side by side.
    """

    def __init__(self, *, layer: str, mode: Literal["add", "concat"]) -> None:
        super().__init__()
        self.layer = layer
        self.mode = mode

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        bank: ReferenceBank | None = None,
    ) -> Tensor:
        """hidden_states `[samples, positions, channels]`, returned in the same shape."""
        if bank is None:
            return super().__call__(attn, hidden_states, encoder_hidden_states, attention_mask, temb)
        features = bank.read(self.layer).to(hidden_states.dtype)
        keep = bank.keep
        if self.mode == "add":
            if keep is not None:
                features = features * keep.to(features.dtype)[:, None, None]
            return super().__call__(attn, hidden_states, hidden_states + features, attention_mask, temb)
        both = torch.cat([hidden_states, features], dim=1)
        if keep is not None:
            own = hidden_states.new_zeros(hidden_states.shape[:2])
            other = torch.where(keep[:, None] > 0, 0.0, torch.finfo(hidden_states.dtype).min)
            other = other.to(hidden_states.dtype).expand(features.shape[:2])
            attention_mask = torch.cat([own, other], dim=1)[:, None, :]
        return super().__call__(attn, hidden_states, both, attention_mask, temb)


class TokenAttention(AttnProcessor2_0):
    """Cross-attention to the image tokens; takes the bank and leaves it alone."""

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        bank: ReferenceBank | None = None,
    ) -> Tensor:
        """hidden_states `[samples, positions, channels]`, returned in the same shape."""
        return super().__call__(attn, hidden_states, encoder_hidden_states, attention_mask, temb)


def spatial_attentions(unet: nn.Module) -> dict[str, Attention]:
    """Self- and cross-attention layers of a UNet by name, motion modules left out, in the order of execution."""
    order = {"down_blocks": 0, "mid_block": 1, "up_blocks": 2}
    found = {
        name: module
        for name, module in unet.named_modules()
        if isinstance(module, Attention) and "motion_modules" not in name
    }
    return dict(sorted(found.items(), key=lambda item: order[item[0].split(".")[0]]))


def self_attention_names(unet: nn.Module) -> tuple[str, ...]:
    """Names of the self-attention layers in the order of execution; the keys of the bank."""
    return tuple(name for name in spatial_attentions(unet) if name.endswith("attn1"))


def record_features(unet: nn.Module) -> None:
    """Makes a UNet fill a bank when it is given one; without one it computes what it did before."""
    names = self_attention_names(unet)
    for name, attention in spatial_attentions(unet).items():
        is_self = name.endswith("attn1")
        attention.set_processor(RecordAttention(layer=name, last=name == names[-1]) if is_self else TokenAttention())


def read_features(unet: nn.Module, mode: Literal["add", "concat"]) -> None:
    """Makes a UNet read a bank when it is given one; without one it computes what it did before."""
    for name, attention in spatial_attentions(unet).items():
        is_self = name.endswith("attn1")
        attention.set_processor(ReferenceAttention(layer=name, mode=mode) if is_self else TokenAttention())
