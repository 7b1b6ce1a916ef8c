"""Shots with exact ground truth: the project's own renders, and rendered MMD shots where the test inputs are there."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from pipeline.demo import DemoVideo, ShotTruth
from schemas.clip import Clip, Kind
from schemas.ids import clip_id

COCO_LIMBS = {5: "左腕", 6: "右腕", 7: "左ひじ", 8: "右ひじ", 9: "左手首", 10: "右手首", 11: "左足", 12: "右足",
              13: "左ひざ", 14: "右ひざ", 15: "左足首", 16: "右足首"}  # fmt: skip
"""COCO keypoints of shoulders, elbows, wrists, hips, knees and ankles, and the MMD bones that begin there."""


@dataclass(frozen=True)
class Truth:
    """What is exactly known of L frames. cam_to_world: float64 [L, 4, 4], OpenCV axes. K: float64 [L, 3, 3], pixels
    of a picture of `size` (width, height). inverse_depth: float32 [L, h, w] at the centres of grid cells that cover the
    picture, 0 is sky. limbs: float64 [L, 12, 2], pixels, in the order of COCO_LIMBS; silhouette: bool [L, h, w], where
    the character is; None without one.
    """

    cam_to_world: np.ndarray
    K: np.ndarray
    inverse_depth: np.ndarray
    limbs: np.ndarray | None
    size: tuple[int, int]
    silhouette: np.ndarray | None = None


@dataclass(frozen=True)
class Shot:
    """One shot of a video, and the frame size at which the stages work on it."""

    name: str
    clip: Clip
    truth: Truth
    frame_size: int


def demo_shots(videos: list[DemoVideo], frame_size: int) -> Iterator[Shot]:
    """Each shot of the demo's videos."""
    for video in videos:
        truth = ShotTruth.load(video.truth)
        size = (truth.mask.shape[2], truth.mask.shape[1])
        starts = [*truth.shot_starts.tolist(), len(truth.cam_to_world)]
        for number, (start, stop) in enumerate(pairwise(starts)):
            part = slice(start, stop)
            limbs = truth.keypoints[part, 5:, :2] if video.kind == "character" else None
            depths = truth.inverse_depth[part], truth.inverse_depth_background[part]
            figure = _silhouette(*depths) if video.kind == "character" else None
            known = Truth(truth.cam_to_world[part], truth.K[part], depths[0], limbs, size, figure)
            name = video.name if len(starts) == 2 else f"{video.name}_{number}"
            yield Shot(name, _clip(video.path, video.kind, start, stop - start), known, frame_size)


def mmd_shots(folder: Path, frame_size: int) -> Iterator[Shot]:
    """The shots of the folder `mmd_shots` of the test inputs, with the character and without."""
    several = np.load(folder / "ground_truth.npz")
    depths = np.load(folder / "inverse_depth_96.npz")
    starts = [*several["shot_starts"].tolist(), len(several["c2w"])]
    for video, kind in (("mmd_shots", "character"), ("mmd_shots_camera_only", "camera")):
        for number, (start, stop) in enumerate(pairwise(starts)):
            known = _mmd_truth(several, depths["mmd"], depths["bg"], kind, slice(start, stop))
            clip = _clip(folder / f"{video}.mp4", kind, start, stop - start)
            yield Shot(f"{video}_{number}", clip, known, frame_size)
    for name in ("truck_character", "orbit_background"):
        file = np.load(folder / f"{name}.npz")
        for kind in ("character", "camera"):
            length = len(file["c2w"])
            maps = file["inverse_depth_96_mmd"], file["inverse_depth_96_bg"]
            known = _mmd_truth(file, *maps, kind, slice(0, length))
            yield Shot(f"{name}_{kind}", _clip(folder / f"{name}_{kind}.mp4", kind, 0, length), known, frame_size)


def _mmd_truth(file: np.lib.npyio.NpzFile, full: np.ndarray, empty: np.ndarray, kind: str, part: slice) -> Truth:
    """full, empty: inverse depth of all frames with and without the character."""
    drawn = kind == "character"
    names = file["kp_names"].tolist()
    limbs = file["kp2d"][part][:, [names.index(bone) for bone in COCO_LIMBS.values()]]
    return Truth(
        file["c2w"][part],
        file["K"][part],
        (full if drawn else empty)[part].astype(np.float32),
        limbs if drawn else None,
        (512, 512),
        _silhouette(full[part], empty[part]) if drawn else None,
    )


def _silhouette(full: np.ndarray, empty: np.ndarray) -> np.ndarray:
    return np.abs(full.astype(np.float64) - empty.astype(np.float64)) > 1e-3


@dataclass(frozen=True)
class RealClip:
    """A clip of a real camera in an empty place. cam_to_world: float64 [L, 4, 4], OpenCV axes."""

    name: str
    clip: Clip
    cam_to_world: np.ndarray


def real_clips(folder: Path) -> Iterator[RealClip]:
    """The RealEstate10K clips of the folder `camera_only`: a line a frame behind the address, world-to-camera last."""
    for poses in sorted(folder.glob("*.txt")):
        rows = np.array([line.split() for line in poses.read_text().splitlines()[1:]], np.float64)
        world_to_cam = np.tile(np.eye(4), (len(rows), 1, 1))
        world_to_cam[:, :3] = rows[:, 7:].reshape(-1, 3, 4)
        clip = replace(_clip(poses.with_suffix(".mp4"), "camera", 0, len(rows)), fps=(8, 1))
        yield RealClip(f"real_{poses.stem}", clip, np.linalg.inv(world_to_cam))


def _clip(video: Path, kind: str, start: int, count: int) -> Clip:
    source = hashlib.sha256(video.read_bytes()).hexdigest()[:16]
    which: Kind = "character" if kind == "character" else "camera"
    return Clip(clip_id(source, start, count), source, which, "train", start, count, (30, 1), 0.0, str(video))
