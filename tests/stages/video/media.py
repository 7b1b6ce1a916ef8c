"""Videos made for tests: every frame shows its own number, so that any frame can be told apart after any codec."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from schemas.artifacts.frames import FramesArtifact
from schemas.artifacts.ingest import IngestArtifact
from schemas.clip import Clip
from schemas.ids import clip_id
from stages.video.ffmpeg import find_binary

SOURCE = "0123456789abcdef"
_GRID = 4  # a 4 × 4 grid of black and white squares holds a number of 16 bits


def numbered(number: int, width: int = 128, height: int = 128) -> np.ndarray:
    """A picture uint8 RGB [height, width, 3] that shows `number` (below 2**16) in its largest middle square."""
    side = min(width, height)
    bits = np.array([(number >> bit) & 1 for bit in range(_GRID * _GRID)], np.uint8).reshape(_GRID, _GRID)
    square = cv2.resize(bits * 215 + 20, (side, side), interpolation=cv2.INTER_NEAREST)
    picture = np.full((height, width), 128, np.uint8)
    y, x = (height - side) // 2, (width - side) // 2
    picture[y : y + side, x : x + side] = square
    return np.repeat(picture[..., None], 3, axis=2)


def number_of(picture: np.ndarray) -> int:
    """The number that a picture (any size, the square filling it) shows."""
    cells = cv2.resize(picture, (_GRID * 8, _GRID * 8), interpolation=cv2.INTER_AREA).astype(float).mean(axis=2)
    middle = cells.reshape(_GRID, 8, _GRID, 8)[:, 2:6, :, 2:6].mean(axis=(1, 3))
    return int(sum(1 << bit for bit, value in enumerate(middle.ravel()) if value > 128))


def run_ffmpeg(*arguments: str, data: bytes | None = None) -> bytes:
    """ffmpeg with arguments; its standard output."""
    command = [find_binary(), "-hide_banner", "-v", "error", "-y", *arguments]
    return subprocess.run(command, input=data, capture_output=True, check=True, timeout=120).stdout


def encode(
    path: Path, pictures: Sequence[np.ndarray], *, rate: str = "30", arguments: Sequence[str] = ("-c:v", "libx264")
) -> Path:
    """Encode RGB pictures to a file with the given output arguments."""
    height, width = pictures[0].shape[:2]
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", rate, "-i", "pipe:0"]
    run_ffmpeg(*source, *arguments, str(path), data=b"".join(picture.tobytes() for picture in pictures))
    return path


def whole_clip(path: Path, artifact: IngestArtifact, first: int = 0, count: int | None = None) -> Clip:
    """A clip of an ingested file, cuts or not."""
    count = artifact.frame_count - first if count is None else count
    return Clip(
        clip_id=clip_id(SOURCE, first, count),
        source_id=SOURCE,
        kind="character",
        split="train",
        first_frame=first,
        frame_count=count,
        fps=artifact.fps,
        start_s=artifact.start_s,
        video=str(path),
    )


def pictures_of(artifact: FramesArtifact) -> list[np.ndarray]:
    """The frames as RGB pictures."""
    return [cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)[..., ::-1] for jpeg in artifact.jpegs]


def numbers_of(artifact: FramesArtifact) -> list[int]:
    """The numbers that the frames show."""
    return [number_of(picture) for picture in pictures_of(artifact)]
