"""What the reader hands to the training loop: one micro batch of one rank."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from schemas.clip import Kind


@dataclass(frozen=True)
class TrainBatch:
    """B samples of F frames (F = 1 in stage 1), H × W pixels; h × w the latent grid (H / 8, W / 8).

    Pictures are uint8 RGB as decoded (a quarter of the traffic of float32); `signed` and `unit` convert them where they
    are used, on the device.

    sample_ids: clip ids. global_index: int64 [B], the samples' places in the run's one global order (never repeats;
    the key of every random draw about a sample, see `train.data.rng`). kind: "character" or "camera". styled: bool
    [B], reference and target are a stylised pair. target: uint8 [B, F, 3, H, W]. reference: uint8 [B, 3, H, W].
    reference_pose: uint8 [B, 3, H, W], the reference's body drawing. pose_body, pose_face, pose_hand: uint8
    [B, F, 3, H, W], black where nobody is seen. scene_motion: float32 [B, F, 2, h, w], (dx, dy) in pixels of H × W,
    arriving at the frame from the window's frame before it; zero at frame 0. scene_motion_valid: bool [B, F, h, w].
    scene_motion_stored: bool [B], False where the maps are still to be computed (`train.data.motion.finish` does, on
    the device, and replaces them where the network takes published ones). inverse_depth: float32 [B, h, w] of the
    reference, in the cameras' scale. cam_to_world: float64 [B, F, 4, 4]; intrinsics: float64 [B, F, 4], fx fy cx cy in
    pixels of H × W. reference_cam_to_world: float64 [B, 4, 4], the reference's own camera. frame_step: int64 [B],
    frames of the clip between two of the window.
    """

    sample_ids: tuple[str, ...]
    kind: tuple[Kind, ...]
    global_index: Tensor
    styled: Tensor
    target: Tensor
    reference: Tensor
    reference_pose: Tensor
    pose_body: Tensor
    pose_face: Tensor
    pose_hand: Tensor
    scene_motion: Tensor
    scene_motion_valid: Tensor
    scene_motion_stored: Tensor
    inverse_depth: Tensor
    cam_to_world: Tensor
    intrinsics: Tensor
    reference_cam_to_world: Tensor
    frame_step: Tensor

    def __len__(self) -> int:
        return len(self.sample_ids)

    def tensors(self) -> dict[str, Tensor]:
        """The tensors by field name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Tensor)}

    def with_tensors(self, tensors: Mapping[str, Tensor]) -> "TrainBatch":
        """The batch with some of its tensors, by field name, replaced."""
        return TrainBatch(sample_ids=self.sample_ids, kind=self.kind, **(self.tensors() | dict(tensors)))

    def to(self, device: torch.device | str) -> "TrainBatch":
        """The batch with its tensors on `device` (asynchronous from pinned memory); dtypes do not change."""
        return self.with_tensors({name: value.to(device, non_blocking=True) for name, value in self.tensors().items()})

    def pin_memory(self) -> "TrainBatch":
        """The batch in page-locked memory; `DataLoader(pin_memory=True)` calls it."""
        return self.with_tensors({name: value.pin_memory() for name, value in self.tensors().items()})


def signed(images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """uint8 pictures as [-1, 1], what the autoencoder takes. Any shape."""
    return images.to(dtype).div(127.5).sub(1.0)


def unit(images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """uint8 pictures as [0, 1]. Any shape."""
    return images.to(dtype).div(255.0)


def join(batches: list[TrainBatch]) -> TrainBatch:
    """Batches in a row as one (the reader makes one a sample); a single one is returned as it is. Raises ValueError for
    an empty list.
    """
    if not batches:
        raise ValueError("cannot join an empty list of batches")
    if len(batches) == 1:
        return batches[0]
    joined = {name: torch.cat([b.tensors()[name] for b in batches]) for name in batches[0].tensors()}
    return TrainBatch(
        sample_ids=tuple(name for b in batches for name in b.sample_ids),
        kind=tuple(kind for b in batches for kind in b.kind),
        **joined,
    )
