"""One sample's bytes out of a shard: only those that its window needs."""

from collections.abc import Mapping

from pydantic import ValidationError

from schemas.release import Release, ShardEntry
from schemas.sample import JSON, KEYPOINTS, SampleJson, frame_member, style_members
from train.data.assemble import assemble
from train.data.batch import TrainBatch
from train.data.config import ReaderConfig
from train.data.crop import CELL
from train.data.decode import DecodeError
from train.data.encoded import MOTION, VALID, EncodedSample
from train.data.errors import ShardError, broken_member
from train.data.fetch import Range, Store
from train.data.index import IndexCache
from train.data.mapped import Data
from train.data.maps import MapLayout
from train.data.order import SampleRef
from train.data.rng import numpy_generator
from train.data.window import Window, choose_window

MAX_JSON_BYTES = 8 << 20
MAX_MEMBER_BYTES = 64 << 20
WHOLE_ARRAYS = (*KEYPOINTS, "cam_to_world.npy", "intrinsics.npy", "inverse_depth.npy")


class SampleReader:
    """Reads samples of one release. Holds open files, so each process makes its own."""

    def __init__(self, *, config: ReaderConfig, store: Store, release: Release) -> None:
        self._config = config
        self._store = store
        self._release = release
        self._indexes = IndexCache(store=store)

    def read(self, ref: SampleRef) -> TrainBatch:
        """The sample as a batch of one. Raises DatasetError, or ShardError naming shard, sample and member."""
        return assemble(self.fetch(ref), self._config)

    def fetch(self, ref: SampleRef) -> EncodedSample:
        """The sample's bytes: its json, the pictures of its window, the arrays that they need."""
        config, shard = self._config, self._release.shards[ref.shard]
        place = f"{self._store.root}/{shard.path}: {shard.samples[ref.row]}"
        members = self._indexes.get(shard).members(ref.row)
        meta = self._meta(shard, ref.row, members, place)
        rng = numpy_generator(config.seed, ref.global_index, "window")
        try:
            window = choose_window(meta, config, ref.styled, rng)
        except ValueError as error:
            raise ShardError(f"{place}: {error}") from error
        if window.style is None:
            pictures = tuple(frame_member(i) for i in (window.reference, *window.frames))
        else:
            pictures = style_members(window.style)
        layouts: dict[str, MapLayout] = {}
        # Published maps are never read: see `train.data.motion`.
        if config.stage == 2 and window.step == meta.frame_step and meta.motion_compat == "paper":
            layouts = map_layouts(meta)
        absent = [name for name in (*pictures, *WHOLE_ARRAYS, *layouts) if name not in members]
        if absent:
            raise broken_member(place, absent[0], "is missing")
        wanted = {name: members[name] for name in (*pictures, *WHOLE_ARRAYS)}
        for name, (_, size) in wanted.items():
            if size > MAX_MEMBER_BYTES:
                raise broken_member(place, name, f"{size} bytes, above the limit of {MAX_MEMBER_BYTES}")
        spans = [s for name, layout in layouts.items() for s in _map_ranges(layout, members[name], window, place, name)]
        data = iter(self._store.read(shard, [*wanted.values(), *spans]))
        whole = {name: next(data) for name in wanted}
        maps: dict[str, list[Data]] = {}
        for name, layout in layouts.items():
            try:
                layout.check(next(data))
            except DecodeError as error:
                raise broken_member(place, name, error) from error
            maps[name] = [next(data) for _ in window.frames]
        return EncodedSample(
            global_index=ref.global_index,
            place=place,
            meta=meta,
            window=window,
            pictures={name: whole[name] for name in pictures},
            arrays={name: whole[name] for name in WHOLE_ARRAYS},
            maps=maps,
        )

    def _meta(self, shard: ShardEntry, row: int, members: Mapping[str, Range], place: str) -> SampleJson:
        if JSON not in members or members[JSON][1] > MAX_JSON_BYTES:
            raise ShardError(f"{place}: member 'json' is missing or above {MAX_JSON_BYTES} bytes")
        try:
            meta = SampleJson.model_validate_json(bytes(self._store.read(shard, [members[JSON]])[0]))
        except ValidationError as error:
            raise ShardError(f"{place}: member 'json' does not follow the schema: {error}") from error
        length = len(meta.timestamps)
        if (meta.clip_id, length, meta.frame_step) != (shard.samples[row], shard.frames[row], shard.frame_steps[row]):
            raise ShardError(
                f"{place}: the json is that of {meta.clip_id!r}, {length} frames, step {meta.frame_step}, where the "
                f"release has {shard.frames[row]} frames, step {shard.frame_steps[row]}"
            )
        indices = [*meta.references, *(i for pair in meta.styles for i in (pair.reference_index, pair.target_index))]
        width, height = meta.size
        if not all(0 <= i < length for i in indices) or min(meta.size) < CELL or width % CELL or height % CELL:
            raise ShardError(f"{place}: references, style pairs or size {meta.size} are out of range")
        if width * height > self._config.max_pixels:
            raise ShardError(f"{place}: {width} × {height} pixels are above max_pixels")
        return meta


def map_layouts(meta: SampleJson) -> dict[str, MapLayout]:
    """What the contract says of the scene-motion members of a sample."""
    (width, height), rows = meta.size, (len(meta.references), len(meta.timestamps))
    grid = (height // CELL, width // CELL)
    return {MOTION: MapLayout("float16", (*rows, 2, *grid)), VALID: MapLayout("uint8", (*rows, *grid))}


def _map_ranges(layout: MapLayout, span: Range, window: Window, place: str, name: str) -> list[Range]:
    assert window.reference_row is not None, "windows of stage 2 have a reference with depth"
    try:
        return layout.ranges(span, window.reference_row, window.frames)
    except DecodeError as error:
        raise broken_member(place, name, error) from error
