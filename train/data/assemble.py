"""Decodes one sample's bytes and puts its signals together under one crop."""

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
MAP_TYPES = {MOTION: np.float16, VALID: np.uint8}


def assemble(encoded: EncodedSample, config: ReaderConfig) -> TrainBatch:
    """A batch of one. Raises ShardError naming shard, clip and member where a member breaks the contract."""
    meta, window = encoded.meta, encoded.window
    rng = numpy_generator(config.seed, encoded.global_index, "crop")
    crop = draw_crop(meta.size, config.size, config.crop_scale, rng)
    arrays = decode_arrays(encoded)
    frames = list(window.frames)
    pictures = decode_pictures(encoded, crop, config.max_pixels)
    points = [crop.keypoints(arrays[name][[window.reference, *frames]]) for name in (BODY, FACE, HAND)]
    body, face, hand = _poses(points, config.size)
    depth = np.zeros((meta.size[1] // CELL, meta.size[0] // CELL), np.float16)
    if window.reference_row is not None:
        depth = arrays["inverse_depth.npy"][window.reference_row]
    motion, valid, stored = decode_motion(encoded, crop)
    cameras, lenses = arrays["cam_to_world.npy"], crop.intrinsics(arrays["intrinsics.npy"])
    return TrainBatch(
        sample_ids=(meta.clip_id,),
        kind=(meta.kind,),
        global_index=torch.tensor([encoded.global_index]),
        styled=torch.tensor([window.style is not None]),
        target=pictures[None, 1:],
        reference=pictures[:1],
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
        frame_step=torch.tensor([window.step]),
    )


def decode_arrays(encoded: EncodedSample) -> dict[str, np.ndarray]:
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


def decode_pictures(encoded: EncodedSample, crop: Crop, max_pixels: int) -> Tensor:
    """The pictures under the crop, RGB uint8 [1 + F, 3, H, W], the reference first."""
    (width, height), count = encoded.meta.size, len(encoded.pictures)
    planes = np.empty((count, 3, crop.size[1], crop.size[0]), np.uint8)
    frame = np.empty((height, width, 3), np.uint8)
    for (name, data), channels in zip(encoded.pictures.items(), planes, strict=True):
        try:
            decode_jpeg(data, frame, max_pixels)
        except DecodeError as error:
            raise broken_member(encoded.place, name, error) from error
        cv2.split(crop.image(frame), list(channels))  # in place, 10 times as fast as a transposed copy
    return torch.from_numpy(planes)


def _poses(points: list[np.ndarray], size: tuple[int, int]) -> Tensor:
    """The drawings of body, face and hands, uint8 [3, N, 3, H, W], from the keypoints [N, instances, K, 3] of each."""
    planes = np.empty((3, len(points[0]), 3, size[1], size[0]), np.uint8)
    canvas = np.empty((3, size[1], size[0], 3), np.uint8)
    for number, (body, face, hand) in enumerate(zip(*points, strict=True)):
        for image, part in zip(draw_pose(body, face, hand, size, out=canvas), planes, strict=True):
            cv2.split(image, list(part[number]))
    return torch.from_numpy(planes)


def decode_motion(encoded: EncodedSample, crop: Crop) -> tuple[Tensor, Tensor, bool]:
    """Scene motion [F, 2, H/8, W/8], valid [F, H/8, W/8], and whether they are final. The first frame has none."""
    width, height = encoded.meta.size
    count, h, w = len(encoded.window.frames), height // CELL, width // CELL
    if not encoded.maps:
        grid = (crop.size[1] // CELL, crop.size[0] // CELL)
        return torch.zeros(count, 2, *grid), torch.ones(count, *grid, dtype=torch.bool), count == 1
    maps = {name: [np.frombuffer(data, kind) for data in encoded.maps[name]] for name, kind in MAP_TYPES.items()}
    motion = np.stack(maps[MOTION], dtype=np.float32).reshape(count, 2, h, w)
    valid = np.stack(maps[VALID]).reshape(count, h, w).astype(bool)
    motion[0], valid[0] = 0.0, True
    if not np.isfinite(motion).all():
        raise broken_member(encoded.place, MOTION, "holds values that are not finite")
    moved, seen = crop.scene_motion(torch.from_numpy(motion), torch.from_numpy(valid))
    return moved, seen, True
