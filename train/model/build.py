"""Makes the network of a configuration: from nothing, or as stage 2 from a stage-1 network."""

from typing import Any

import torch
from diffusers import ControlNetModel, UNet2DConditionModel, UNetMotionModel
from torch import nn

from train.model.attention import self_attention_names, spatial_attentions
from train.model.config import LATENT_CHANNELS, ModelConfig
from train.model.man import MotionAdaptiveNorm
from train.model.mikudance import MikuDance, freeze_for_stage
from train.model.reference import ReferenceUNet, widen_conv_in

POSE_CHANNELS = 9
"""Body, face and hand drawings, three channels each, as the pose ControlNet takes them."""


def unet_arguments(config: ModelConfig) -> dict[str, Any]:
    """Arguments of `UNet2DConditionModel`: with the defaults, exactly Stable Diffusion 1.5's."""
    size = config.unet
    return {
        "in_channels": LATENT_CHANNELS,
        "out_channels": LATENT_CHANNELS,
        "sample_size": 64,
        "block_out_channels": size.block_out_channels,
        "layers_per_block": size.layers_per_block,
        "cross_attention_dim": size.cross_attention_dim,
        # diffusers reads this one as the number of heads (its own issue 2011); SD-1.5's file says 8 in this sense.
        "attention_head_dim": size.attention_heads,
        "norm_num_groups": size.norm_num_groups,
    }


def build_stage1(config: ModelConfig, *, base: UNet2DConditionModel | None = None, seed: int = 0) -> MikuDance:
    """The network of stage 1: no MAN, no temporal layers.

    base: a Stable Diffusion UNet whose weights both UNets start from; without one, `random_unet` drawn from `seed`.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = base if base is not None else random_unet(config)
        check_size(config, unet)
        reference = UNet2DConditionModel.from_config(unet.config)
        reference.load_state_dict(unet.state_dict())
        pose = None
        if config.guidance == "controlnets":
            pose = ControlNetModel.from_unet(unet, conditioning_channels=POSE_CHANNELS, load_weights_from_unet=True)
        model = MikuDance(
            config=config,
            reference=ReferenceUNet(unet=widen_conv_in(reference, config.reference_channels), man=None),
            denoiser=unet,
            pose_control=pose,
        )
    freeze_for_stage(model, 1)
    return model


def random_unet(config: ModelConfig) -> UNet2DConditionModel:
    """A UNet at random whose self-attention starts out looking at its own position: queries and keys are alike, and
    large enough for the softmax to be peaked.

    What the Reference UNet saw arrives through that attention alone. Nearly uniform, as it starts otherwise, it hands
    over the mean of all positions, and where the noisy picture is nothing but noise there is little to learn better
    from: whether a small network read its poses at all was then a matter of chance.
    """
    unet = UNet2DConditionModel(**unet_arguments(config))
    attentions = spatial_attentions(unet)
    with torch.no_grad():
        for name in self_attention_names(unet):
            attention = attentions[name]
            attention.to_q.weight.mul_(2)
            attention.to_k.weight.copy_(attention.to_q.weight)
    return unet


def build_stage2(config: ModelConfig, stage1: MikuDance, *, seed: int = 0) -> MikuDance:
    """The network of stage 2 over the weights of a stage-1 network (its modules are taken over, not copied).

    Temporal layers start with an output projection of zero: until they train, the network's frames are those of
    stage 1. AnimateDiff's weights are read into them by `train.weights`.
    """
    unet = stage1.denoiser
    if not isinstance(unet, UNet2DConditionModel):
        raise ValueError("stage 2 starts from a stage-1 network; this one has temporal layers already")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        denoiser = motion_unet(config, unet)
        man = motion_control = None
        if config.uses_man:
            man = MotionAdaptiveNorm(
                block_out_channels=config.unet.block_out_channels,
                motion_channels=config.motion_channels,
                hidden=config.man_hidden,
            )
        elif config.guidance == "controlnets" and config.motion != "none":
            motion_control = ControlNetModel.from_unet(
                unet, conditioning_channels=config.motion_channels, load_weights_from_unet=True
            )
        model = MikuDance(
            config=config,
            reference=ReferenceUNet(unet=stage1.reference.unet, man=man),
            denoiser=denoiser,
            pose_control=stage1.pose_control,
            motion_control=motion_control,
        )
    freeze_for_stage(model, 2)
    return model


def motion_unet(config: ModelConfig, unet: UNet2DConditionModel) -> UNetMotionModel:
    """A `UNetMotionModel` with the spatial weights of `unet` and motion modules of AnimateDiff v2's shape."""
    keywords = {
        **unet_arguments(config),
        "num_attention_heads": config.unet.attention_heads,
        "motion_num_attention_heads": config.unet.attention_heads,
        "motion_max_seq_length": config.motion_max_length,
        "use_motion_mid_block": True,
    }
    del keywords["attention_head_dim"]
    model = UNetMotionModel(**keywords)
    missing, unexpected = model.load_state_dict(unet.state_dict(), strict=False)
    strangers = [name for name in missing if "motion_modules" not in name]
    if strangers or unexpected:
        raise ValueError(f"the stage-1 UNet does not fit: missing {strangers[:3]}, unexpected {list(unexpected)[:3]}")
    for name, module in model.named_modules():
        if name.split(".")[-2:-1] == ["motion_modules"]:
            nn.init.zeros_(module.proj_out.weight)
            nn.init.zeros_(module.proj_out.bias)
    return model


def check_size(config: ModelConfig, unet: UNet2DConditionModel) -> None:
    """Raises ValueError with the setting to change where a UNet is not of the configured widths."""
    wanted = unet_arguments(config)
    for name in ("in_channels", "block_out_channels", "layers_per_block", "cross_attention_dim", "norm_num_groups"):
        have, want = unet.config[name], wanted[name]
        if (tuple(have) if isinstance(have, list | tuple) else have) != want:
            raise ValueError(f"the UNet has {name} = {have}, the configuration model.unet says {want}; make them equal")
