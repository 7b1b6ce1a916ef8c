"""Decodes one sample's bytes and puts its signals together under one crop."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from extractors.geometry.drawing import draw_pose
from schemas.sample import KEYPOINTS
from train.data.batch import TrainBatch
from train.data.config import ReaderConfig
from train.data.crop import CELL, Crop, draw_crop
from train.data.decode import DecodeError, decode_jpeg, decode_npy
from train.data.encoded import MOTION, VALID, EncodedSample
from train.data.errors import broken_member
from train.data.rng import numpy_generator

MAX_INSTANCES = 256
"""People, faces or hands in a frame: drawing more would only cost time."""
BODY, FACE, HAND = KEYPOINTS


def assemble(encoded: EncodedSample, config: ReaderConfig) -> TrainBatch:
    """A batch of one. Raises ShardError naming shard, clip and member where a member breaks the contract."""
    meta, window = encoded.meta, encoded.window
    rng = numpy_generator(config.seed, encoded.global_index, "crop")
    crop = draw_crop(meta.size, config.size, config.crop_scale, rng)
    arrays = _arrays(encoded)
    frames = list(window.frames)
    reference, *targets = (crop.image(image) for image in _pictures(encoded, config.max_pixels))
    points = [crop.keypoints(arrays[name][[window.reference, *frames]]) for name in (BODY, FACE, HAND)]
    drawn = [draw_pose(body, face, hand, config.size) for body, face, hand in zip(*points, strict=True)]
    body, face, hand = (_planes(images) for images in zip(*drawn, strict=True))
    depth = np.zeros((meta.size[1] // CELL, meta.size[0] // CELL), np.float16)
    if window.reference_row is not None:
        depth = arrays["inverse_depth.npy"][window.reference_row]
    motion, valid, stored = _motion(encoded, crop)
    cameras, lenses = arrays["cam_to_world.npy"], crop.intrinsics(arrays["intrinsics.npy"])
    return TrainBatch(
        sample_ids=(meta.clip_id,),
        kind=(meta.kind,),
        global_index=torch.tensor([encoded.global_index]),
        styled=torch.tensor([window.style is not None]),
        target=_planes(targets)[None],
        reference=_planes([reference]),
        reference_pose=body[:1],
        pose_body=body[None, 1:],
        pose_face=face[None, 1:],
        pose_hand=hand[None, 1:],
        scene_motion=motion[None],
        scene_motion_valid=valid[None],
        scene_motion_stored=torch.tensor([stored]),
        inverse_depth=crop.grid(torch.from_numpy(depth.astype(np.float32))[None, None])[:, 0],
        cam_to_world=torch.from_numpy(cameras[frames])[None],
        intrinsics=torch.from_numpy(lenses[frames])[None],
        reference_cam_to_world=torch.from_numpy(cameras[[window.reference]]),
        reference_intrinsics=torch.from_numpy(lenses[[window.reference]]),
        frame_step=torch.tensor([window.step]),
    )


def _arrays(encoded: EncodedSample) -> dict[str, np.ndarray]:
    """The whole arrays by member name, checked against the contract."""
    length, (width, height) = len(encoded.meta.timestamps), encoded.meta.size
    layouts: dict[str, tuple[str, tuple[int | None, ...]]] = {
        **{name: ("float32", (length, None, points, 3)) for name, points in KEYPOINTS.items()},
        "cam_to_world.npy": ("float64", (length, 4, 4)),
        "intrinsics.npy": ("float64", (length, 4)),
        "inverse_depth.npy": ("float16", (len(encoded.meta.references), height // CELL, width // CELL)),
    }
    arrays = {}
    for name, (dtype, shape) in layouts.items():
        try:
            array = decode_npy(encoded.arrays[name], dtype, shape)
        except DecodeError as error:
            raise broken_member(encoded.place, name, error) from error
        if name in KEYPOINTS:  # a missing keypoint is NaN
            if array.shape[1] > MAX_INSTANCES:
                raise broken_member(encoded.place, name, f"{array.shape[1]} instances, above {MAX_INSTANCES}")
        elif not np.isfinite(array).all():
            raise broken_member(encoded.place, name, "holds values that are not finite")
        arrays[name] = array
    return arrays


def _pictures(encoded: EncodedSample, max_pixels: int) -> list[np.ndarray]:
    """RGB uint8 [height, width, 3] each, the reference first."""
    images = []
    for name, data in encoded.pictures.items():
        try:
            images.append(decode_jpeg(data, encoded.meta.size, max_pixels))
        except DecodeError as error:
            raise broken_member(encoded.place, name, error) from error
    return images


def _motion(encoded: EncodedSample, crop: Crop) -> tuple[Tensor, Tensor, bool]:
    """Scene motion [F, 2, H/8, W/8], valid [F, H/8, W/8], and whether they are final. The first frame has none."""
    width, height = encoded.meta.size
    count, h, w = len(encoded.window.frames), height // CELL, width // CELL
    if not encoded.maps:
        grid = (crop.size[1] // CELL, crop.size[0] // CELL)
        return torch.zeros(count, 2, *grid), torch.ones(count, *grid, dtype=torch.bool), count == 1
    motion = np.frombuffer(encoded.maps[MOTION], np.float16).reshape(count, 2, h, w).astype(np.float32)
    valid = np.frombuffer(encoded.maps[VALID], np.uint8).reshape(count, h, w).astype(bool)
    motion[0], valid[0] = 0.0, True
    if not np.isfinite(motion).all():
        raise broken_member(encoded.place, MOTION, "holds values that are not finite")
    maps, seen = crop.scene_motion(torch.from_numpy(motion), torch.from_numpy(valid))
    return maps, seen, True


def _planes(images: Sequence[np.ndarray]) -> Tensor:
    """Pictures uint8 [H, W, 3] as a contiguous tensor [N, 3, H, W]."""
    planes = np.empty((len(images), 3, *images[0].shape[:2]), np.uint8)
    for image, channels in zip(images, planes, strict=True):
        cv2.split(image, list(channels))  # writes in place, 40 times as fast as a transposed copy
    return torch.from_numpy(planes)
