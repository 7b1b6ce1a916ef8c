"""A small autoencoder for demonstrations and tests, where the weights of Stable Diffusion's cannot be had.

It has the true one's factor of 8 and 4 latent channels, so that everything after it is as it would be.
"""

import logging

import torch
from diffusers import AutoencoderKL
from diffusers.models.attention_processor import Attention
from diffusers.models.downsampling import Downsample2D
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.upsampling import Upsample2D
from torch import Tensor, nn

from train.data.batch import signed
from train.model.config import LATENT_CHANNELS
from train.progress import Progress

log = logging.getLogger("train.autoencoder")

KL_WEIGHT = 1e-6
"""As in the latent diffusion paper (arXiv 2112.10752, appendix G)."""

WIDTHS = (16, 32, 64, 64)
GROUPS = 2
COLOURS = 3
START_LOGVAR = -6.0
"""A posterior as wide as the prior would drown the picture in noise for the first hundreds of steps."""


def train_autoencoder(
    pictures: Tensor,
    *,
    steps: int,
    batch: int = 8,
    crop: int = 64,
    lr: float = 1.5e-3,
    widths: tuple[int, int, int, int] = WIDTHS,
    seed: int = 0,
) -> tuple[AutoencoderKL, list[float]]:
    """An autoencoder trained on crops of uint8 `[N, 3, H, W]`, and its mean squared error (of [-1, 1]) at each step.

    crop: side of the crops, pixels. The scaling factor is set to give latents a deviation of one, as Stable
    Diffusion's does.
    """
    if len(pictures) == 0:
        raise ValueError("there are no pictures to train an autoencoder on")
    vae = colour_autoencoder(widths, seed).train()
    optimizer = torch.optim.AdamW(vae.parameters(), lr=lr, betas=(0.9, 0.99), weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=lr, total_steps=steps, pct_start=0.1)
    generator = torch.Generator().manual_seed(seed)
    errors: list[float] = []
    progress = Progress(log=log, done=0, total=steps)
    for step in range(1, steps + 1):
        chosen = torch.randint(len(pictures), (batch,), generator=generator)
        target = signed(_cropped(pictures[chosen], crop, generator))
        posterior = vae.encode(target).latent_dist
        draw = posterior.mean + posterior.std * torch.randn(posterior.mean.shape, generator=generator)
        error = (vae.decode(draw).sample - target).square().mean()
        (error + KL_WEIGHT * posterior.kl().mean()).backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        errors.append(float(error.detach()))
        progress.report(step, {"error": errors[-1]})
    vae.eval().requires_grad_(False)
    with torch.no_grad():
        latents = [vae.encode(signed(part)).latent_dist.mean for part in pictures.split(batch)]
    vae.register_to_config(scaling_factor=1 / float(torch.cat(latents).std()))
    return vae, errors


def colour_autoencoder(widths: tuple[int, int, int, int], seed: int) -> AutoencoderKL:
    """An autoencoder that, before any training, stores the mean colour of each cell of 8 × 8 pixels.

    From random weights hundreds of steps pass until it has found colours, which is most of what a demonstration can
    afford. Here every residual branch starts at zero, down- and upsampling as averages, and colours travel as pairs
    (x, -x), which pass the SiLU before the last convolution unchanged: silu(x) - silu(-x) = x. A fourth pair holds a
    constant, so that group normalisation does not make every picture equally bright.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=widths,
            layers_per_block=1,
            latent_channels=LATENT_CHANNELS,
            norm_num_groups=GROUPS,
        )
        probe = nn.functional.interpolate(torch.rand(8, COLOURS, 4, 4) * 2 - 1, scale_factor=16.0, mode="bilinear")
    with torch.no_grad():
        for module in vae.modules():
            _start_plainly(module)
        for conv, channels in ((vae.encoder.conv_in, COLOURS), (vae.decoder.conv_in, LATENT_CHANNELS)):
            _into_pairs(conv, channels)
        for conv, channels in ((vae.encoder.conv_out, COLOURS), (vae.decoder.conv_out, COLOURS)):
            _out_of_pairs(conv, channels)
        for conv in (vae.quant_conv, vae.post_quant_conv):
            conv.weight.zero_()
            conv.bias.zero_()
            conv.weight.diagonal()[:] = 1
        vae.quant_conv.weight[LATENT_CHANNELS:] = 0
        vae.quant_conv.bias[LATENT_CHANNELS:] = START_LOGVAR
        drawn = vae.decode(vae.encode(probe).latent_dist.mean).sample
        vae.decoder.conv_out.weight.mul_((probe * drawn).sum() / drawn.square().sum())
    return vae


def _start_plainly(module: nn.Module) -> None:
    """Residual blocks and attention pass on what comes in; resampling is a mean of neighbours."""
    if isinstance(module, ResnetBlock2D):
        module.conv2.weight.zero_()
        module.conv2.bias.zero_()
        if module.conv_shortcut is not None:
            nn.init.dirac_(module.conv_shortcut.weight)
            module.conv_shortcut.bias.zero_()
    elif isinstance(module, Attention):
        module.to_out[0].weight.zero_()
        module.to_out[0].bias.zero_()
    elif isinstance(module, Downsample2D | Upsample2D):
        # Downsampling is padded on the right and below: its kernel starts at the first of the two pixels.
        row = torch.tensor([0.5, 0.5, 0.0] if isinstance(module, Downsample2D) else [0.25, 0.5, 0.25])
        module.conv.weight.zero_()
        module.conv.bias.zero_()
        module.conv.weight.diagonal()[:] = torch.outer(row, row)[..., None]


def _into_pairs(conv: nn.Conv2d, channels: int) -> None:
    """Channels k of the input as the pair (2k, 2k + 1) of the output, and a constant as the pair after them."""
    assert conv.bias is not None
    middle = conv.weight.shape[-1] // 2
    conv.weight[: 2 * channels + 2].zero_()
    conv.bias.zero_()
    for k in range(channels):
        conv.weight[2 * k, k, middle, middle] = 1
        conv.weight[2 * k + 1, k, middle, middle] = -1
    conv.bias[2 * channels], conv.bias[2 * channels + 1] = 2, -2


def _out_of_pairs(conv: nn.Conv2d, channels: int) -> None:
    """The difference of each pair; other outputs start small."""
    assert conv.bias is not None
    middle = conv.weight.shape[-1] // 2
    conv.weight.mul_(0.1)
    conv.bias.zero_()
    for k in range(channels):
        conv.weight[k].zero_()
        conv.weight[k, 2 * k, middle, middle] = 1
        conv.weight[k, 2 * k + 1, middle, middle] = -1


def _cropped(pictures: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """The same random square of all pictures `[N, 3, H, W]`; whole ones where they are no larger."""
    height, width = pictures.shape[-2:]
    top, left = (int(torch.randint(max(1, size - side + 1), (), generator=generator)) for size in (height, width))
    return pictures[..., top : top + side, left : left + side]
