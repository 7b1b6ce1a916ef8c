"""`--dry-run`: parameters, memory and step time of a configuration, from the network itself on the meta device.

Nothing is downloaded, allocated or guessed from tables: operations are counted while the real modules run on tensors
without data, and the activations that autograd would keep are added up. The step time follows from an assumed rate.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel, UNetMotionModel
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from train.config import TrainConfig
from train.fsdp import unet_blocks
from train.model.build import POSE_CHANNELS, build_stage1, build_stage2
from train.model.config import LATENT_CHANNELS, MIXED_PICTURES
from train.model.encoders import true_image_encoder, true_vae
from train.model.mikudance import MikuDance

TOKENS = 257
"""Image tokens of CLIP ViT-L/14."""
RATE = 120e12
"""Assumed operations a second on one GPU: about 40 % of an A800's bf16 peak of 312e12."""


@dataclass(frozen=True)
class Estimate:
    """Counts for one rank. Sizes in bytes, operations in floating-point operations (a multiply-add is two)."""

    parameters: dict[str, int]
    trained: int
    weights: int
    optimizer: int
    average: int
    accumulated: int
    gathered: int
    activations: int
    operations: int
    encoding_operations: int
    ranks: int
    accumulation: int
    steps: int

    @property
    def memory(self) -> int:
        return self.weights + self.optimizer + self.average + self.accumulated + self.gathered + self.activations

    @property
    def step_seconds(self) -> float:
        """Seconds of an optimiser step at `RATE`."""
        return self.accumulation * (self.operations + self.encoding_operations) / RATE

    @property
    def _gathered_what(self) -> str:
        if self.ranks > 1:
            return "Reference UNet whole, two blocks of the denoising UNet"
        return "copies of the weights that train, in the precision of the activations"

    def __str__(self) -> str:
        gib = 2**30
        lines = ["parameters"]
        lines += [f"  {name:<16} {count:>15,}" for name, count in self.parameters.items()]
        lines += [
            f"  {'trained':<16} {self.trained:>15,}",
            f"memory of one of {self.ranks} ranks, GiB",
            f"  weights          {self.weights / gib:8.2f}   float32, sharded, and the frozen encoders",
            f"  optimiser        {self.optimizer / gib:8.2f}   gradients, two moments, sharded",
            f"  average          {self.average / gib:8.2f}   of the weights that train (optimizer.ema_decay), sharded",
            f"  accumulated      {self.accumulated / gib:8.2f}   gradients between micro batches, not sharded",
            f"  gathered         {self.gathered / gib:8.2f}   {self._gathered_what}",
            f"  activations      {self.activations / gib:8.2f}   kept for the backward pass",
            f"  together         {self.memory / gib:8.2f}   without the allocator's reserve and the encoders' peak",
            f"step, {self.accumulation} micro batches on each rank",
            f"  operations       {self.accumulation * self.operations / 1e12:8.1f}   10¹² on each rank",
            f"  encoding         {self.accumulation * self.encoding_operations / 1e12:8.1f}   10¹² on each rank",
            f"  seconds          {self.step_seconds:8.2f}   at an assumed {RATE / 1e12:.0f}·10¹² operations a second",
            f"  all {self.steps:,} steps  {self.step_seconds * self.steps / 86400:5.1f} days",
        ]
        return "\n".join(lines)


def estimate(config: TrainConfig, *, ranks: int) -> Estimate:
    """Counts for one of `ranks` ranks. Raises ConfigError where the batch does not divide."""
    accumulation = config.accumulation(ranks)
    half = config.parallel.precision == "bfloat16"
    with torch.device("meta"):
        model = build_stage1(config.model)
        if config.stage == 2:
            model = build_stage2(config.model, model)
        vae, image_encoder = true_vae(), true_image_encoder()
    model.train()
    if config.parallel.checkpointing:
        model.enable_checkpointing()
    counts = {name: _count(part) for name, part in model.parts().items()}
    counts |= {"vae": _count(vae), "image_encoder": _count(image_encoder)}
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    frozen_bytes = (counts["vae"] + counts["image_encoder"]) * (2 if half else 4)
    shards = config.parallel.shard_ranks or ranks
    kept, forward = _forward(config, model.to(torch.bfloat16 if half else torch.float32))
    # Backward: twice the forward where weights train, once where only activations pass through; checkpointing adds one.
    passes = 1 + (2 if config.stage == 1 else 1.5) + (1 if config.parallel.checkpointing else 0)
    return Estimate(
        parameters=counts,
        trained=trained,
        weights=4 * sum(_count(part) for part in model.parts().values()) // shards + frozen_bytes,
        optimizer=12 * trained // shards,
        average=0 if config.optimizer.ema_decay is None else 4 * trained // shards,
        # Sharded, gradients are summed over micro batches before they are reduced: whole, in float32, on every rank.
        accumulated=4 * trained if ranks > 1 and accumulation > 1 else 0,
        gathered=_gathered(model, trained, half=half, ranks=ranks),
        activations=kept,
        operations=int(passes * forward),
        encoding_operations=_encoding(config, vae),
        ranks=ranks,
        accumulation=accumulation,
        steps=config.steps,
    )


def _gathered(model: MikuDance, trained: int, *, half: bool, ranks: int) -> int:
    """Bytes of weights beside the rank's own. One rank shards nothing, and has only autocast's copies."""
    if ranks == 1:
        return 2 * trained if half else 0
    return (2 if half else 4) * (_count(model.reference) + 2 * _largest_block(model.denoiser))


def _forward(config: TrainConfig, model: MikuDance) -> tuple[int, int]:
    """(bytes kept for the backward pass, operations) of one micro batch."""
    batch, frames = config.micro_batch, config.reader.frames
    width, height = (side // 8 for side in config.reader.size)
    dtype = next(model.parameters()).dtype

    def empty(*shape: int) -> Tensor:
        return torch.empty(shape, device="meta", dtype=dtype)

    mixed = config.model.guidance == "mixed"
    channels = LATENT_CHANNELS * (MIXED_PICTURES if mixed else 1)
    motion = None
    if config.stage == 2 and config.model.motion_channels:
        motion = empty(batch, frames, config.model.motion_channels, height, width)
    pictures = empty(batch, frames, channels, height, width)
    tokens = empty(batch, TOKENS, config.model.unet.cross_attention_dim)
    with torch.no_grad():
        bank = model.features(pictures, tokens, motion)
    with FlopCounterMode(display=False) as counter, _kept_bytes() as kept:
        model(
            noisy=empty(batch, frames, LATENT_CHANNELS, height, width),
            timesteps=torch.zeros(batch, dtype=torch.int64, device="meta"),
            pictures=pictures,
            tokens=tokens,
            keep=torch.ones(batch, device="meta"),
            motion=motion,
            pose_images=None if mixed else empty(batch, frames, POSE_CHANNELS, 8 * height, 8 * width),
        )
    # The bank lives outside of autograd's books until the denoising UNet's backward pass is through.
    return sum(kept.values()) + bank.bytes, counter.get_total_flops()


def _encoding(config: TrainConfig, vae: AutoencoderKL) -> int:
    """Operations of encoding one micro batch: targets, three pose drawings a frame, reference and its pose."""
    width, height = config.reader.size
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        vae.encode(torch.empty(1, 3, height, width, device="meta"))
    drawings = 3 if config.model.guidance == "mixed" else 0
    pictures = config.micro_batch * (config.reader.frames * (1 + drawings) + 2)
    return pictures * counter.get_total_flops()


@contextlib.contextmanager
def _kept_bytes() -> Iterator[dict[int, int]]:
    """Sizes of the storages that autograd keeps, weights left out, each counted once."""
    kept: dict[int, int] = {}
    alive: list[Tensor] = []

    def pack(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        if not (value.is_leaf and value.requires_grad):
            kept[storage._cdata] = value.numel() * value.element_size()
            alive.append(value)  # or a later storage could take its address and hide
        return value

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        yield kept


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _largest_block(unet: UNet2DConditionModel | UNetMotionModel) -> int:
    return max(_count(block) for block in unet_blocks(unet))
