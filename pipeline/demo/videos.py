"""The demo's videos: rendered, encoded, and each with its exact ground truth beside it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.demo import camera as paths
from pipeline.demo.camera import CameraPath
from pipeline.demo.character import Character
from pipeline.demo.scene import Scene, hall, terrace
from pipeline.demo.shot import render_shot
from schemas.clip import Kind

FPS = 30


@dataclass(frozen=True)
class DemoVideo:
    """A rendered video. path: the mp4. truth: the npz of ShotTruth (pipeline/demo/shot.py) beside it."""

    name: str
    kind: Kind
    path: Path
    truth: Path


@dataclass(frozen=True)
class _Plan:
    name: str
    kind: Kind
    scene: Callable[[int], Scene]
    camera: CameraPath
    turn: float = 0.0


def render_demo(out: Path, *, size: int = 384, frames: int = 48, seed: int = 0) -> list[DemoVideo]:
    """Renders the demo's eight videos (five with a dancing character, one of them with a cut; three without) to `out`.

    size: side of the square picture in pixels, a multiple of 8. frames: of each video, at least 32, so that either
    shot of the cut one is long enough for a clip. seed: of scenes and choreography. Equal arguments give equal frames
    and truth; equal bytes too with one version of ffmpeg. Raises ValueError for a size or length that does not fit.
    """
    if frames < 32:
        raise ValueError(f"the demo's videos need at least 32 frames, not {frames}")
    out.mkdir(parents=True, exist_ok=True)
    videos = []
    for number, plan in enumerate(_plans(frames)):
        character = (
            Character(turn=plan.turn, seed=seed * 16 + number, start_s=0.4 * number)
            if plan.kind == "character"
            else None
        )
        pictures, truth = render_shot(
            plan.camera,
            plan.scene(seed),
            character,
            size=(size, size),
            fps=FPS,
            full_depth_frames=(0, frames // 2, frames - 1),
        )
        video = DemoVideo(plan.name, plan.kind, out / f"{plan.name}.mp4", out / f"{plan.name}.npz")
        write_video(video.path, pictures, fps=FPS)
        truth.save(video.truth)
        videos.append(video)
    return videos


def demo_cameras(frames: int) -> dict[str, CameraPath]:
    """The camera paths of the demo's videos by name, `frames` long each."""
    return {plan.name: plan.camera for plan in _plans(frames)}


def write_video(path: Path, frames: np.ndarray, *, fps: float = FPS, crf: int = 14) -> None:
    """Writes frames uint8 RGB [L, H, W, 3] (even sides) as H.264; crf: 0 lossless to 51 worst."""
    import imageio_ffmpeg

    height, width = frames.shape[1:3]
    colours = ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"]
    # One thread and no encoder tags: the bytes then depend on the pictures and on ffmpeg's version alone.
    plain = ["-threads", "1", "-fflags", "+bitexact", "-flags:v", "+bitexact", "-map_metadata", "-1"]
    writer = imageio_ffmpeg.write_frames(
        str(path), (width, height), fps=fps, codec="libx264", quality=None, macro_block_size=2,
        output_params=["-vf", "scale=out_color_matrix=bt709", "-crf", str(crf), "-preset", "fast", *colours, *plain],
    )  # fmt: skip
    writer.send(None)
    try:
        for frame in frames:
            writer.send(np.ascontiguousarray(frame))
    finally:
        writer.close()


def _plans(frames: int) -> list[_Plan]:
    first = frames // 2
    chest = (0.0, 0.95, 0.0)
    return [
        _Plan("character_dolly", "character", hall, paths.keyed_path(
            frames, eye=[(1.3, 1.5, 4.2), (0.7, 1.2, 3.2), (0.1, 1.05, 2.5)], target=[(0, 0.95, 0), (0.05, 0.95, 0)])),
        _Plan("character_orbit", "character", terrace, paths.orbit(
            frames, centre=chest, radius=2.9, height=1.25, degrees=55, start=-25)),
        _Plan("character_truck", "character", hall, paths.keyed_path(
            frames, eye=[(-1.2, 1.2, 3.1), (0.1, 1.25, 3.0), (1.3, 1.1, 3.2)], target=[(-0.5, 0.95, 0), (0.4, 0.95, 0)],
            focal=(1.1, 1.2)), turn=0.1),
        _Plan("character_pan", "character", terrace, paths.pan(
            frames, eye=(0.2, 1.1, 3.1), start=(-16, -4), end=(10, -1), roll=(-0.05, 0.12))),
        _Plan("character_cut", "character", hall, paths.cut(
            paths.static(first, eye=(0.5, 1.15, 3.0), target=(0, 0.92, 0)),
            paths.pan(frames - first, eye=(-0.7, 1.3, 3.3), start=(12, -7), end=(12, -7), focal=(1.0, 1.45)))),
        _Plan("camera_dolly", "camera", terrace, paths.keyed_path(
            frames, eye=[(-1.5, 1.4, 4.4), (-0.6, 1.2, 2.8), (0.2, 1.3, 1.4)], target=[(0, 1.1, -2), (0.6, 1.3, -3)])),
        _Plan("camera_truck", "camera", hall, paths.keyed_path(
            frames, eye=[(-1.8, 1.5, 2.2), (0, 1.2, 2.0), (1.7, 1.6, 2.4)], target=[(-1.4, 1.3, -3), (1.2, 1.2, -3)],
            roll=(0.0, 0.08))),
        _Plan("camera_orbit", "camera", hall, paths.orbit(
            frames, centre=(0.0, 1.0, -1.5), radius=3.6, height=1.6, degrees=-50, start=20, focal=1.0)),
    ]  # fmt: skip
