"""One sample of the order, from a shard's bytes to a batch of one. Only its window is read and decoded."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from extractors.geometry.drawing import draw_pose
from schemas.release import Release, ShardEntry
from schemas.sample import JSON, KEYPOINTS, SampleJson, frame_member, style_members
from train.data.batch import TrainBatch
from train.data.config import ReaderConfig
from train.data.crop import CELL, Crop, draw_crop
from train.data.decode import DecodeError, decode_jpeg, decode_npy
from train.data.errors import ShardError
from train.data.fetch import Range, Store
from train.data.index import IndexCache
from train.data.maps import MapLayout
from train.data.order import SampleRef
from train.data.rng import numpy_generator
from train.data.window import Window, choose_window

MAX_JSON_BYTES = 8 << 20
MAX_MEMBER_BYTES = 64 << 20
MAX_INSTANCES = 256
"""People, faces or hands in a frame: drawing more would only cost time."""
BODY, FACE, HAND = KEYPOINTS
MOTION, VALID = "scene_motion.npy", "scene_motion_valid.npy"


@dataclass(frozen=True)
class EncodedSample:
    """The bytes of one sample's window. reference, targets: JPEGs. keypoints: whole `.npy` members by name. motion,
    valid: one map a frame of the window as raw float16 [2, h, w] and uint8 [h, w]; empty where they are not read.
    """

    ref: SampleRef
    shard: ShardEntry
    meta: SampleJson
    window: Window
    reference: bytes
    targets: tuple[bytes, ...]
    arrays: dict[str, bytes]
    motion: tuple[bytes, ...]
    valid: tuple[bytes, ...]


class SampleReader:
    """Reads samples of one release. Holds open files, so each process makes its own."""

    def __init__(self, *, config: ReaderConfig, store: Store, release: Release) -> None:
        self._config = config
        self._store = store
        self._release = release
        self._indexes = IndexCache(store=store)

    def read(self, ref: SampleRef) -> TrainBatch:
        """The sample as a batch of one. Raises DatasetError, or ShardError naming shard, sample and member."""
        return self.decode(self.fetch(ref))

    def fetch(self, ref: SampleRef) -> EncodedSample:
        """The sample's bytes: its json, the pictures of its window, the arrays that they need."""
        config, shard = self._config, self._release.shards[ref.shard]
        spans = self._indexes.get(shard).members(ref.row)
        meta = self._meta(shard, ref.row, spans)
        rng = numpy_generator(config.seed, ref.global_index, "window")
        try:
            window = choose_window(meta, config, ref.styled, rng)
        except ValueError as error:
            raise ShardError(f"{shard.path}: {meta.clip_id}: {error}") from error
        width, height = meta.size
        grid, rows = (height // CELL, width // CELL), (len(meta.references), len(meta.timestamps))
        if window.style is None:
            pictures = [frame_member(i) for i in (window.reference, *window.frames)]
        else:
            pictures = list(style_members(window.style))
        arrays = [*KEYPOINTS, "cam_to_world.npy", "intrinsics.npy", "inverse_depth.npy"]
        wanted = [self._span(shard, meta, spans, name) for name in (*pictures, *arrays)]
        layouts: dict[str, MapLayout] = {}
        if config.stage == 2 and window.step == meta.frame_step:
            layouts[MOTION] = MapLayout("float16", (*rows, 2, *grid))
            layouts[VALID] = MapLayout("uint8", (*rows, *grid))
        parts: list[Range] = []
        for name, layout in layouts.items():
            assert window.reference_row is not None, "windows of stage 2 have a reference with depth"
            try:
                parts += layout.ranges(self._span(shard, meta, spans, name), window.reference_row, window.frames)
            except DecodeError as error:
                raise self._broken(shard, meta, name, error) from error
        data = self._store.read(shard, wanted + parts)
        images, rest = data[: len(pictures)], data[len(pictures) : len(wanted)]
        maps: dict[str, tuple[bytes, ...]] = {}
        for number, (name, layout) in enumerate(layouts.items()):
            start = len(wanted) + number * (len(window.frames) + 1)
            try:
                layout.check(data[start])
            except DecodeError as error:
                raise self._broken(shard, meta, name, error) from error
            maps[name] = tuple(data[start + 1 : start + 1 + len(window.frames)])
        return EncodedSample(
            ref=ref,
            shard=shard,
            meta=meta,
            window=window,
            reference=images[0],
            targets=tuple(images[1:]),
            arrays=dict(zip(arrays, rest, strict=True)),
            motion=maps.get(MOTION, ()),
            valid=maps.get(VALID, ()),
        )

    def decode(self, encoded: EncodedSample) -> TrainBatch:
        """A batch of one from the bytes of a sample."""
        meta, window, config = encoded.meta, encoded.window, self._config
        length, frames = len(meta.timestamps), list(window.frames)
        width, height = meta.size
        h, w = height // CELL, width // CELL
        rng = numpy_generator(config.seed, encoded.ref.global_index, "crop")
        crop = draw_crop(meta.size, config.size, config.crop_scale, rng)
        layouts: dict[str, tuple[str, tuple[int | None, ...]]] = {
            **{name: ("float32", (length, None, points, 3)) for name, points in KEYPOINTS.items()},
            "cam_to_world.npy": ("float64", (length, 4, 4)),
            "intrinsics.npy": ("float64", (length, 4)),
            "inverse_depth.npy": ("float16", (len(meta.references), h, w)),
        }
        arrays = {}
        for name, (dtype, shape) in layouts.items():
            try:
                arrays[name] = decode_npy(encoded.arrays[name], dtype, shape)
            except DecodeError as error:
                raise self._broken(encoded.shard, meta, name, error) from error
            if name not in KEYPOINTS and not np.isfinite(arrays[name]).all():
                raise self._broken(encoded.shard, meta, name, "holds values that are not finite")
            if name in KEYPOINTS and arrays[name].shape[1] > MAX_INSTANCES:
                raise self._broken(
                    encoded.shard, meta, name, f"{arrays[name].shape[1]} instances, above {MAX_INSTANCES}"
                )
        reference = crop.image(self._picture(encoded, encoded.reference, "reference picture"))
        target = [crop.image(self._picture(encoded, data, "target picture")) for data in encoded.targets]
        points = {name: crop.keypoints(arrays[name][[window.reference, *frames]]) for name in KEYPOINTS}
        people = zip(points[BODY], points[FACE], points[HAND], strict=True)
        drawn = [draw_pose(*keypoints, config.size) for keypoints in people]
        body, face, hand = (_planes(images) for images in zip(*drawn, strict=True))
        depth = np.zeros((h, w), np.float16)
        if window.reference_row is not None:
            depth = arrays["inverse_depth.npy"][window.reference_row]
        motion, valid, stored = self._motion(encoded, crop)
        cameras, lenses = arrays["cam_to_world.npy"], crop.intrinsics(arrays["intrinsics.npy"])
        return TrainBatch(
            sample_ids=(meta.clip_id,),
            kind=(meta.kind,),
            global_index=torch.tensor([encoded.ref.global_index]),
            styled=torch.tensor([window.style is not None]),
            target=_planes(target)[None],
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

    def _meta(self, shard: ShardEntry, row: int, spans: dict[str, Range]) -> SampleJson:
        sample = shard.samples[row]
        if JSON not in spans or spans[JSON][1] > MAX_JSON_BYTES:
            raise ShardError(f"{shard.path}: {sample}: member 'json' is missing or above {MAX_JSON_BYTES} bytes")
        try:
            meta = SampleJson.model_validate_json(self._store.read(shard, [spans[JSON]])[0])
        except ValidationError as error:
            raise ShardError(f"{shard.path}: {sample}: member 'json' does not follow the schema: {error}") from error
        length = len(meta.timestamps)
        if (meta.clip_id, length, meta.frame_step) != (sample, shard.frames[row], shard.frame_steps[row]):
            raise ShardError(
                f"{shard.path}: the json of {meta.clip_id!r}, {length} frames, step {meta.frame_step}, stands where "
                f"the release has {sample!r}, {shard.frames[row]} frames, step {shard.frame_steps[row]}"
            )
        indices = [*meta.references, *(i for pair in meta.styles for i in (pair.reference_index, pair.target_index))]
        width, height = meta.size
        if not all(0 <= i < length for i in indices) or min(meta.size) < CELL or width % CELL or height % CELL:
            raise ShardError(f"{shard.path}: {sample}: references, style pairs or size {meta.size} are out of range")
        if width * height > self._config.max_pixels:
            raise ShardError(f"{shard.path}: {sample}: {width} × {height} pixels are above max_pixels")
        return meta

    def _span(self, shard: ShardEntry, meta: SampleJson, spans: dict[str, Range], name: str) -> Range:
        if name not in spans:
            raise self._broken(shard, meta, name, "is missing")
        if spans[name][1] > MAX_MEMBER_BYTES and name not in (MOTION, VALID):
            raise self._broken(shard, meta, name, f"{spans[name][1]} bytes, above the limit of {MAX_MEMBER_BYTES}")
        return spans[name]

    def _motion(self, encoded: EncodedSample, crop: Crop) -> tuple[Tensor, Tensor, bool]:
        """Scene motion [F, 2, H/8, W/8], valid [F, H/8, W/8], and whether they are final. The first frame has none."""
        width, height = encoded.meta.size
        count, h, w = len(encoded.window.frames), height // CELL, width // CELL
        if not encoded.motion:
            grid = (crop.size[1] // CELL, crop.size[0] // CELL)
            return torch.zeros(count, 2, *grid), torch.ones(count, *grid, dtype=torch.bool), count == 1
        motion = np.frombuffer(b"".join(encoded.motion), np.float16).reshape(count, 2, h, w).astype(np.float32)
        valid = np.frombuffer(b"".join(encoded.valid), np.uint8).reshape(count, h, w).astype(bool)
        motion[0], valid[0] = 0.0, True
        if not np.isfinite(motion).all():
            raise self._broken(encoded.shard, encoded.meta, MOTION, "holds values that are not finite")
        maps, seen = crop.scene_motion(torch.from_numpy(motion), torch.from_numpy(valid))
        return maps, seen, True

    def _picture(self, encoded: EncodedSample, data: bytes, what: str) -> np.ndarray:
        try:
            return decode_jpeg(data, encoded.meta.size, self._config.max_pixels)
        except DecodeError as error:
            raise self._broken(encoded.shard, encoded.meta, what, error) from error

    def _broken(self, shard: ShardEntry, meta: SampleJson, member: str, cause: Exception | str) -> ShardError:
        return ShardError(
            f"{self._store.root}/{shard.path}: {meta.clip_id}: {member}: {cause}. "
            f"Compare the shard with {shard.sha256_path}"
        )


def _planes(images: Sequence[np.ndarray]) -> Tensor:
    """Pictures uint8 [H, W, 3] as a contiguous tensor [N, 3, H, W]."""
    planes = np.empty((len(images), 3, *images[0].shape[:2]), np.uint8)
    for image, channels in zip(images, planes, strict=True):
        cv2.split(image, list(channels))  # writes in place, 40 times as fast as a transposed copy
    return torch.from_numpy(planes)
