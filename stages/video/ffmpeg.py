"""The ffmpeg binary, and running it on untrusted local files with limits on time, pixels and protocols."""

import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import IO, TypeVar

import numpy as np
from pydantic import Field

from schemas.config import FrozenConfig, Problem
from schemas.containers import MAX_PIXELS, open_options

REMEDY = "run `pip install 'imageio-ffmpeg>=0.6'`"
_SUMMARY = re.compile(r"\(video\): (\d+) packets read .*?; (\d+) frames decoded; (\d+) decode errors")
_RESAMPLED = re.compile(r"fps_\d+ @ .*?\] (\d+) frames in, (\d+) frames out; (\d+) frames dropped, (\d+) frames dup")
_COMPLAINT = re.compile(r"(rror|nvalid|orrupt|missing|not found|ermission)")
_CONTEXT = re.compile(r"^(\[[^\]]*\]\s*)+")
_POINTER = re.compile(r"0x[0-9a-f]{6,}")
_FILE = "file:"
_MESSAGES = 10
Result = TypeVar("Result")


class VideoError(RuntimeError):
    """A file that cannot be used as video; the message is one sentence that a person understands."""


class Limits(FrozenConfig):
    """Bounds on one foreign file, so that a hostile or broken one cannot hold a worker."""

    max_bytes: int = Field(64 << 30, gt=0, description="Largest source file, bytes.")
    max_pixels: int = Field(MAX_PIXELS, gt=0, description="Largest coded picture, pixels.")
    max_frames: int = Field(2_000_000, gt=0, description="Most frames of one source, on its constant-rate timeline.")
    timeout_s: float = Field(3600.0, gt=0, description="Seconds one ffmpeg run may take.")
    stall_s: float = Field(
        120.0, gt=0, description="Seconds ffmpeg may neither read nor give a frame before it counts as hung."
    )


@dataclass
class RunReport:
    """What one run said of itself, filled when it has ended.

    packets, decoded, errors: of the input stream. dropped, repeated: by the resampling to constant rate.
    messages: distinct complaints, at most ten, in alphabetical order (decoder threads write in any), without the file's
    name and addresses in memory: the same file gives the same messages, wherever it lies.
    """

    packets: int = 0
    decoded: int = 0
    errors: int = 0
    dropped: int = 0
    repeated: int = 0
    messages: list[str] = field(default_factory=list)


def settled(read: Callable[[RunReport, int], Result]) -> tuple[Result, RunReport]:
    """What `read`, given a report to fill and a number of decoder threads, makes of a file; and that report.

    A file that the decoder complains of is read a second time, with one thread: over damaged pictures, threads race,
    and what one conceals and complains of depends on how far another has got. So the same file gives the same result.
    """
    report = RunReport()
    result = read(report, 0)
    if report.errors or report.messages:
        report = RunReport()
        result = read(report, 1)
    return result, report


def find_binary() -> str:
    """Path of an ffmpeg that does what is needed here, which is tried out once a process.

    The one that `IMAGEIO_FFMPEG_EXE` names, and no other; else the binary inside the package imageio-ffmpeg, which
    gives the same bytes on every machine; else `ffmpeg` on PATH. Raises VideoError with the remedy where none is left.
    """
    return _find_binary(os.environ.get("IMAGEIO_FFMPEG_EXE"), shutil.which("ffmpeg"))


@lru_cache(maxsize=8)
def _find_binary(named: str | None, on_path: str | None) -> str:
    from stages.video.trial import failure  # the trial runs the very commands that ask here for a binary

    if named:
        if why := failure(named):
            raise VideoError(
                f"IMAGEIO_FFMPEG_EXE names {named}, which cannot be used: {why}; name another ffmpeg, or unset it"
            )
        return named
    reasons = []
    for candidate in (_packaged(), on_path):
        if candidate is None:
            continue
        why = failure(candidate)
        if not why:
            return candidate
        reasons.append(f"{candidate}: {why}")
    raise VideoError(f"no usable ffmpeg ({'; '.join(reasons) or 'none is installed'}); {REMEDY}")


def _packaged() -> str | None:
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        return None


def problem() -> Problem | None:
    """Why no video can be read on this machine, or None."""
    try:
        find_binary()
    except VideoError as error:
        return Problem(cause=str(error), remedy=REMEDY)
    return None


def input_options(limits: Limits) -> dict[str, str]:
    """Options that keep ffmpeg on one local media file, and going where it is damaged."""
    return {**open_options(limits.max_pixels), "err_detect": "ignore_err"}


def as_input(path: str | Path) -> str:
    """The `file:` form of a local path, so that no name is taken for an option, protocol or pattern."""
    return _FILE + str(Path(path).absolute())


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
        _fill(report, errors, next((part for part in command if part.startswith(_FILE)), ""))


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

    def __init__(self, command: list[str], errors: IO[bytes]) -> None:
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            bufsize=0,
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
    """Kills a process that runs too long, or neither reads nor gives a frame for too long.

    Reading counts because a clip of a container that cannot be searched is decoded from the file's start: no frame
    comes for long, yet all is well.
    """

    def __init__(self, process: "subprocess.Popen[bytes]", limits: Limits) -> None:
        self.reason = ""
        self._process = process
        self._count = 0
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
        seen = (0, 0)
        step = min(1.0, self._limits.stall_s / 4, self._limits.timeout_s / 4)
        while not self._stopped.wait(step):
            total += step
            now = (self._count, _bytes_read(self._process.pid))
            idle = 0.0 if now != seen else idle + step
            seen = now
            if total >= self._limits.timeout_s:
                self.reason = f"decoding took longer than {self._limits.timeout_s:g} s (limits.timeout_s)"
            elif idle >= self._limits.stall_s:
                self.reason = f"ffmpeg read nothing and gave no frame for {self._limits.stall_s:g} s (limits.stall_s)"
            else:
                continue
            self._process.kill()
            return


def _bytes_read(process_id: int) -> int:
    """Bytes that a process has read so far, 0 where the system does not tell."""
    try:
        return int(Path(f"/proc/{process_id}/io").read_text().split()[1])  # "rchar: N"
    except (OSError, IndexError, ValueError):
        return 0


def _fill(report: RunReport, errors: IO[bytes], source: str) -> None:
    """source: the input as the command names it."""
    errors.seek(0)
    kept: set[str] = set()
    for line in errors:  # a damaged file can make megabytes of them
        text = line.decode(errors="replace").strip()
        if match := _SUMMARY.search(text):
            report.packets, report.decoded, report.errors = (int(group) for group in match.groups())
        elif match := _RESAMPLED.search(text):  # several: a filter graph that is made anew counts from 0 again
            report.dropped += int(match.group(3))
            report.repeated += int(match.group(4))
        elif message := _complaint(text, source):
            kept = set(sorted(kept | {message})[:_MESSAGES])
    report.messages = sorted(kept)


def _complaint(line: str, source: str) -> str:
    """What a line of the log complains of, "" for one that does not."""
    text = _CONTEXT.sub("", line)
    if source:
        text = text.replace(source, "the file").replace(source.removeprefix(_FILE), "the file")
    return _POINTER.sub("0x…", text) if _COMPLAINT.search(text) else ""
