"""The frozen networks: the autoencoder and the image encoder."""

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPVisionModelWithProjection

from train.model.config import LATENT_CHANNELS

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
FACTOR = 8
"""Pixels to a latent cell."""


class Encoders(nn.Module):
    """Pictures to latents and tokens, without gradients. Neither network changes in training."""

    def __init__(self, *, vae: AutoencoderKL, image_encoder: CLIPVisionModelWithProjection, chunk: int = 8) -> None:
        super().__init__()
        factor = 2 ** (len(vae.config.block_out_channels) - 1)
        if factor != FACTOR or vae.config.latent_channels != LATENT_CHANNELS:
            raise ValueError(
                f"the autoencoder shrinks by {factor} to {vae.config.latent_channels} channels; "
                f"this model wants {FACTOR} and {LATENT_CHANNELS}"
            )
        self.vae = vae
        self.image_encoder = image_encoder
        self.chunk = chunk
        self.requires_grad_(False).eval()

    @torch.no_grad()
    def latents(self, pictures: Tensor, noise: Tensor | None = None) -> Tensor:
        """Scaled latents `[..., 4, h, w]` of pictures `[..., 3, H, W]`.

        noise: standard normal like the result, to draw from the posterior; None takes its mean.
        """
        flat = pictures.flatten(0, -4).to(self.vae.dtype)
        draws = None if noise is None else noise.flatten(0, -4)
        parts = []
        for start in range(0, len(flat), self.chunk):
            posterior = self.vae.encode(flat[start : start + self.chunk]).latent_dist
            part = posterior.mean
            if draws is not None:
                part = part + posterior.std * draws[start : start + self.chunk].to(part)
            parts.append(part * self.vae.config.scaling_factor)
        return torch.cat(parts).unflatten(0, pictures.shape[:-3])

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Pictures `[..., 3, H, W]` in [-1, 1], float32, of scaled latents `[..., 4, h, w]`."""
        flat = latents.flatten(0, -4).to(self.vae.dtype) / self.vae.config.scaling_factor
        parts = [self.vae.decode(flat[i : i + self.chunk]).sample for i in range(0, len(flat), self.chunk)]
        return torch.cat(parts).float().clamp(-1, 1).unflatten(0, latents.shape[:-3])

    @torch.no_grad()
    def tokens(self, pictures: Tensor) -> Tensor:
        """Image tokens `[B, 257, 768]` (for ViT-L/14) of pictures `[B, 3, H, W]` in [0, 1].

        The whole sequence, layer-normed and projected, not the class token alone: the published model's
        `visual_projection(post_layernorm(last_hidden_state))`.
        """
        encoder = self.image_encoder
        side = encoder.config.image_size
        small = functional.interpolate(pictures.float(), size=(side, side), mode="bicubic", antialias=True).clamp(0, 1)
        mean = small.new_tensor(CLIP_MEAN)[:, None, None]
        std = small.new_tensor(CLIP_STD)[:, None, None]
        hidden = encoder.vision_model(((small - mean) / std).to(encoder.dtype)).last_hidden_state
        return encoder.visual_projection(encoder.vision_model.post_layernorm(hidden))
