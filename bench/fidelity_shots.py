"""Shots with exact ground truth: the project's own renders, and rendered MMD shots where the test inputs are there."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
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
    picture, 0 is sky. limbs: float64 [L, 12, 2], pixels, in the order of COCO_LIMBS; None without a character.
    """

    cam_to_world: np.ndarray
    K: np.ndarray
    inverse_depth: np.ndarray
    limbs: np.ndarray | None
    size: tuple[int, int]


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
            known = Truth(truth.cam_to_world[part], truth.K[part], truth.inverse_depth[part], limbs, size)
            name = video.name if len(starts) == 2 else f"{video.name}_{number}"
            yield Shot(name, _clip(video.path, video.kind, start, stop - start), known, frame_size)


def mmd_shots(folder: Path, frame_size: int) -> Iterator[Shot]:
    """The shots of the folder `mmd_shots` of the test inputs, with the character and without."""
    several = np.load(folder / "ground_truth.npz")
    depths = np.load(folder / "inverse_depth_96.npz")
    starts = [*several["shot_starts"].tolist(), len(several["c2w"])]
    for video, kind, key in (("mmd_shots", "character", "mmd"), ("mmd_shots_camera_only", "camera", "bg")):
        for number, (start, stop) in enumerate(pairwise(starts)):
            known = _mmd_truth(several, depths[key], kind, slice(start, stop))
            clip = _clip(folder / f"{video}.mp4", kind, start, stop - start)
            yield Shot(f"{video}_{number}", clip, known, frame_size)
    for name in ("truck_character", "orbit_background"):
        file = np.load(folder / f"{name}.npz")
        for kind, key in (("character", "mmd"), ("camera", "bg")):
            length = len(file["c2w"])
            known = _mmd_truth(file, file[f"inverse_depth_96_{key}"], kind, slice(0, length))
            yield Shot(f"{name}_{kind}", _clip(folder / f"{name}_{kind}.mp4", kind, 0, length), known, frame_size)


def _mmd_truth(file: np.lib.npyio.NpzFile, inverse_depth: np.ndarray, kind: str, part: slice) -> Truth:
    names = file["kp_names"].tolist()
    limbs = file["kp2d"][part][:, [names.index(bone) for bone in COCO_LIMBS.values()]]
    return Truth(
        file["c2w"][part],
        file["K"][part],
        inverse_depth[part].astype(np.float32),
        limbs if kind == "character" else None,
        (512, 512),
    )


def _clip(video: Path, kind: str, start: int, count: int) -> Clip:
    source = hashlib.sha256(video.read_bytes()).hexdigest()[:16]
    which: Kind = "character" if kind == "character" else "camera"
    return Clip(clip_id(source, start, count), source, which, "train", start, count, (30, 1), 0.0, str(video))
