"""Settings of the network. The defaults are the paper's model on Stable Diffusion 1.5."""

from typing import Literal

from pydantic import Field, model_validator

from schemas.config import FrozenConfig

MIXED_PICTURES = 5
"""Pictures that the Reference UNet sees at once: reference, reference pose, body, face, hand."""
LATENT_CHANNELS = 4
MOTION_CHANNELS = {"scene_motion": 2, "flow": 2, "plucker": 6, "none": 0}


class UNetSize(FrozenConfig):
    """Widths of both UNets; the defaults are those of Stable Diffusion 1.5."""

    block_out_channels: tuple[int, int, int, int] = Field((320, 640, 1280, 1280), description="Channels of each block.")
    layers_per_block: int = Field(2, ge=1, description="Residual blocks in each down block.")
    attention_heads: int = Field(8, ge=1, description="Heads of every attention layer, spatial and temporal.")
    norm_num_groups: int = Field(32, ge=1, description="Groups of every group norm.")
    cross_attention_dim: int = Field(768, ge=1, description="Width of the image tokens in cross-attention.")


class ModelConfig(FrozenConfig):
    """The network and its ablations (paper, table 2)."""

    unet: UNetSize = Field(UNetSize(), description="Widths of both UNets.")
    guidance: Literal["mixed", "controlnets"] = Field(
        "mixed",
        description="mixed: all pictures enter the Reference UNet together (the paper). controlnets: the ablation "
        "without MIX: the Reference UNet sees the reference alone, poses and motion come through a ControlNet each.",
    )
    motion: Literal["scene_motion", "flow", "plucker", "none"] = Field(
        "scene_motion",
        description="Camera guidance: scene motion (the paper); optical flow of the target frames, Plücker rays of "
        "the cameras, or none (ablations).",
    )
    motion_injection: Literal["man", "concat"] = Field(
        "man",
        description="man: motion-adaptive normalisation (the paper). concat: the ablation without MAN: the motion map "
        "is concatenated to the input of the Reference UNet.",
    )
    motion_scale: float = Field(
        0.125,
        gt=0,
        description="Factor on maps in frame pixels (not on Plücker rays); 1/8 gives latent cells. Published weights "
        "want 1.",
    )
    motion_compat: Literal["paper", "published"] = Field(
        "paper",
        description="Which scene motion the network takes: paper: frame pixels, from true cameras. published: the maps "
        "of the published code, for its weights.",
    )
    man_hidden: int = Field(128, ge=1, description="Width of the hidden layer of each MAN block.")
    reference_attention: Literal["add", "concat"] = Field(
        "add",
        description="Keys and values of the denoising UNet's self-attention: features of both UNets added, or side by "
        "side.",
    )
    motion_max_length: int = Field(32, ge=1, description="Frames that the temporal position encoding reaches.")

    @model_validator(mode="after")
    def _consistent(self) -> "ModelConfig":
        if self.guidance == "controlnets" and self.motion_injection == "concat":
            raise ValueError(
                "guidance 'controlnets' gives the motion a ControlNet of its own; leave motion_injection at 'man'"
            )
        return self

    @property
    def motion_channels(self) -> int:
        """Channels of the motion map."""
        return MOTION_CHANNELS[self.motion]

    @property
    def uses_man(self) -> bool:
        return self.guidance == "mixed" and self.motion != "none" and self.motion_injection == "man"

    @property
    def reference_channels(self) -> int:
        """Input channels of the Reference UNet: 20 in the paper's model."""
        if self.guidance == "controlnets":
            return LATENT_CHANNELS
        concat = self.motion_channels if self.motion_injection == "concat" else 0
        return LATENT_CHANNELS * MIXED_PICTURES + concat


class EncodingConfig(FrozenConfig):
    """How pictures enter the frozen autoencoder and image encoder."""

    pose_range: Literal["signed", "unit"] = Field(
        "signed",
        description="Values of pose drawings before encoding: [-1, 1], or [0, 1] as the published code has it.",
    )
    sample_target: bool = Field(
        True, description="Draw target latents from the autoencoder's posterior, or take its mean."
    )
    chunk: int = Field(8, ge=1, description="Pictures that the autoencoder takes at once.")
    cache_bytes: int = Field(
        0,
        ge=0,
        description="Memory in which training keeps what the autoencoder made of a picture (0.3 MB each at 768²); for "
        "small datasets without random crops, where the same pictures come again and again. 0 is off.",
    )


class DropoutConfig(FrozenConfig):
    """Rates at which guidance is hidden from a sample (paper, section 3.4), drawn by sample, not by rank."""

    pose: float = Field(0.2, ge=0, le=1, description="All driving pose drawings of the sample go black together.")
    face: float = Field(0.0, ge=0, le=1, description="The face drawings alone go black.")
    hand: float = Field(0.0, ge=0, le=1, description="The hand drawings alone go black.")
    motion: float = Field(0.2, ge=0, le=1, description="The camera guidance goes to zero.")
    unconditional: float = Field(
        0.1, ge=0, le=1, description="Reference features and image tokens are hidden, for classifier-free guidance."
    )
