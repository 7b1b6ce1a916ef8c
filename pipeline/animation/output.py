"""Animations as files: mp4, webm, gif or a folder of png frames; the driving video's sound; frames side by side."""

import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from schemas.containers import open_options
from stages.video.ffmpeg import as_input, find_binary

TIMEOUT_S = 3600
_COLOURS = ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"]
_TO_BT709 = ["-vf", "scale=out_color_matrix=bt709"]
_CODECS = {
    ".mp4": ("libx264", "yuv420p", [*_TO_BT709, "-crf", "16", "-preset", "medium", *_COLOURS]),
    ".webm": ("libvpx-vp9", "yuv420p", [*_TO_BT709, "-crf", "24", "-b:v", "0", "-row-mt", "1", *_COLOURS]),
    # A palette for each frame: one for all of them would hold the whole video in memory until the last has come.
    ".gif": (
        "gif",
        "pal8",
        ["-filter_complex", "split[a][b];[a]palettegen=stats_mode=single[p];[b][p]paletteuse=new=1"],
    ),
}
_SOUND = {".mp4": "aac", ".webm": "libopus"}
FORMATS = (*_CODECS, "a folder for png frames")


class OutputError(ValueError):
    """An output that cannot be written; the message names the file, the cause and the next step."""


@dataclass(frozen=True)
class Sound:
    """The sound of `path` from `start_s` seconds of presentation time on, as long as the pictures last."""

    path: Path
    start_s: float


def check_output(path: Path) -> None:
    """Raises OutputError for a name that cannot be written to, before any work is done."""
    if path.suffix and path.suffix.lower() not in _CODECS:
        raise OutputError(f"{path}: {path.suffix} is no format to write; choose one of {', '.join(FORMATS)}")
    if path.is_dir() and path.suffix:
        raise OutputError(f"{path} is a folder; name a file")
    if not path.suffix and path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise OutputError(f"{path} exists already; name a new folder, or remove it")


def write_animation(path: Path, frames: Iterable[np.ndarray], *, fps: float, sound: Sound | None = None) -> int:
    """Writes frames uint8 RGB [H, W, 3] and returns how many; a name without suffix is a folder of png frames.

    Nothing lies at `path` until all is written. Sound goes into mp4 and webm. Raises OutputError.
    """
    check_output(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=path.parent) as folder:
        if not path.suffix:
            return _write_pictures(path, frames, Path(folder) / "frames")
        silent = Path(folder) / f"silent{path.suffix.lower()}"
        count = _write_video(silent, frames, fps)
        done = silent
        if sound is not None and path.suffix.lower() in _SOUND and has_sound(sound.path):
            done = _with_sound(silent, sound, count / fps)
        done.replace(path)
        return count


def has_sound(video: Path) -> bool:
    """Whether a video file has a sound track."""
    with _opened(video) as container:
        return bool(container.streams.audio)


def side_by_side(panels: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures uint8 [H, W, 3] of one height in a row, with a narrow gap; sides are filled up to even ones."""
    gap = np.full((panels[0].shape[0], 4, 3), 32, np.uint8)
    row = np.concatenate(list(chain.from_iterable((gap, panel) for panel in panels))[1:], axis=1)
    return np.pad(row, ((0, row.shape[0] % 2), (0, row.shape[1] % 2), (0, 0)), mode="edge")


def _opened(video: Path) -> Any:
    """A foreign file as a PyAV container, kept from opening others."""
    import av

    return av.open(as_input(video), options=open_options())


def _clock_start(video: Path) -> float:
    """Seconds at which the container's clock begins. Raises OutputError where it cannot be opened."""
    import av

    try:
        with _opened(video) as container:
            return (container.start_time or 0) / 1e6
    except av.error.FFmpegError as error:
        raise OutputError(f"the sound of {video} cannot be used ({error}); say --no-sound") from error


def _write_pictures(path: Path, frames: Iterable[np.ndarray], folder: Path) -> int:
    folder.mkdir()
    count = 0
    for count, frame in enumerate(frames, 1):
        done, data = cv2.imencode(".png", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        if not done:
            raise OutputError(f"frame {count - 1} of {frame.shape[1]} × {frame.shape[0]} cannot be written as png")
        (folder / f"frame_{count - 1:05d}.png").write_bytes(data.tobytes())
    if path.is_dir():
        path.rmdir()
    folder.replace(path)
    return count


def _write_video(path: Path, frames: Iterable[np.ndarray], fps: float) -> int:
    import imageio_ffmpeg

    iterator: Iterator[np.ndarray] = iter(frames)
    first = next(iterator, None)
    if first is None:
        raise OutputError(f"{path}: there are no frames to write")
    codec, pixels, parameters = _CODECS[path.suffix]
    height, width = first.shape[:2]
    if pixels == "yuv420p" and (width % 2 or height % 2):
        raise OutputError(f"{width} × {height} pixels: {path.suffix} wants even sides; write png frames or a gif")
    writer = imageio_ffmpeg.write_frames(
        str(path), (width, height), fps=fps, codec=codec, pix_fmt_out=pixels, quality=None, macro_block_size=1,
        output_params=parameters, ffmpeg_log_level="error",
    )  # fmt: skip
    writer.send(None)
    count = 0
    try:
        for frame in chain([first], iterator):
            writer.send(np.ascontiguousarray(frame))
            count += 1
    finally:
        writer.close()
    return count


def _with_sound(silent: Path, sound: Sound, duration_s: float) -> Path:
    """The sound is encoded anew: copying would tie it to the containers that its codec fits."""
    begins_s = _clock_start(sound.path)  # ffmpeg counts its seeks from there, not from time 0
    done = silent.with_stem("sounding")
    foreign = [word for name, value in open_options().items() for word in (f"-{name}", value)]
    command = [
        *(find_binary(), "-hide_banner", "-loglevel", "error", "-nostdin", "-i", as_input(silent)),
        *(*foreign, "-ss", f"{max(sound.start_s - begins_s, 0):.6f}", "-i", as_input(sound.path)),
        *("-map", "0:v:0", "-map", "1:a:0", "-c:v", "copy", "-c:a", _SOUND[silent.suffix]),
        *("-t", f"{duration_s:.6f}", str(done)),
    ]
    try:
        subprocess.run(command, check=True, timeout=TIMEOUT_S, capture_output=True)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        reason = (error.stderr or b"").decode(errors="replace").strip().splitlines()[-1:] or [str(error)]
        raise OutputError(f"the sound of {sound.path} cannot be used ({reason[0]}); say --no-sound") from error
    return done
