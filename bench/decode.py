"""The decode stage against `ffmpeg … -f null` with the same filters: how much the JPEG frames cost beyond decoding.

`ffmpeg` alone decodes, resamples, crops and scales to BGR frames and throws them away; the stage does the same, hands
the frames over a pipe, looks for repetitions and encodes every frame as JPEG (quality 95, 4:4:4). Both
run on the same files in turn, the best of some rounds each. Run from
the repository's root: `python -m bench.decode`.
"""

import argparse
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from schemas.artifacts.ingest import IngestArtifact
from schemas.clip import Clip
from schemas.ids import clip_id
from stages.decode import DecodeConfig, DecodeStage
from stages.ingest import CutConfig, IngestConfig, IngestStage
from stages.video import fit
from stages.video.command import SCALER, frames_command
from stages.video.ffmpeg import Limits, find_binary
from stages.video.probe import probe

SOURCE = "0" * 16
FRAMES = 170  # two clips of the default length
SIZES = {
    "512x512 30 fps": ("512x512", "30"),
    "1920x1080 30 fps": ("1920x1080", "30"),
    "1920x1080 60 fps": ("1920x1080", "60"),
}


def main(rounds: int = 3) -> dict[str, float]:
    """Prints a table and returns, by source, the stage's frame rate over that of ffmpeg to null."""
    ratios = {}
    print(f"{'source':18} {'ffmpeg to null':>15} {'decode stage':>13} {'ratio':>6}   (frames of 768 x 768 a second)")
    with tempfile.TemporaryDirectory() as folder:
        for name, (size, rate) in SIZES.items():
            path = make_video(Path(folder) / "video.mp4", size, rate)
            clips = clips_of(path)
            null = best(lambda path=path, clips=clips: to_null(path, clips), rounds)  # type: ignore[misc]
            stage = DecodeStage(DecodeConfig())
            ours = best(lambda clips=clips, stage=stage: [stage.run(clip, {}) for clip in clips], rounds)  # type: ignore[misc]
            ratios[name] = null / ours
            print(f"{name:18} {FRAMES / null:15.0f} {FRAMES / ours:13.0f} {ratios[name]:6.2f}")
    return ratios


def make_video(path: Path, size: str, rate: str) -> Path:
    """H.264 of FRAMES frames at 30 a second: a moving test picture with grain, so that it costs what a film does."""
    picture = f"testsrc2=size={size}:rate={rate},noise=alls=12:allf=t"
    command = [find_binary(), "-v", "error", "-y", "-f", "lavfi", "-i", picture]
    command += ["-frames:v", str(FRAMES * int(rate) // 30), "-c:v", "libx264", "-preset", "veryfast", "-crf", "23"]
    subprocess.run([*command, "-pix_fmt", "yuv420p", str(path)], check=True)
    return path


def clips_of(path: Path) -> list[Clip]:
    """The clips of the video, cuts aside."""
    stage = IngestStage(IngestConfig(cuts=CutConfig(enabled=False)))
    artifact = IngestArtifact.from_table(stage.run(SOURCE, str(path)))
    length = FRAMES // 2
    return [
        Clip(
            clip_id(SOURCE, first, length),
            SOURCE,
            "character",
            "train",
            first,
            length,
            artifact.fps,
            artifact.start_s,
            str(path),
        )
        for first in range(0, FRAMES, length)
    ]


def to_null(path: Path, clips: list[Clip]) -> None:
    """The stage's own ffmpeg commands, their frames thrown away."""
    found = probe(path, fps=30, limits=Limits())
    size = DecodeConfig().frame_size
    plan = fit.plan(found, fit.centre_window(found.width, found.height, size), size)
    for clip in clips:
        command = frames_command(
            path, found, fps=clip.fps, start_s=clip.start_s, first=clip.first_frame, count=clip.frame_count, fit=plan,
            scaler=SCALER, limits=Limits(),
        )  # fmt: skip
        command[command.index("rawvideo")] = "null"
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def best(work: Callable[[], object], rounds: int) -> float:
    """Seconds of the quickest round."""
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each; the quickest counts")
    main(rounds=parser.parse_args().rounds)
