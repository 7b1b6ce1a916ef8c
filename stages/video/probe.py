"""What a video file is: its stream, its timeline, its colours. Reads headers and packet times, decodes one frame."""

import contextlib
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from schemas.containers import open_options
from stages.video.ffmpeg import Limits, VideoError

SEEKABLE = ("mov", "matroska", "avi")
"""Containers in which a seek to a time lands at or before it; in others a clip is decoded from the file's start."""
HDR_TRANSFERS = {16: "smpte2084", 18: "arib-std-b67"}
ATTACHED_PICTURE = 0x0400
JITTER = 0.25
"""A picture may be this late, in frame times, and still be shown in its place on a constant-rate timeline."""


@dataclass(frozen=True)
class Probe:
    """A video file as its container and first frame describe it.

    width, height: of the displayed picture in square pixels, after rotation and sample aspect ratio. coded_width,
    coded_height: as stored, before rotation. rotation: degrees counter-clockwise that a player turns the picture by.
    fps: of the constant-rate timeline, (numerator, denominator); source_fps the rate of the source itself. constant:
    the source keeps that rate. start_s: presentation time of the first frame; container_start_s that of the whole
    file, from which ffmpeg counts its seeks. declared_frames: the header's count (0: none given). packets: frames
    found in the file. duration_s: of the video stream by its packets. last_frame: place of the last picture on the
    constant-rate timeline, -1 where the packets have no times. untagged: which colour tags are not given, by
    ffmpeg's names. holds: (first, end) frames of the timeline that only repeat the picture before, because the next one
    comes much later (not part of the record: the shots leave them out).
    """

    width: int
    height: int
    coded_width: int
    coded_height: int
    rotation: int
    sar: tuple[int, int]
    stream: int
    streams: int
    container: str
    codec: str
    pix_fmt: str
    transfer: str
    wide_gamut: bool
    interlaced: bool
    encrypted: bool
    seekable: bool
    fps: tuple[int, int]
    source_fps: tuple[int, int]
    constant: bool
    start_s: float
    container_start_s: float
    duration_s: float
    last_frame: int
    declared_frames: int
    packets: int
    untagged: tuple[str, ...] = ()
    holds: tuple[tuple[int, int], ...] = ()

    def record(self) -> dict[str, Any]:
        """As plain JSON values."""
        values = asdict(self)
        del values["holds"]
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def probe(path: str | Path, *, fps: float, limits: Limits, scan: bool = True, max_gap_s: float = math.inf) -> Probe:
    """Open a file, read the times of all its video packets (`scan`) and decode its first frame.

    fps: the wanted rate; a slower source keeps its own. max_gap_s: pictures farther apart (seconds) make a hold.
    Without `scan` the header alone gives rate, start and counts, which may be wrong, and there are no holds. Raises
    VideoError for anything that is no video.
    """
    import av

    file = Path(path)
    if not file.is_file():
        raise VideoError("the file is gone")
    size = file.stat().st_size
    if size == 0:
        raise VideoError("the file is empty (0 bytes)")
    if size > limits.max_bytes:
        raise VideoError(f"the file has {size} bytes, more than limits.max_bytes = {limits.max_bytes}")
    options = open_options(limits.max_pixels)
    try:
        container = av.open("file:" + str(file.absolute()), options=options, metadata_errors="replace")
    except (av.error.FFmpegError, ValueError) as error:
        raise VideoError(f"no video container that can be read ({_reason(error)})") from error
    with container:
        return _probe(container, Fraction(fps).limit_denominator(1001), limits, scan, max_gap_s)


def _probe(container: Any, wanted: Fraction, limits: Limits, scan: bool, max_gap_s: float) -> Probe:
    import av

    # A stream of an unknown codec has no decoder, and so no size.
    candidates = [
        s for s in container.streams.video if s.codec_context is not None and not int(s.disposition) & ATTACHED_PICTURE
    ]
    if not candidates:
        kinds = sorted({s.type for s in container.streams}) or ["nothing"]
        raise VideoError(f"the file has no video stream that can be decoded (it holds {', '.join(kinds)})")
    stream = max(candidates, key=lambda s: (int(s.disposition) & 1, s.width * s.height, -s.index))
    if stream.width * stream.height > limits.max_pixels:
        raise VideoError(f"{stream.width}×{stream.height} pixels are more than limits.max_pixels = {limits.max_pixels}")
    packets = _read_packets(container, stream, limits) if scan else _Packets([], 0, True, False)
    times = packets.times
    declared = int(stream.frames)
    if scan and not packets.count:
        raise VideoError(
            f"the file holds no video frame although its header says {declared}: it is truncated"
            if declared
            else "the file has a header but no video frame: it is an initialisation segment, or truncated"
        )
    frame = None
    # Where nothing decodes, the pass that follows counts frames and says what is wrong.
    with contextlib.suppress(av.error.FFmpegError):
        container.seek(0)
        frame = next(container.decode(stream), None)
    context = stream.codec_context
    width, height = (frame.width, frame.height) if frame else (context.width, context.height)
    sar = stream.sample_aspect_ratio or Fraction(1)
    rotation = _quarter_turns(frame.rotation if frame else 0)
    shown_w, shown_h = displayed_size(width, height, sar, rotation)
    declared_rates = [Fraction(r) for r in (stream.average_rate, stream.guessed_rate, stream.base_rate) if r]
    rate, constant = rate_of(times if len(times) == packets.count else [], declared_rates)
    out = min(rate, wanted)
    transfer = int(frame.color_trc if frame else context.color_trc)
    primaries = int(frame.color_primaries if frame else context.color_primaries)
    return Probe(
        width=shown_w,
        height=shown_h,
        coded_width=width,
        coded_height=height,
        rotation=rotation,
        sar=(sar.numerator, sar.denominator),
        stream=stream.index,
        streams=len(candidates),
        container=container.format.name,
        codec=context.name,
        pix_fmt=frame.format.name if frame else str(context.pix_fmt),
        transfer=HDR_TRANSFERS.get(transfer, "sdr"),
        wide_gamut=primaries == 9,
        interlaced=bool(frame and frame.interlaced_frame) or int(context.field_order) in (2, 3, 4, 5),
        encrypted=packets.encrypted,
        seekable=container.format.name.split(",")[0] in SEEKABLE and packets.timed,
        fps=(out.numerator, out.denominator),
        source_fps=(rate.numerator, rate.denominator),
        constant=constant,
        start_s=times[0] if times else 0.0,
        container_start_s=(container.start_time or 0) / 1e6,
        last_frame=_place(times[-1] - times[0], out) if times else -1,
        duration_s=times[-1] - times[0] + float(1 / rate) if times else float(packets.count / rate),
        declared_frames=declared,
        packets=packets.count,
        untagged=_untagged(frame) if frame else (),
        holds=holds_of(times, out, max_gap_s),
    )


def holds_of(times: Sequence[float], fps: Fraction, max_gap_s: float) -> tuple[tuple[int, int], ...]:
    """(first, end) frames of the constant-rate timeline that repeat a picture over a gap of more than `max_gap_s`
    (seconds) in sorted presentation times.
    """
    return tuple(
        (_place(before - times[0], fps) + 1, _place(after - times[0], fps))
        for before, after in pairwise(times)
        if after - before > max_gap_s
    )


def _place(time_s: float, fps: Fraction) -> int:
    """The frame of the timeline in which a picture is first seen; time_s: since the first picture."""
    return math.ceil(time_s * fps - JITTER)


def _untagged(frame: Any) -> tuple[str, ...]:
    found = {
        # Codes 0, 2 and 3 are reserved or say "unspecified"; for the matrix 0 is RGB.
        "color_primaries": int(frame.color_primaries) in (0, 2, 3),
        "color_trc": int(frame.color_trc) in (0, 2, 3),
        "colorspace": int(frame.colorspace) in (2, 3) and not frame.format.is_rgb,
        "range": int(frame.color_range) == 0,
    }
    return tuple(name for name, absent in found.items() if absent)


@dataclass(frozen=True)
class _Packets:
    """The shown packets of a stream: sorted presentation times in seconds, count, and whether all had a time."""

    times: list[float]
    count: int
    timed: bool
    encrypted: bool


def _read_packets(container: Any, stream: Any, limits: Limits) -> _Packets:
    import av

    times: list[float] = []
    summed: list[float] = []  # where no packet has a time (raw streams), ffmpeg adds up the durations, and so do we
    base = stream.time_base
    running = 0
    encrypted = False
    # An error ends the reading: what was read may be of use, and the counts show that the file ends early.
    with contextlib.suppress(av.error.FFmpegError):
        for packet in container.demux(stream):
            if packet.size == 0 or packet.is_discard:
                continue
            summed.append(float(running * base))
            running += packet.duration or 0
            if packet.pts is not None:
                times.append(float(packet.pts * base))
            encrypted = encrypted or packet.has_sidedata("encryption_info")
            if len(summed) > limits.max_frames:
                raise VideoError(f"more than {limits.max_frames} frames, the limit (see limits.max_frames)")
    timed = len(times) == len(summed)
    if not times and running:
        times = summed
    return _Packets(sorted(times), len(summed), timed, encrypted)


def rate_of(times: Sequence[float], declared: Sequence[Fraction]) -> tuple[Fraction, bool]:
    """The frame rate of sorted presentation times (seconds), and whether the source keeps it.

    A declared rate is believed where every frame lies within a quarter of a frame time (JITTER) of its place; else
    the mean rate is tried likewise. A source that keeps no rate has the rate of its median interval: what a player
    shows of it most of the time, its longer intervals becoming repeated frames.
    """
    plausible = [r for r in declared if 1 <= r <= 1000]
    if len(times) < 2 or times[-1] <= times[0]:
        return (plausible or [Fraction(30)])[0], True
    array = np.asarray(times) - times[0]
    mean = Fraction((len(times) - 1) / array[-1]).limit_denominator(1001)
    for rate in (*plausible, mean):
        places = array * float(rate)
        if np.max(np.abs(places - np.arange(len(array)))) < JITTER:
            return rate, True
    step = statistics.median(float(d) for d in np.diff(array) if d > 0)
    near = [r for r in plausible if abs(float(r) * step - 1) < 0.02]
    return (near[0] if near else max(Fraction(1, step_limit(step)), Fraction(1))), False


def step_limit(step: float) -> Fraction:
    """A frame time in seconds as a fraction whose inverse is a plausible rate."""
    return 1 / Fraction(1 / step).limit_denominator(100)


def displayed_size(width: int, height: int, sar: Fraction, rotation: int) -> tuple[int, int]:
    """Size in square pixels of a stored picture, never smaller than what is stored."""
    if sar >= 1:
        width = round(width * sar)
    else:
        height = round(height / sar)
    return (height, width) if rotation % 180 else (width, height)


def _quarter_turns(degrees: int) -> int:
    """A display rotation as 0, 90, 180 or 270; others (a broken matrix gives −2³¹) count as 0."""
    return degrees % 360 if -360 <= degrees <= 360 and degrees % 90 == 0 else 0


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
