"""The frozen networks: the autoencoder and the image encoder."""

import hashlib
from collections import OrderedDict

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from train.model.config import LATENT_CHANNELS

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
FACTOR = 8
"""Pixels to a latent cell."""


class Encoders(nn.Module):
    """Pictures to latents and tokens, without gradients. Neither network changes in training.

    chunk: pictures that the autoencoder takes at once. cache_bytes: memory for what it made of pictures, so that one
    that comes again is not encoded again; those that were not seen for longest go first.
    """

    def __init__(
        self,
        *,
        vae: AutoencoderKL,
        image_encoder: CLIPVisionModelWithProjection,
        chunk: int = 8,
        cache_bytes: int = 0,
    ) -> None:
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
        self._cache_bytes = cache_bytes
        self._cache: OrderedDict[bytes, Tensor] = OrderedDict()
        self._cached_bytes = 0
        self.requires_grad_(False).eval()

    @torch.no_grad()
    def latents(self, pictures: Tensor, noise: Tensor | None = None) -> Tensor:
        """Scaled latents `[..., 4, h, w]` of pictures `[..., 3, H, W]`.

        noise: standard normal like the result, to draw from the posterior; None takes its mean.
        """
        flat = pictures.flatten(0, -4).to(self.vae.dtype)
        if self._cache_bytes:
            moments = torch.cat([self._cached_moments(picture) for picture in flat.split(1)])
        else:
            moments = torch.cat([self._moments(part) for part in flat.split(self.chunk)])
        latents, deviation = moments.chunk(2, dim=1)
        if noise is not None:
            latents = latents + deviation * noise.flatten(0, -4).to(latents)
        return (latents * self.vae.config.scaling_factor).unflatten(0, pictures.shape[:-3])

    def _moments(self, pictures: Tensor) -> Tensor:
        """Mean and deviation of the posterior, `[N, 8, h, w]`."""
        posterior = self.vae.encode(pictures).latent_dist
        return torch.cat([posterior.mean, posterior.std], dim=1)

    def _cached_moments(self, picture: Tensor) -> Tensor:
        """`_moments` of `[1, 3, H, W]`, by what is shown. One picture at a time, so that the same one gives the same
        bits whatever it comes with: a run that is resumed starts with an empty cache.
        """
        values = picture.contiguous().view(torch.uint8).cpu().numpy().tobytes()
        key = hashlib.sha256(values).digest() + repr(tuple(picture.shape)).encode()
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        moments = self._cache[key] = self._moments(picture)
        self._cached_bytes += moments.nbytes
        while self._cached_bytes > self._cache_bytes:
            self._cached_bytes -= self._cache.popitem(last=False)[1].nbytes
        return moments

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


def true_vae() -> AutoencoderKL:
    """Stable Diffusion's autoencoder (sd-vae-ft-mse) without its weights: 83,653,863 parameters."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(128, 256, 512, 512),
        layers_per_block=2,
        latent_channels=LATENT_CHANNELS,
    )


def true_image_encoder() -> CLIPVisionModelWithProjection:
    """CLIP ViT-L/14's vision tower (sd-image-variations-diffusers) without its weights: 303,966,208 parameters."""
    return CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=1024,
            intermediate_size=4096,
            num_hidden_layers=24,
            num_attention_heads=16,
            image_size=224,
            patch_size=14,
            projection_dim=768,
        )
    )
