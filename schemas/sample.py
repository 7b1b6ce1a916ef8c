"""The shard sample: the contract with everyone who trains from prebuilt shards.

A sample is one clip; its members are `<clip_id>.<name>` in a plain WebDataset tar. L frames, R references, h × w the
latent grid (frame size / 8).
"""

from typing import Any, Literal

import numpy as np
from pydantic import Field

from schemas.config import FrozenConfig

JSON = "json"
KEYPOINTS = {"keypoints_body.npy": 17, "keypoints_face.npy": 68, "keypoints_hand.npy": 21}


def frame_member(index: int) -> str:
    """Member name of frame `index`: frame_000.jpg, frame_001.jpg, …"""
    return f"frame_{index:03d}.jpg"


def style_members(number: int) -> tuple[str, str]:
    """Member names (reference, target) of stylised pair `number`."""
    return f"style_{number}_reference.jpg", f"style_{number}_target.jpg"


class StyleEntry(FrozenConfig):
    """A stylised pair in the sample's json."""

    reference_index: int
    target_index: int
    style: str
    seed: int


class SampleJson(FrozenConfig):
    """The `json` member of a sample."""

    schema_version: Literal[1] = 1
    clip_id: str
    source_id: str
    kind: Literal["character", "camera"]
    split: str
    fps: float = Field(gt=0, description="Frames a second.")
    size: tuple[int, int] = Field(description="(width, height) of the frames, pixels.")
    timestamps: list[float] = Field(description="Presentation time of each frame in the source, seconds.")
    references: list[int] = Field(description="Frames that serve as reference pictures.")
    frame_step: int = Field(ge=1, description="Frames between the two cameras of a scene-motion map.")
    motion_compat: Literal["paper", "published"] = Field(
        "paper",
        description="How scene_motion.npy was made: paper: frame pixels; published: as the published code does, in its "
        "unit.",
    )
    status: dict[str, str] = Field(description="Status by stage.")
    quality: dict[str, dict[str, float]] = Field(description="Measurements by stage.")
    artifacts: dict[str, str] = Field(description="Artifact key by stage.")
    styles: list[StyleEntry] = Field(default_factory=list, description="Stylised pairs, in member order.")


class SampleError(ValueError):
    """A sample that breaks the contract; the message names the sample, the member and the cause."""


def check_sample(members: dict[str, Any]) -> SampleJson:
    """Checks decoded members (`json` as dict or SampleJson, arrays as ndarray, JPEGs as anything) against the contract.

    Returns the parsed json. Raises SampleError naming the first member that does not fit.
    """
    meta = members.get(JSON)
    if meta is None:
        raise SampleError("member 'json' is missing")
    meta = meta if isinstance(meta, SampleJson) else SampleJson.model_validate(meta)
    length, (width, height) = len(meta.timestamps), meta.size
    h, w, r = height // 8, width // 8, len(meta.references)
    wanted: dict[str, tuple[tuple[int | None, ...], str]] = {
        **{name: ((length, None, points, 3), "float32") for name, points in KEYPOINTS.items()},
        "cam_to_world.npy": ((length, 4, 4), "float64"),
        "intrinsics.npy": ((length, 4), "float64"),
        "inverse_depth.npy": ((r, h, w), "float16"),
        "scene_motion.npy": ((r, length, 2, h, w), "float16"),
        "scene_motion_valid.npy": ((r, length, h, w), "uint8"),
    }
    for name, (shape, dtype) in wanted.items():
        array = members.get(name)
        if not isinstance(array, np.ndarray):
            raise SampleError(f"{meta.clip_id}: member {name!r} is missing")
        fits = len(array.shape) == len(shape) and all(s in (None, a) for s, a in zip(shape, array.shape, strict=True))
        if not fits or str(array.dtype) != dtype:
            raise SampleError(
                f"{meta.clip_id}: {name!r} is {array.dtype} {array.shape}, the contract says {dtype} {shape}"
            )
        if name not in KEYPOINTS and not np.isfinite(array).all():
            raise SampleError(f"{meta.clip_id}: {name!r} holds values that are not finite")
    images = [frame_member(i) for i in range(length)]
    images += [name for number in range(len(meta.styles)) for name in style_members(number)]
    absent = [name for name in images if name not in members]
    if absent:
        raise SampleError(f"{meta.clip_id}: {len(absent)} pictures are missing, the first is {absent[0]!r}")
    return meta
