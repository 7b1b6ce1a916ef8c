"""Ingest: probe a source, decode all of it once at low resolution, count its frames and find its shots."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from schemas.artifacts.header import Header, finite_quality
from schemas.artifacts.ingest import IngestArtifact, Shot
from schemas.config import FrozenConfig
from stages.base import StageError
from stages.video.command import SMALL_SCALER, frames_command
from stages.video.cuts import SIZE, CutConfig, CutResult, detect
from stages.video.ffmpeg import Limits, RunReport, VideoError, find_binary, frames, settled
from stages.video.fit import FitPlan, Window
from stages.video.original import check_original
from stages.video.probe import Probe, probe

_TAIL = "what becomes of the frames after a shot's last full clip"


class Splits(FrozenConfig):
    """Shares of the sources in each split; a source falls in one by its content hash, whole."""

    train: float = Field(0.98, ge=0, le=1, description="Share of sources for training.")
    val: float = Field(0.01, ge=0, le=1, description="Share of sources for validation.")
    test: float = Field(0.01, ge=0, le=1, description="Share of sources for testing.")

    @model_validator(mode="after")
    def _sum(self) -> "Splits":
        if abs(self.train + self.val + self.test - 1) > 1e-6:
            raise ValueError(f"the shares add up to {self.train + self.val + self.test:g}, not to 1")
        return self


class IngestConfig(FrozenConfig):
    """How sources become clips."""

    # Bounds refuse a file, or change nothing; a source's split is the catalog's matter, and no part of its shots.
    keyless: ClassVar[frozenset[str]] = frozenset({"limits", "splits"})

    fps: float = Field(30.0, gt=0, le=240, description="Frames a second of clips; a slower source keeps its own rate.")
    clip_frames: int = Field(85, ge=2, description="Frames of a clip.")
    min_frames: int = Field(16, ge=2, description="Shortest clip, frames; what is shorter is left out.")
    overlap: int = Field(0, ge=0, description="Frames that neighbouring clips of a shot share.")
    tail: Literal["keep", "drop", "merge", "shift"] = Field(
        "keep",
        description=f"{_TAIL.capitalize()}: keep them as a shorter clip (min_frames at least), drop them, merge them "
        "into the clip before, or shift the last clip back so that it is full (overlapping the one before).",
    )
    max_gap_s: float = Field(
        1.0,
        gt=0,
        description="Longest time between two pictures, seconds. A longer gap ends a shot, and the frames that would "
        "repeat one picture through it are in no clip.",
    )
    cuts: CutConfig = Field(default_factory=CutConfig, description="Shot detection.")
    splits: Splits = Field(
        default_factory=Splits,
        description="Shares of train, val and test among new sources; a known one stays.",
    )
    limits: Limits = Field(default_factory=Limits, description="Bounds on foreign files.")
    min_decoded: float = Field(
        0.9, ge=0, le=1, description="Least share of the declared frames that must decode; below, a source is refused."
    )

    @model_validator(mode="after")
    def _lengths(self) -> "IngestConfig":
        if self.min_frames > self.clip_frames:
            raise ValueError(f"min_frames = {self.min_frames} is more than clip_frames = {self.clip_frames}")
        if self.overlap >= self.clip_frames:
            raise ValueError(f"overlap = {self.overlap} must be less than clip_frames = {self.clip_frames}")
        return self


def shots_of(result: CutResult, holds: Sequence[tuple[int, int]]) -> tuple[Shot, ...]:
    """Shots between cuts and holds, (first, end) frames that repeat one picture over a gap in the source's times."""
    scores = dict(zip(result.cuts, result.scores, strict=True))
    held = np.zeros(result.count, bool)
    for first, end in holds:
        held[first:end] = True
    starts = [0, *sorted({*result.cuts, *(place for hold in holds for place in hold if place < result.count)})]
    return tuple(
        Shot(start, end - start, int(result.repeated[start + 1 : end].sum()), scores.get(start, 0.0))
        for start, end in pairwise([*starts, result.count])
        if not held[start]
    )


class IngestStage:
    """Source file to shots. One row a shot; the header's `extra` holds the probe record."""

    name: ClassVar[str] = "ingest"
    version: ClassVar[int] = 3

    def __init__(self, config: IngestConfig) -> None:
        self.config = config
        find_binary()  # a machine without one must not refuse every video that it is given

    def run(self, source_id: str, path: str, registered: tuple[int, int] | None = None) -> pa.Table:
        """The ingest artifact of a source. Raises StageError, with a reason, for a file that gives no clip, and
        SourceLostError for one that is gone or not what was registered (size in bytes, time of change in ns).
        """
        check_original(path, source_id, registered)
        try:
            return self._run(source_id, path)
        except VideoError as error:
            raise StageError(f"{path}: {error}") from error

    def _run(self, source_id: str, path: str) -> pa.Table:
        found = probe(path, fps=self.config.fps, limits=self.config.limits, max_gap_s=self.config.max_gap_s)
        if found.encrypted:
            raise VideoError("the video stream is encrypted (DRM); only a decrypted copy can be used")
        result, report = settled(
            lambda report, threads: detect(self._small_frames(path, found, report, threads), self.config.cuts)
        )
        self._check_counts(found, report, result.count)
        if found.last_frame >= 0:
            # The resampler may hold the last picture for some frames more; a clip ends with the source's last one.
            result = result.head(found.last_frame + 1)
        shots = shots_of(result, found.holds)
        longest = max(shot.frame_count for shot in shots)
        if longest < self.config.min_frames:
            raise VideoError(
                f"too short for a clip: {result.count} frames in {len(shots)} shot(s), the longest of {longest}, "
                f"but min_frames is {self.config.min_frames}"
            )
        artifact = IngestArtifact(shots, found.fps, found.start_s, found.record())
        quality = finite_quality(
            frames=result.count,
            shots=len(shots),
            declared_frames=found.declared_frames,
            packets=found.packets,
            decoded_frames=report.decoded,
            decode_errors=report.errors,
            resampled_away=report.dropped,
            resampled_repeats=report.repeated,
            repeated_share=result.repeated.mean(),
            constant_rate=found.constant,
        )
        extra = {"messages": report.messages}
        return artifact.to_table(Header("ingest", source_id, quality=quality, extra=extra))

    def _small_frames(self, path: str, found: Probe, report: RunReport, threads: int) -> Iterator[np.ndarray]:
        stored = (found.coded_width, found.coded_height)
        width, height = stored[::-1] if found.rotation % 180 else stored
        size = (SIZE, SIZE)
        whole = FitPlan((0, 0, width, height), size, (0, 0), size, Window(0, 0, found.width, found.height))
        command = frames_command(
            path,
            found,
            fps=found.fps,
            start_s=found.start_s,
            first=0,
            count=None,
            fit=whole,
            scaler=SMALL_SCALER,
            limits=self.config.limits,
            threads=threads,
        )
        return frames(command, shape=(SIZE, SIZE, 3), limits=self.config.limits, report=report)

    def _check_counts(self, found: Probe, report: RunReport, count: int) -> None:
        """Files open and give no frames, or stop half-way, without any error: count and compare."""
        complaint = f" ({report.messages[0]})" if report.messages else ""
        declared = max(found.declared_frames, found.packets)
        if count == 0:
            raise VideoError(
                f"0 frames decoded although {declared} are declared: the file is truncated or encrypted{complaint}"
            )
        if report.decoded < self.config.min_decoded * declared:
            raise VideoError(
                f"only {report.decoded} of {declared} frames decoded: the file is truncated or damaged{complaint}; "
                f"repair it, or lower ingest.min_decoded"
            )
        expected = found.duration_s * found.fps[0] / found.fps[1]
        if count > 1.1 * expected + 2:
            raise VideoError(
                f"{count} frames where the timestamps make {expected:.0f}: the timestamps or the picture size change "
                "midway; re-encode the file"
            )
