"""ffmpeg command lines (built with ffmpeg-python) that give frames of a source's constant-rate timeline."""

import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import ffmpeg

from stages.video.ffmpeg import Limits, as_input, find_binary, input_options
from stages.video.fit import FitPlan
from stages.video.probe import JITTER, Probe

Hwaccel = Literal["auto", "none"]
COLOURS = {"colorspace": "bt2020nc", "color_primaries": "bt2020", "color_trc": "bt709", "range": "tv"}
"""What pictures in HDR or wide gamut that lack a tag are taken for: what such video nearly always is."""
SCALER = "bicubic+accurate_rnd+bitexact"
SMALL_SCALER = "area+accurate_rnd+bitexact"
"""How pictures are scaled, to show and to be searched: the same bytes on every processor."""
_SEEK_MARGIN_S = 1.0  # frames before the wanted one that the deinterlacer and reordered streams need


def frames_command(
    path: str | Path,
    probe: Probe,
    *,
    fps: tuple[int, int],
    start_s: float,
    first: int,
    count: int | None,
    fit: FitPlan,
    scaler: str,
    limits: Limits,
    pix_fmt: str = "bgr24",
    hwaccel: Hwaccel = "none",
    threads: int = 0,
    binary: str | None = None,
) -> list[str]:
    """The command that writes frames `first` to `first + count` (None: to the end) of the timeline as raw pixels.

    Frame n is the last picture whose time is at most start_s + (n + JITTER) / fps. A seek only saves decoding what
    lies far before: the resampler counts frames from `start_s` in any case, so that the same n is the same frame
    wherever decoding began. threads: of the decoder, 0 for as many as it likes. binary: the ffmpeg to run, else the one
    that `find_binary` finds.
    """
    options: dict[str, Any] = {**input_options(limits), "copyts": None, "threads": threads}
    seek = start_s - probe.container_start_s + first * fps[1] / fps[0] - _SEEK_MARGIN_S
    if probe.seekable and seek > 0:
        options |= {"ss": f"{seek:.6f}", "noaccurate_seek": None}
    if hwaccel == "auto" and cuda_works():
        options["hwaccel"] = "cuda"
    video = ffmpeg.input(as_input(path), **options)[str(probe.stream)]
    if probe.interlaced:
        video = video.filter("bwdif", mode="send_frame", deint="interlaced")
    # The filter rounds times to the nearest place, halves up: with the origin a half less the jitter early, nothing
    # lies near a half, neither the frames of the source's own rate nor every other one of twice that rate.
    origin = start_s - (0.5 - JITTER) * fps[1] / fps[0]
    video = video.filter("fps", fps=f"{fps[0]}/{fps[1]}", start_time=f"{origin:.6f}", round="near")
    if first or count is not None:
        bounds: dict[str, int] = {"start_frame": first}
        if count is not None:
            bounds["end_frame"] = first + count
        video = video.filter("trim", **bounds)
    video = _picture(video, probe, fit, scaler)
    output = ffmpeg.output(
        video.filter("format", pix_fmt), "pipe:1", format="rawvideo", fps_mode="passthrough", an=None
    )
    return [
        binary or find_binary(), "-nostdin", "-hide_banner", "-nostats", "-loglevel", "verbose",
        *ffmpeg.get_args(output.global_args()),
    ]  # fmt: skip


def _picture(video: Any, probe: Probe, fit: FitPlan, scaler: str) -> Any:
    """Crop, scale, tone-map, pad: from the stored picture (rotated by ffmpeg itself) to the output's size."""
    x, y, width, height = fit.crop
    video = video.filter("crop", w=width, h=height, x=x, y=y, exact=1)
    video = video.filter("scale", w=fit.scaled[0], h=fit.scaled[1], flags=scaler).filter("setsar", "1")
    if probe.transfer != "sdr" or probe.wide_gamut:
        # zscale refuses to guess. Nothing else reads the tags: other sources keep their levels as they are.
        tags = {name: value for name, value in COLOURS.items() if name in probe.untagged}
        video = video.filter("setparams", **tags) if tags else video
    if probe.transfer != "sdr":
        # To linear light with 100 cd/m² as white, to BT.709 primaries, then the highlights rolled off (Hable's curve).
        video = (
            video.filter("zscale", transfer="linear", npl=100)
            .filter("format", "gbrpf32le")
            .filter("zscale", primaries="bt709")
            .filter("tonemap", tonemap="hable", desat=0)
            .filter("zscale", transfer="bt709", matrix="bt709", range="tv")
            .filter("format", "yuv444p")
        )
    elif probe.wide_gamut:
        video = video.filter("zscale", primaries="bt709", matrix="bt709", transfer="bt709")
    if fit.scaled != fit.size:
        video = video.filter("pad", w=fit.size[0], h=fit.size[1], x=fit.pad[0], y=fit.pad[1], color="black")
    return video


@lru_cache(maxsize=1)
def cuda_works() -> bool:
    """Whether this process can decode on a GPU. ffmpeg exits with an error where it cannot, so it is tried once."""
    command = [
        find_binary(), "-nostdin", "-v", "error", "-init_hw_device", "cuda", "-f", "lavfi", "-i", "nullsrc=size=64x64",
        "-frames:v", "1", "-f", "null", "-",
    ]  # fmt: skip
    try:
        return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False
