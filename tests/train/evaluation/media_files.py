"""Small videos and folders of frames for the tests of evaluation."""

from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np


def pictures(count: int, seed: int = 0, side: int = 32) -> np.ndarray:
    """Smooth random pictures uint8 [count, side, side, 3]."""
    small = np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 3), np.uint8)
    return np.stack([cv2.resize(picture, (side, side), interpolation=cv2.INTER_CUBIC) for picture in small])


def write_frames(folder: Path, frames: np.ndarray) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames):
        done, data = cv2.imencode(".png", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        assert done
        (folder / f"frame_{number}.png").write_bytes(data.tobytes())
    return folder


def write_video(path: Path, frames: np.ndarray, *, tag: str | None = "bt709") -> Path:
    """H.264, nearly lossless, without chroma subsampling; tag: colour matrix that is used and written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    colours = ["-vf", f"scale=out_color_matrix={tag}", "-colorspace", tag] if tag else []
    writer = imageio_ffmpeg.write_frames(
        str(path), (frames.shape[2], frames.shape[1]), fps=10, codec="libx264", quality=None, macro_block_size=2,
        pix_fmt_out="yuv444p", output_params=[*colours, "-crf", "1"],
    )  # fmt: skip
    writer.send(None)
    for frame in frames:
        writer.send(np.ascontiguousarray(frame))
    writer.close()
    return path
