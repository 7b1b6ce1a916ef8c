"""The picture that is animated: fitted to the output, its pose, its depth, and that depth in the driving's unit."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pyarrow as pa
from PIL import Image, ImageOps

from extractors.depth.imported import ImportedDepthConfig
from schemas.artifacts.depth import DepthArtifact
from schemas.artifacts.frames import FramesArtifact
from schemas.artifacts.header import Header, read_header
from schemas.artifacts.pose import PoseArtifact
from schemas.clip import Clip
from schemas.config import file_sha256
from schemas.ids import SOURCE_ID_LENGTH, clip_id
from stages.depth import DepthStage
from stages.jpeg import encode_jpeg
from stages.pose import PoseStage
from stages.scene_motion import CELL
from stages.warp import resize_map

MAX_PIXELS = 8192 * 8192
MAX_GROWTH = 4
"""A picture may be enlarged by this much, not more."""
REPEATS = 16
"""Pose backends believe in people who last; the picture is shown to them as a clip of so many equal frames."""
UNBOUNDED = {"I": "whole numbers of 32 bits", "F": "floating-point numbers"}
"""Modes of Pillow whose values have no range, in words."""
BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)
"""What Pillow's readers raise for damaged files, by format; UnidentifiedImageError is an OSError."""
Fit = Literal["crop", "pad"]


class PictureError(ValueError):
    """A picture that cannot be animated; the message names the file, the cause and the next step."""


@dataclass(frozen=True)
class ReferencePicture:
    """image: uint8 RGB [H, W, 3]. body: keypoints [I, 17, 3] in its pixels, or None where nobody was found.
    inverse_depth: float32 [h, w] up to scale and shift (any resolution), or None where it cannot be known.
    """

    image: np.ndarray
    body: np.ndarray | None
    inverse_depth: np.ndarray | None


def load_picture(path: Path, size: tuple[int, int], fit: Fit = "crop") -> np.ndarray:
    """A picture file as uint8 RGB [H, W, 3] of `size` (W, H): upright by its EXIF tag, transparency on white.

    crop: the middle, filling the frame; pad: all of it, with the border's colours continued. Raises PictureError.
    """
    upright = _upright(path)
    white = Image.new("RGBA", upright.size, "white")
    image = np.asarray(Image.alpha_composite(white, upright).convert("RGB"))
    height, width = image.shape[:2]
    ratios = size[0] / width, size[1] / height
    scale = max(ratios) if fit == "crop" else min(ratios)
    if scale > MAX_GROWTH:
        raise PictureError(
            f"{path} is {width} × {height} pixels, too small for an output of {size[0]} × {size[1]}: it may be "
            f"enlarged {MAX_GROWTH} times at most; give a larger picture or a smaller size"
        )
    inner = (max(1, round(width * scale)), max(1, round(height * scale)))
    resized = cv2.resize(image, inner, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    left, top = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    if fit == "crop":
        return np.ascontiguousarray(resized[-top : size[1] - top, -left : size[0] - left])
    right, bottom = size[0] - inner[0] - left, size[1] - inner[1] - top
    return cv2.copyMakeBorder(resized, top, bottom, left, right, cv2.BORDER_REPLICATE)


def read_reference(
    path: Path,
    *,
    size: tuple[int, int],
    fit: Fit,
    pose: PoseStage,
    depth: DepthStage,
    wants_person: bool,
    wants_depth: bool,
) -> ReferencePicture:
    """The picture with its depth, and with its pose where a person is wanted. Raises PictureError for an unusable file,
    or where nobody is found.
    """
    image = load_picture(path, size, fit)
    source = file_sha256(path)[:SOURCE_ID_LENGTH]
    clip = Clip(
        clip_id=clip_id(source, 0, REPEATS),
        source_id=source,
        kind="character",
        split="test",
        first_frame=0,
        frame_count=REPEATS,
        fps=(30, 1),
        start_s=0.0,
        video=str(path),
    )
    tables: dict[str, pa.Table] = {"decode": _as_clip(image, clip, REPEATS)}
    tables["pose"] = pose.run(clip, tables)
    body = PoseArtifact.from_table(tables["pose"]).body[0]
    if wants_person and read_header(tables["pose"]).status != "ok":
        raise PictureError(
            f"{path}: no person was found in the picture; give one that shows the character whole, or say "
            "--camera-only for a picture without one"
        )
    inverse_depth = None
    if wants_depth and sees_pictures(depth):
        inverse_depth = DepthArtifact.from_table(depth.run(clip, tables)).inverse_depth[0]
    return ReferencePicture(image, body if wants_person else None, inverse_depth)


def sees_pictures(depth: DepthStage) -> bool:
    """Whether a depth backend knows depth from a picture alone, without a video's cameras or files."""
    backend = depth.config.backend
    return not (backend.needs_camera or isinstance(backend, ImportedDepthConfig))


def _upright(path: Path) -> Image.Image:
    """A picture file as RGBA, upright by its EXIF tag. Raises PictureError."""
    try:
        with Image.open(path) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise PictureError(f"{path} has {opened.width} × {opened.height} pixels; make it smaller")
            if opened.mode in UNBOUNDED:
                raise PictureError(
                    f"{path} holds {UNBOUNDED[opened.mode]}, of which nothing says what is white; save it with 8 or 16 "
                    "bits a colour"
                )
            turned = ImageOps.exif_transpose(opened)
            if turned.mode.startswith("I;16"):  # Pillow would cut such values off at 255
                turned = Image.fromarray(np.round(np.asarray(turned) / 257).astype(np.uint8))
            return turned.convert("RGBA")
    except FileNotFoundError as error:
        raise PictureError(f"{path} does not exist; give a picture file") from error
    except PictureError:
        raise
    except BROKEN as error:
        raise PictureError(f"{path} is not a picture that can be read ({error}); give a png, jpg or webp") from error


def mapped_depth(reference: np.ndarray | None, driving: np.ndarray, size: tuple[int, int], scale: float) -> np.ndarray:
    """The reference's inverse depth in the unit of the driving cameras, float32 [h, w] on the latent grid, never < 0.

    The picture is no frame of the video, so nothing ties the two but their statistics: its map is moved and stretched
    so that median and spread (10th to 90th percentile) are those of the driving's aligned inverse depth [R, h', w'].
    None, or a map without spread: a plane at the driving's median. scale: a further factor, > 1 for more parallax.
    """
    width, height = size[0] // CELL, size[1] // CELL
    low, middle, high = np.percentile(driving, [10, 50, 90])
    plane = np.full((height, width), middle * scale, np.float32)
    if reference is None:
        return plane
    own_low, own_middle, own_high = np.percentile(reference, [10, 50, 90])
    if own_high <= own_low:
        return plane
    stretched = (resize_map(reference, (width, height)) - own_middle) * ((high - low) / (own_high - own_low)) + middle
    return np.maximum(stretched * scale, 0).astype(np.float32)


def _as_clip(image: np.ndarray, clip: Clip, count: int) -> pa.Table:
    height, width = image.shape[:2]
    frames = FramesArtifact(
        jpegs=(encode_jpeg(image, 98),) * count,
        timestamps=np.arange(count) / 30,
        repeated=np.array([False] + [True] * (count - 1)),
        fps=30.0,
        size=(width, height),
        crop=(0.0, 0.0, float(width), float(height)),
    )
    return frames.to_table(Header("decode", clip.clip_id))
