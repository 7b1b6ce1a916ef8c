"""Decode: the frames of one clip at constant rate and one size, as high-quality JPEG."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Literal

import cv2
import numpy as np
import pyarrow as pa
from pydantic import Field

from schemas.artifacts.frames import FramesArtifact
from schemas.artifacts.header import Header, finite_quality
from schemas.clip import Clip
from schemas.config import FrozenConfig
from stages.base import Inputs, StageError
from stages.video import fit
from stages.video.command import SCALER, SMALL_SCALER, Hwaccel, frames_command
from stages.video.cuts import is_repeat
from stages.video.ffmpeg import Limits, RunReport, VideoError, find_binary, frames, settled
from stages.video.follow import own_motion, place_window, searched_size
from stages.video.original import check_original
from stages.video.probe import Probe, probe

_IN_FLIGHT = 8  # frames held while their JPEGs are made: bounds memory, keeps the encoders busy


class DecodeConfig(FrozenConfig):
    """Frames of clips."""

    # Bounds refuse a file, or change nothing.
    keyless: ClassVar[frozenset[str]] = frozenset({"limits", "threads"})

    size: int = Field(768, ge=64, le=4096, multiple_of=8, description="Frame width and height, pixels.")
    width: int | None = Field(
        None, ge=64, le=4096, multiple_of=8, description="Frame width where frames are not square; null is size."
    )
    height: int | None = Field(
        None, ge=64, le=4096, multiple_of=8, description="Frame height where frames are not square; null is size."
    )
    fit: Literal["crop", "pad", "follow"] = Field(
        "crop",
        description="crop: the middle of the picture; pad: all of it, with black borders; follow: the largest window "
        "of the frame's shape, placed once a clip where the character moves.",
    )
    jpeg_quality: int = Field(95, ge=50, le=100, description="JPEG quality (libjpeg scale), 4:4:4 chroma.")
    repeat_difference: float = Field(
        1.0, ge=0, description="Largest block difference (0-255) between a frame and its repetition."
    )
    threads: int = Field(2, ge=1, le=64, description="Threads that encode JPEG.")
    hwaccel: Hwaccel = Field(
        "none", description="auto: decode on a GPU where one is found (NVDEC); none: on the CPU, the same everywhere."
    )
    limits: Limits = Field(default_factory=Limits, description="Bounds on foreign files.")

    @property
    def frame_size(self) -> tuple[int, int]:
        """(width, height) of the frames, pixels."""
        return (self.width or self.size, self.height or self.size)


class DecodeStage:
    """Clip to JPEG frames. Frame i shows the source at start_s + (first_frame + i) / fps."""

    name: ClassVar[str] = "decode"
    version: ClassVar[int] = 2

    def __init__(self, config: DecodeConfig) -> None:
        self.config = config
        find_binary()  # a machine without one must not refuse every video that it is given

    def run(self, clip: Clip, inputs: Inputs) -> pa.Table:
        """The frames artifact. Raises StageError where the file no longer gives the clip's frames, SourceLostError
        where it is gone or another.
        """
        check_original(clip.video, clip.source_id, clip.video_stat)
        try:
            return self._run(clip)
        except VideoError as error:
            raise StageError(f"{clip.video} (clip {clip.clip_id}): {error}") from error

    def _run(self, clip: Clip) -> pa.Table:
        found = _probe(clip.video, self.config.limits)
        size = self.config.frame_size
        window, followed = self._window(clip, found, size)
        chosen = fit.plan(found, window, size)
        (jpegs, repeated), report = settled(
            lambda report, threads: self._encode(self._frames(clip, found, chosen, report, threads))
        )
        if len(jpegs) < clip.frame_count:
            complaint = f" ({report.messages[0]})" if report.messages else ""
            raise VideoError(
                f"only {len(jpegs)} of {clip.frame_count} frames decoded{complaint}; "
                "if the file changed, ingest it again"
            )
        rate = clip.fps[0] / clip.fps[1]
        artifact = FramesArtifact(
            jpegs=tuple(jpegs),
            timestamps=clip.start_s + (clip.first_frame + np.arange(clip.frame_count)) / rate,
            repeated=np.asarray(repeated, bool),
            fps=rate,
            size=size,
            crop=chosen.window.as_tuple(),
        )
        quality = finite_quality(
            repeated_share=artifact.repeated.mean(),
            upscale=size[0] / chosen.window.width,
            jpeg_bytes=sum(len(jpeg) for jpeg in jpegs),
            followed_share=followed,
        )
        extra = {"source_size": [found.width, found.height]}
        return artifact.to_table(Header("decode", clip.clip_id, quality=quality, extra=extra))

    def _window(self, clip: Clip, found: Probe, size: tuple[int, int]) -> tuple[fit.Window, float | None]:
        """The clip's window, and the share of the character's motion that it holds where it follows that."""
        if self.config.fit == "pad":
            return fit.pad_window(found.width, found.height, size), None
        middle = fit.centre_window(found.width, found.height, size)
        if self.config.fit == "crop":
            return middle, None
        small = searched_size(found.width, found.height)
        whole = fit.plan(found, fit.Window(0, 0, found.width, found.height), small)
        pictures, _ = settled(
            lambda report, threads: list(self._frames(clip, found, whole, report, threads, SMALL_SCALER))
        )
        if not pictures:
            return middle, None  # the decode that follows says what is wrong
        return place_window(own_motion(np.stack(pictures)), found.width, found.height, size)

    def _frames(
        self,
        clip: Clip,
        found: Probe,
        chosen: fit.FitPlan,
        report: RunReport,
        threads: int,
        scaler: str = SCALER,
    ) -> Iterator[np.ndarray]:
        command = frames_command(
            clip.video,
            found,
            fps=clip.fps,
            start_s=clip.start_s,
            first=clip.first_frame,
            count=clip.frame_count,
            fit=chosen,
            scaler=scaler,
            limits=self.config.limits,
            hwaccel=self.config.hwaccel,
            threads=threads,
        )
        shape = (chosen.size[1], chosen.size[0], 3)
        return frames(command, shape=shape, limits=self.config.limits, report=report, max_frames=clip.frame_count)

    def _encode(self, pictures: Iterator[np.ndarray]) -> tuple[list[bytes], list[bool]]:
        """JPEGs in order, and which frames repeat the one before. Each picture is encoded alone: order is fixed."""
        jpegs: list[bytes] = []
        repeated: list[bool] = []
        waiting: deque[Future[bytes]] = deque()
        before: np.ndarray | None = None
        with ThreadPoolExecutor(self.config.threads) as pool:
            for picture in pictures:
                small = cv2.resize(picture, (128, 128), interpolation=cv2.INTER_AREA)
                repeated.append(before is not None and is_repeat(before, small, self.config.repeat_difference))
                before = small
                waiting.append(pool.submit(encode_bgr, picture, self.config.jpeg_quality))
                if len(waiting) > _IN_FLIGHT:
                    jpegs.append(waiting.popleft().result())
            jpegs.extend(future.result() for future in waiting)
        return jpegs, repeated


def encode_bgr(picture: np.ndarray, quality: int) -> bytes:
    """JPEG bytes of a picture uint8 [height, width, 3] in BGR order, without chroma subsampling."""
    settings = [
        cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]  # fmt: skip
    done, data = cv2.imencode(".jpg", picture, settings)
    if not done:
        raise VideoError(f"OpenCV could not encode a picture of shape {picture.shape} as JPEG")
    return data.tobytes()


def _probe(path: str, limits: Limits) -> Probe:
    stat = Path(path).stat()
    return _remembered_probe(path, stat.st_size, stat.st_mtime_ns, limits.canonical_json())


@lru_cache(maxsize=256)
def _remembered_probe(path: str, size: int, mtime_ns: int, limits: str) -> Probe:
    """Clips of one source follow each other, and it is opened once. The clip says rate and start: no scan is needed."""
    return probe(path, fps=1.0, limits=Limits.model_validate_json(limits), scan=False)
