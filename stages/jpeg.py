"""JPEG bytes to pictures and back, the way all stages do it."""

import cv2
import numpy as np

from schemas.artifacts.frames import FramesArtifact
from stages.base import StageError

_REDUCED = ((8, cv2.IMREAD_REDUCED_COLOR_8), (4, cv2.IMREAD_REDUCED_COLOR_4), (2, cv2.IMREAD_REDUCED_COLOR_2))


def decode_frames(frames: FramesArtifact, max_side: int | None = None) -> np.ndarray:
    """All frames of a clip, uint8 RGB [L, H, W, 3].

    max_side: where the longer side is above it, the pictures come scaled down to it (area averages; `scaled_size`
    gives the size), which is faster than decoding them whole. Raises StageError naming the frame that does not decode.
    """
    width, height = scaled_size(frames.size, max_side)
    clip = np.empty((len(frames.jpegs), height, width, 3), np.uint8)
    factor = max(frames.size) / max(width, height)
    # The decoder itself halves pictures almost for free: it leaves out the high frequencies of each 8 × 8 block.
    flag = next((flag for divisor, flag in _REDUCED if divisor <= factor), cv2.IMREAD_COLOR)
    for index, data in enumerate(frames.jpegs):
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
        if image is None:
            raise StageError(f"frame {index} is not a JPEG picture: decode the clip again")
        if image.shape[:2] != (height, width):
            if flag == cv2.IMREAD_COLOR and max_side is None:
                raise StageError(
                    f"frame {index} is {image.shape[1]} × {image.shape[0]} pixels, the clip says {width} × {height}: "
                    "decode the clip again"
                )
            image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=clip[index])
    return clip


def scaled_size(size: tuple[int, int], max_side: int | None) -> tuple[int, int]:
    """(width, height) after scaling down so that the longer side is at most `max_side`; never scales up."""
    if max_side is None or max(size) <= max_side:
        return size
    scale = max_side / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def encode_jpeg(image: np.ndarray, quality: int = 95) -> bytes:
    """A picture uint8 RGB [H, W, 3] as JPEG bytes (quality 1 to 100); equal pictures give equal bytes."""
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise StageError(f"a picture of {image.shape[1]} × {image.shape[0]} pixels cannot be encoded as JPEG")
    return data.tobytes()
