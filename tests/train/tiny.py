"""Tiny networks of the true architecture, and batches of noise, for tests."""

from pathlib import Path

import torch
from diffusers import AutoencoderKL
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from train.data.batch import TrainBatch
from train.model.build import build_stage1, build_stage2
from train.model.config import ModelConfig, UNetSize
from train.model.encoders import Encoders
from train.model.mikudance import MikuDance
from train.model.saving import SavedModel, save_model

SIZE = UNetSize(
    block_out_channels=(16, 16, 16, 16),
    layers_per_block=1,
    attention_heads=2,
    norm_num_groups=4,
    cross_attention_dim=16,
)


def tiny_config(**changes: object) -> ModelConfig:
    return ModelConfig(unet=SIZE, man_hidden=8, **changes)


def tiny_model(stage: int = 1, seed: int = 0, **changes: object) -> MikuDance:
    config = tiny_config(**changes)
    model = build_stage1(config, seed=seed)
    return model if stage == 1 else build_stage2(config, model, seed=seed)


def save_tiny(folder: Path, **saved: object) -> Path:
    """A network of stage 2 as an export. saved: further fields of SavedModel."""
    model = tiny_model(2)
    torch.manual_seed(0)
    torch.nn.init.normal_(model.reference.unet.conv_in.weight, std=0.1)  # an untrained one does not see the poses
    described = SavedModel(stage=2, model=model.config, frames=4, **saved)
    save_model(folder, saved=described, model=model, encoders=tiny_encoders())
    return folder


def tiny_vae(seed: int = 0) -> AutoencoderKL:
    torch.manual_seed(seed)
    blocks = 4
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * blocks,
        up_block_types=("UpDecoderBlock2D",) * blocks,
        block_out_channels=(8, 8, 16, 16),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
    )


def tiny_image_encoder(seed: int = 0) -> CLIPVisionModelWithProjection:
    torch.manual_seed(seed)
    config = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=32,
        patch_size=16,
        projection_dim=SIZE.cross_attention_dim,
    )
    return CLIPVisionModelWithProjection(config)


def tiny_encoders(seed: int = 0) -> Encoders:
    return Encoders(vae=tiny_vae(seed), image_encoder=tiny_image_encoder(seed))


def random_batch(indices: list[int], frames: int = 1, size: int = 128, seed: int = 0) -> TrainBatch:
    """A batch whose samples depend on their index alone."""
    rows = [_sample(index, frames, size, seed) for index in indices]
    stacked = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
    return TrainBatch(
        sample_ids=tuple(f"sample{index}" for index in indices), kind=("character",) * len(indices), **stacked
    )


def _sample(index: int, frames: int, size: int, seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed * 100_003 + index)

    def picture(*shape: int) -> torch.Tensor:
        return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)

    cell = size // 8
    motion = torch.randn(frames, 2, cell, cell, generator=generator) * 4
    motion[0] = 0
    pose = torch.eye(4, dtype=torch.float64).repeat(frames, 1, 1)
    pose[:, :3, 3] = torch.randn(frames, 3, generator=generator, dtype=torch.float64)
    camera = torch.tensor([size, size, size / 2 - 0.5, size / 2 - 0.5], dtype=torch.float64)
    return {
        "global_index": torch.tensor(index),
        "styled": torch.tensor(False),
        "target": picture(frames, 3, size, size),
        "reference": picture(3, size, size),
        "reference_pose": picture(3, size, size),
        "pose_body": picture(frames, 3, size, size),
        "pose_face": picture(frames, 3, size, size),
        "pose_hand": picture(frames, 3, size, size),
        "scene_motion": motion,
        "scene_motion_valid": torch.ones(frames, cell, cell, dtype=torch.bool),
        "scene_motion_stored": torch.tensor(True),
        "inverse_depth": torch.rand(cell, cell, generator=generator),
        "cam_to_world": pose,
        "intrinsics": camera.repeat(frames, 1),
        "reference_cam_to_world": torch.eye(4, dtype=torch.float64),
        "frame_step": torch.tensor(1),
    }
