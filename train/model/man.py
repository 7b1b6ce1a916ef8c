"""Motion-adaptive normalisation (paper, section 3.2)."""

from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn
from torch.nn import functional


class MotionNorm(nn.Module):
    """`norm(f)·(1 + γ(m)) + β(m)` for features f of one block and a motion map m.

    The map is resized to the features by nearest neighbour; γ and β are 3×3 convolutions of a shared hidden layer.
    """

    def __init__(self, *, channels: int, motion_channels: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.InstanceNorm2d(channels, affine=False)
        self.shared = nn.Conv2d(motion_channels, hidden, 3, padding=1)
        self.gamma = nn.Conv2d(hidden, channels, 3, padding=1)
        self.beta = nn.Conv2d(hidden, channels, 3, padding=1)

    def forward(self, features: Tensor, motion: Tensor) -> Tensor:
        """features `[samples, channels, h, w]`, motion `[samples, motion_channels, H, W]`; returns like features."""
        hidden = functional.relu(self.shared(functional.interpolate(motion, size=features.shape[2:], mode="nearest")))
        return self.norm(features) * (1 + self.gamma(hidden)) + self.beta(hidden)


class MotionAdaptiveNorm(ModelMixin, ConfigMixin):
    """One MotionNorm after each down block of the Reference UNet. Skip connections are not modulated.

    8,126,848 parameters for the widths of Stable Diffusion 1.5 and a map of two channels.
    """

    @register_to_config
    def __init__(
        self,
        block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280),
        motion_channels: int = 2,
        hidden: int = 128,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            MotionNorm(channels=channels, motion_channels=motion_channels, hidden=hidden)
            for channels in block_out_channels
        )

    def forward(self, index: int, features: Tensor, motion: Tensor) -> Tensor:
        """Modulates the output of down block `index`."""
        return self.blocks[index](features, motion)
