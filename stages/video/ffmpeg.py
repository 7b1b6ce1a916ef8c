"""The ffmpeg binary, and running it on untrusted local files with limits on time, pixels and protocols."""

import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from pydantic import Field

from schemas.config import FrozenConfig, Problem

DEMUXERS = (
    "3gp,asf,avi,avs2,dv,flv,gif,h264,hevc,ivf,m4v,matroska,mjpeg,mov,mp4,mpeg,mpegts,mpegvideo,mxf,nut,obu,ogg,rm,"
    "vvc,wtv,y4m,yuv4mpegpipe"
)
"""Containers that may be opened. Playlists and scripts (hls, concat, …) are left out: they can name other files."""
NEEDED_FILTERS = frozenset({"bwdif", "fps", "scale", "tonemap", "zscale"})
_SUMMARY = re.compile(r"\(video\): (\d+) packets read .*?; (\d+) frames decoded; (\d+) decode errors")
_RESAMPLED = re.compile(r"fps_\d+ @ .*?\] (\d+) frames in, (\d+) frames out; (\d+) frames dropped, (\d+) frames dup")
_COMPLAINT = re.compile(r"(rror|nvalid|orrupt|missing|not found|ermission)")
_NOISE = re.compile(r"^\[[^\]]*\]\s*")


class VideoError(RuntimeError):
    """A file that cannot be used as video; the message is one sentence that a person understands."""


class Limits(FrozenConfig):
    """Bounds on one foreign file, so that a hostile or broken one cannot hold a worker."""

    max_bytes: int = Field(64 << 30, gt=0, description="Largest source file, bytes.")
    max_pixels: int = Field(8192 * 8192, gt=0, description="Largest coded picture, pixels.")
    max_frames: int = Field(2_000_000, gt=0, description="Most frames of one source, on its constant-rate timeline.")
    timeout_s: float = Field(3600.0, gt=0, description="Seconds one ffmpeg run may take.")
    stall_s: float = Field(120.0, gt=0, description="Seconds ffmpeg may give no frame before it counts as hung.")


@dataclass
class RunReport:
    """What one run said of itself, filled when it has ended.

    packets, decoded, errors: of the input stream. dropped, repeated: by the resampling to constant rate.
    messages: distinct complaints, at most ten.
    """

    packets: int = 0
    decoded: int = 0
    errors: int = 0
    dropped: int = 0
    repeated: int = 0
    messages: list[str] = field(default_factory=list)


def find_binary() -> str:
    """Path of an ffmpeg that has every filter needed here.

    Order: `IMAGEIO_FFMPEG_EXE`, `ffmpeg` on PATH, the binary inside the package imageio-ffmpeg. One that lacks a
    filter (a minimal system build) is passed over. Raises VideoError with the remedy where none is left.
    """
    return _find_binary(os.environ.get("IMAGEIO_FFMPEG_EXE"), shutil.which("ffmpeg"))


@lru_cache(maxsize=8)
def _find_binary(named: str | None, on_path: str | None) -> str:
    for candidate in (named, on_path):
        if candidate and filters_of(candidate) >= NEEDED_FILTERS:
            return candidate
    try:
        import imageio_ffmpeg

        packaged = imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError) as error:
        raise VideoError(f"no usable ffmpeg: {error}; run `pip install imageio-ffmpeg`") from error
    missing = NEEDED_FILTERS - filters_of(packaged)
    if missing:
        raise VideoError(
            f"ffmpeg at {packaged} lacks the filters {sorted(missing)}; install a full build or imageio-ffmpeg >= 0.6"
        )
    return packaged


@lru_cache(maxsize=8)
def filters_of(binary: str) -> frozenset[str]:
    """Names of the filters of an ffmpeg binary; empty where it cannot be run."""
    try:
        text = subprocess.run(
            [binary, "-hide_banner", "-nostdin", "-filters"], capture_output=True, text=True, timeout=30, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return frozenset()
    return frozenset(line.split()[1] for line in text.splitlines() if len(line.split()) >= 3 and "->" in line)


def problem() -> Problem | None:
    """Why no video can be read on this machine, or None."""
    try:
        find_binary()
    except VideoError as error:
        return Problem(cause=str(error), remedy="pip install 'imageio-ffmpeg>=0.6'")
    return None


def input_options(limits: Limits) -> dict[str, str | int]:
    """Options that keep ffmpeg on one local media file."""
    return {
        "protocol_whitelist": "file,pipe",
        "format_whitelist": DEMUXERS,
        "max_pixels": limits.max_pixels,
        "err_detect": "ignore_err",
    }


def as_input(path: str | Path) -> str:
    """The `file:` form of a local path, so that no name is taken for an option, protocol or pattern."""
    return "file:" + str(Path(path).absolute())


def frames(
    command: list[str], *, shape: tuple[int, int, int], limits: Limits, report: RunReport, max_frames: int | None = None
) -> Iterator[np.ndarray]:
    """The raw frames uint8 [height, width, channels] that an ffmpeg command writes to its standard output.

    `report` is filled at the end. Raises VideoError when time runs out or more than `max_frames` (default: the
    limit) frames come; a failure of ffmpeg itself is only in `report`, since the frames before it may be of use.
    The process is gone whenever the generator ends, is closed or raises.
    """
    most = limits.max_frames if max_frames is None else max_frames
    with tempfile.TemporaryFile() as errors, _Child(command, errors) as process:
        watch = _Watchdog(process, limits)
        assert process.stdout is not None
        count = 0
        try:
            while True:
                frame = np.empty(shape, np.uint8)
                if not _read_exactly(process.stdout.fileno(), frame.reshape(-1).data):
                    break
                count += 1
                if count > most:
                    raise VideoError(f"more than {most} frames, the limit (see limits.max_frames)")
                watch.alive()
                yield frame
            process.wait()
        finally:
            watch.stop()
        if watch.reason:
            raise VideoError(f"{watch.reason} after {count} frames")
        _fill(report, errors)


def _read_exactly(descriptor: int, view: memoryview) -> bool:
    """Fill `view`; False at the end of the stream (a part of a frame is dropped)."""
    done = 0
    while done < len(view):
        got = os.readv(descriptor, [view[done:]])
        if got == 0:
            return False
        done += got
    return True


class _Child:
    """A child process that never outlives its block."""

    def __init__(self, command: list[str], errors: object) -> None:
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            bufsize=0,  # type: ignore[call-overload]
        )

    def __enter__(self) -> "subprocess.Popen[bytes]":
        return self.process

    def __exit__(self, *exception: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


class _Watchdog:
    """Kills a process that runs too long or gives no frame for too long."""

    def __init__(self, process: "subprocess.Popen[bytes]", limits: Limits) -> None:
        self.reason = ""
        self._process = process
        self._seen = self._count = 0
        self._limits = limits
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def alive(self) -> None:
        self._count += 1

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        total = idle = 0.0
        step = min(1.0, self._limits.stall_s / 4, self._limits.timeout_s / 4)
        while not self._stopped.wait(step):
            total += step
            idle = 0.0 if self._count != self._seen else idle + step
            self._seen = self._count
            if total >= self._limits.timeout_s:
                self.reason = f"decoding took longer than {self._limits.timeout_s:g} s (limits.timeout_s)"
            elif idle >= self._limits.stall_s:
                self.reason = f"ffmpeg gave no frame for {self._limits.stall_s:g} s (limits.stall_s)"
            else:
                continue
            self._process.kill()
            return


def _fill(report: RunReport, errors: object) -> None:
    errors.seek(0, os.SEEK_END)  # type: ignore[attr-defined]
    size = errors.tell()  # type: ignore[attr-defined]
    errors.seek(0)  # type: ignore[attr-defined]
    head: bytes = errors.read(64 << 10)  # type: ignore[attr-defined]
    errors.seek(max(0, size - (64 << 10)))  # type: ignore[attr-defined]
    tail = errors.read().decode(errors="replace")  # type: ignore[attr-defined]
    if match := _SUMMARY.search(tail):
        report.packets, report.decoded, report.errors = (int(group) for group in match.groups())
    if match := _RESAMPLED.search(tail):
        report.dropped, report.repeated = int(match.group(3)), int(match.group(4))
    for line in head.decode(errors="replace").splitlines():
        text = _NOISE.sub("", line.strip())
        wanted = _COMPLAINT.search(text) and "decode errors" not in text
        if wanted and text not in report.messages and len(report.messages) < 10:
            report.messages.append(text)
