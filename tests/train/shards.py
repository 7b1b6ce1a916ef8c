"""Writes small but complete datasets by the contract of `schemas.sample` and `schemas.release`.

Every clip shows a fronto-parallel textured wall at inverse depth 0.5, filmed by a camera that slides sideways at a
constant speed without turning. Scene motion is therefore known without the code under test: between two frames the
picture moves by `-focal · speed · frame_step · inverse_depth` pixels in x and not at all in y.
"""

import hashlib
import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.artifacts.header import npy_bytes
from schemas.clip import Kind
from schemas.ids import clip_id, frame_step, reference_indices
from schemas.release import INDEX_SCHEMA, Release, ShardEntry
from schemas.sample import KEYPOINTS, SampleJson, StyleEntry, frame_member, style_members

INVERSE_DEPTH = 0.5
FOCAL = 1.2
"""Focal length over frame width."""


@dataclass(frozen=True)
class ClipSpec:
    """One clip to write. size: (width, height), pixels, multiples of 8. speed: camera units a frame along x."""

    number: int
    kind: Kind = "character"
    frames: int = 30
    size: tuple[int, int] = (64, 64)
    styles: int = 1
    speed: float = 0.02
    step: int | None = None
    split: str = "train"

    @property
    def clip_id(self) -> str:
        return clip_id(hashlib.sha256(f"source {self.number}".encode()).hexdigest(), 0, self.frames)

    @property
    def frame_step(self) -> int:
        return self.step or frame_step(self.frames)

    @property
    def motion_x(self) -> float:
        """True scene motion in x between two frames `frame_step` apart, pixels."""
        return -FOCAL * self.size[0] * self.speed * self.frame_step * INVERSE_DEPTH


def jpeg(image: np.ndarray, quality: int = 95) -> bytes:
    """RGB uint8 [H, W, 3] as JPEG bytes."""
    done, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return data.tobytes()


def frame_image(spec: ClipSpec, index: int) -> np.ndarray:
    """RGB uint8 [H, W, 3]: a smooth texture, moved by the camera, and for characters a disc on a circular path."""
    width, height = spec.size
    shift = spec.motion_x / spec.frame_step * index
    x, y = np.meshgrid(np.arange(width) - shift, np.arange(height))
    wave = np.random.default_rng(spec.number).uniform(0.5, 2.0, (3, 2)) * 2 * np.pi / width
    image = np.stack([127 + 90 * np.sin(a * x + b * y + c) for c, (a, b) in enumerate(wave)], -1)
    if spec.kind == "character":
        u, v = character_centre(spec, index)
        disc = (np.arange(width) - u) ** 2 + (np.arange(height)[:, None] - v) ** 2 < (width / 8) ** 2
        image[disc] = (250, 60, 120)
    return image.round().clip(0, 255).astype(np.uint8)


def character_centre(spec: ClipSpec, index: int) -> tuple[float, float]:
    """(x, y) of the character in frame `index`, pixels."""
    angle = 2 * np.pi * index / max(spec.frames, 1)
    width, height = spec.size
    return width * (0.5 + 0.2 * np.cos(angle)), height * (0.5 + 0.2 * np.sin(angle))


def sample_members(spec: ClipSpec) -> dict[str, bytes]:
    """The encoded members of one sample by name, in tar order."""
    width, height = spec.size
    h, w, length = height // 8, width // 8, spec.frames
    references = reference_indices(spec.clip_id, length)
    step = spec.frame_step
    people = 1 if spec.kind == "character" else 0
    keypoints = {}
    for name, count in KEYPOINTS.items():
        instances = people * (2 if "hand" in name else 1)
        offsets = np.random.default_rng(count).uniform(-width / 8, width / 8, (count, 2))
        points = np.zeros((length, instances, count, 3), np.float32)
        for index in range(length):
            points[index, :, :, :2] = np.asarray(character_centre(spec, index)) + offsets
        points[..., 2] = 0.9
        keypoints[name] = points
    cam_to_world = np.tile(np.eye(4), (length, 1, 1))
    cam_to_world[:, 0, 3] = spec.speed * np.arange(length)
    focal = FOCAL * width
    motion = np.zeros((len(references), length, 2, h, w), np.float16)
    motion[:, step:, 0] = spec.motion_x
    arrays: dict[str, np.ndarray] = {
        **keypoints,
        "cam_to_world.npy": cam_to_world,
        "intrinsics.npy": np.tile([focal, focal, (width - 1) / 2, (height - 1) / 2], (length, 1)),
        "inverse_depth.npy": np.full((len(references), h, w), INVERSE_DEPTH, np.float16),
        "scene_motion.npy": motion,
        "scene_motion_valid.npy": np.ones((len(references), length, h, w), np.uint8),
    }
    pairs = [
        StyleEntry(reference_index=0, target_index=length - 1 - n, style="ink", seed=n) for n in range(spec.styles)
    ]
    meta = SampleJson(
        clip_id=spec.clip_id,
        source_id=spec.clip_id[:16],
        kind=spec.kind,
        split=spec.split,
        fps=30.0,
        size=spec.size,
        timestamps=[i / 30 for i in range(length)],
        references=list(references),
        frame_step=step,
        status={"camera": "moving"},
        quality={},
        artifacts={},
        styles=pairs,
    )
    members = {"json": json.dumps(meta.model_dump(mode="json"), sort_keys=True).encode()}
    members |= {frame_member(i): jpeg(frame_image(spec, i)) for i in range(length)}
    members |= {name: npy_bytes(array) for name, array in arrays.items()}
    for number, pair in enumerate(pairs):
        for name, index in zip(style_members(number), (pair.reference_index, pair.target_index), strict=True):
            members[name] = jpeg(255 - frame_image(spec, index))
    return members


def write_shard(root: Path, name: str, samples: list[tuple[ClipSpec, dict[str, bytes]]]) -> ShardEntry:
    """Writes `shards/<name>.tar`, its index and its checksum file, from (spec, encoded members) pairs."""
    path = root / "shards" / f"{name}.tar"
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for spec, members in samples:
            for member, data in members.items():
                info = tarfile.TarInfo(f"{spec.clip_id}.{member}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    rows: dict[str, list] = {column: [] for column in INDEX_SCHEMA.names}
    with tarfile.open(path) as tar:
        for info in tar:
            sample, _, member = info.name.partition(".")
            for column, value in zip(rows, (sample, member, info.offset_data, info.size), strict=True):
                rows[column].append(value)
    index = path.with_suffix("").with_suffix(".index.parquet")
    pq.write_table(pa.table(rows, schema=INDEX_SCHEMA), index)
    data = path.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    path.with_name(path.name + ".sha256").write_text(f"{sha256}  {path.name}\n")
    return ShardEntry(
        path=f"shards/{path.name}",
        sha256=sha256,
        bytes=len(data),
        index_sha256=hashlib.sha256(index.read_bytes()).hexdigest(),
        split=samples[0][0].split,
        kind=samples[0][0].kind,
        samples=tuple(spec.clip_id for spec, _ in samples),
        frames=tuple(spec.frames for spec, _ in samples),
        frame_steps=tuple(spec.frame_step for spec, _ in samples),
    )


def write_dataset(root: Path, specs: list[ClipSpec], shard_samples: int = 3, number: int = 1) -> Release:
    """Writes shards of at most `shard_samples` clips, one kind and split each, and `releases/NNNN.json`."""
    entries = []
    for split, kind in sorted({(spec.split, spec.kind) for spec in specs}):
        group = [spec for spec in specs if (spec.split, spec.kind) == (split, kind)]
        for start in range(0, len(group), shard_samples):
            part = [(spec, sample_members(spec)) for spec in group[start : start + shard_samples]]
            entries.append(write_shard(root, f"{split}-{kind}-{start // shard_samples:06d}", part))
    return write_release(root, Release(number=number, shards=tuple(entries)))


def write_release(root: Path, release: Release) -> Release:
    """Writes `releases/NNNN.json` and returns the release."""
    path = root / release.path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(release.canonical_json())
    return release


def small_dataset(
    root: Path, *, characters: int = 6, cameras: int = 2, frames: int = 30, size: tuple[int, int] = (64, 64)
) -> Release:
    """A dataset of `characters` + `cameras` equal clips, the first with one stylised pair each."""
    specs = [ClipSpec(number=i, frames=frames, size=size) for i in range(characters)]
    specs += [ClipSpec(number=1000 + i, kind="camera", frames=frames, size=size, styles=0) for i in range(cameras)]
    return write_dataset(root, specs)
