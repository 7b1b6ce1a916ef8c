"""Sharding: FSDP2, one unit a block."""

from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard

from train.config import ConfigError, ParallelConfig
from train.model.mikudance import MikuDance


def make_mesh(config: ParallelConfig, device: torch.device, world: int) -> DeviceMesh:
    """A mesh of all ranks; with `shard_ranks`, copies of the weights × shards of each copy."""
    shards = config.shard_ranks or world
    if world % shards:
        raise ConfigError(f"parallel.shard_ranks {shards} does not divide the {world} ranks")
    if shards == world:
        return init_device_mesh(device.type, (world,))
    return init_device_mesh(device.type, (world // shards, shards), mesh_dim_names=("copies", "shards"))


def shard(model: MikuDance, *, mesh: DeviceMesh, config: ParallelConfig) -> None:
    """Shards each network of the model in place, and moves the shards to the mesh's device.

    Each network is a root of its own, so that sampling can call them one by one. The Reference UNet stays gathered
    from its forward to its backward pass: gradients enter its blocks through the bank, behind the back of the hooks
    that would gather them again.
    """
    dtype = torch.bfloat16 if config.precision == "bfloat16" else None
    policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32 if dtype else None)
    networks: list[tuple[nn.Module, Any]] = [
        (model.reference, model.reference.unet),
        (model.denoiser, model.denoiser),
        *((control, control) for control in (model.pose_control, model.motion_control) if control is not None),
    ]
    for root, unet in networks:
        gather_again = root is not model.reference
        for block in unet_blocks(unet):
            fully_shard(block, mesh=mesh, mp_policy=policy, reshard_after_forward=gather_again)
        fully_shard(root, mesh=mesh, mp_policy=policy, reshard_after_forward=gather_again)


def unet_blocks(unet: Any) -> list[nn.Module]:
    """Down, middle and up blocks (a ControlNet has no up blocks)."""
    return [*unet.down_blocks, unet.mid_block, *getattr(unet, "up_blocks", ())]


def sharded_modules(model: nn.Module) -> list[FSDPModule]:
    """All FSDP units of a model."""
    return [module for module in model.modules() if isinstance(module, FSDPModule)]


def reshard(model: nn.Module) -> None:
    """Frees gathered weights. Needed where weights change outside of training steps: a network that was not resharded
    after its forward pass would go on with the old ones.
    """
    for module in sharded_modules(model):
        module.reshard()


def sync_gradients(model: nn.Module, wanted: bool) -> None:
    """Reduces gradients over ranks in the next backward pass, or keeps them for accumulation."""
    for module in sharded_modules(model):
        module.set_requires_gradient_sync(wanted, recurse=False)


def compile_blocks(model: MikuDance) -> None:
    """torch.compile for residual and temporal blocks, in place, before sharding.

    Attention blocks are left out: they write to and read from the bank, which is no input or output of theirs.
    """
    from diffusers.models.resnet import ResnetBlock2D
    from diffusers.models.unets.unet_motion_model import AnimateDiffTransformer3D

    # Blocks share their code but not their widths and resolutions, of which there are more than the default limit of 8.
    torch._dynamo.config.recompile_limit = 64
    for module in model.modules():
        if isinstance(module, ResnetBlock2D | AnimateDiffTransformer3D):
            module.compile()
