"""Every clip of a dataset's split animated from its own reference frame: what `evaluate` reads."""

import hashlib
import json
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from torch import Tensor

from pipeline.animate import AnimateConfig, Animator, training_crop
from pipeline.animation.driving import Driving, DrivingClip
from pipeline.animation.frames import Compat, DrivenFrames
from pipeline.animation.output import write_animation
from pipeline.animation.reference import ReferencePicture
from pipeline.dataset import Dataset, DatasetError
from pipeline.pack.read import read_sample
from schemas.clip import Kind
from schemas.config import file_sha256
from schemas.release import ShardEntry
from schemas.sample import SampleJson, frame_member
from stages.jpeg import encode_jpeg

BASELINE = "repeat"
"""The trivial baseline: the reference frame, again and again."""


@dataclass(frozen=True)
class SplitOutputs:
    """clips: how many lie in the folder. next_step: the command that scores them."""

    clips: int
    next_step: str


class Crop(Protocol):
    """`train.data.crop.Crop`: one crop and resize for every signal."""

    def image(self, image: np.ndarray) -> np.ndarray: ...
    def keypoints(self, points: np.ndarray) -> np.ndarray: ...
    def intrinsics(self, intrinsics: np.ndarray) -> np.ndarray: ...
    def grid(self, maps: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class ClipInputs:
    """One clip of the split, cropped and resized as training does with its samples. real: the true frames, uint8 RGB,
    one for each of `frames`, decoded as they are asked for.
    """

    picture: ReferencePicture
    frames: DrivenFrames
    real: Callable[[], Iterator[np.ndarray]]


def animate_split(
    root: str,
    split: str,
    checkpoint: Path,
    output: Path,
    *,
    name: str,
    config: AnimateConfig,
    kind: Kind | None = None,
    limit: int | None = None,
    say: Callable[[str], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> SplitOutputs:
    """Writes OUTPUT/real, OUTPUT/<name> and OUTPUT/repeat, a folder of png frames a clip. What lies there already is
    kept, so a stopped run goes on. kind: only clips of that kind. Raises DatasetError for a dataset without a release
    or split, for a name that is no folder's or taken, and for a folder that another network, release or setting has
    drawn to.
    """
    _check_name(name)
    if config.side_by_side:
        raise DatasetError("side_by_side makes pictures that cannot be compared with the true frames; leave it out")
    tell = say or (lambda text: None)
    dataset = Dataset.open(root)
    release = dataset.newest_release()
    if release is None:
        raise DatasetError(f"{root} has no release yet; `mikudance build VIDEOS --dataset {root}` makes one")
    shards = [entry for entry in release.shards if entry.split == split and kind in (None, entry.kind)]
    clips = [(entry, clip) for entry in shards for clip in entry.samples][:limit]
    if not clips:
        found = sorted({f"{entry.split} ({entry.kind})" for entry in release.shards})
        what = f"{kind} clip" if kind else "clip"
        raise DatasetError(f"{root} has no {what} in split {split!r}; it has {', '.join(found) or 'none'}")
    tell("loading the network")
    animator = Animator(checkpoint, config)
    compared = f"{animator.size} {config.frames} {config.frame_step}"
    _check_stamp(output, "real", _digest(compared, release.digest()))
    _check_stamp(output, name, _stamp(checkpoint, config, release.digest()))
    for number, (entry, clip) in enumerate(clips):
        tell(f"clip {number + 1} of {len(clips)}: {clip}")
        inputs = clip_inputs(
            dataset, entry, clip, animator.size, config, keep_frames=animator.needs_frames, compat=animator.compat
        )
        fps = inputs.frames.fps
        # The network's first: where it cannot draw, no other frames are left that would bind the next try.
        for folder, frames in (
            (name, animator.draw(inputs.picture, inputs.frames, progress)),
            (BASELINE, (inputs.picture.image for _ in range(len(inputs.frames)))),
            ("real", inputs.real()),
        ):
            target = output / folder / clip
            if not target.is_dir():
                write_animation(target, frames, fps=fps)
    methods = " ".join(f"--method {shlex.quote(f'{method}={output / method}')}" for method in (name, BASELINE))
    return SplitOutputs(len(clips), f"mikudance evaluate --real {shlex.quote(str(output / 'real'))} {methods}")


def _check_name(name: str) -> None:
    if name in ("real", BASELINE):
        raise DatasetError(f"--name {name} is taken; choose another name for the method")
    if not name or name.startswith(".") or not set(name).isdisjoint("/\\\0"):
        raise DatasetError(f"--name {name}: a plain folder name is expected, e.g. ours; it lies in OUTPUT")


def _stamp(checkpoint: Path, config: AnimateConfig, release: str) -> str:
    """What decides a method's pictures: weights, how they are joined, settings, release."""
    paths = *sorted(checkpoint.glob("*.json")), *sorted(checkpoint.rglob("*.safetensors"))
    files = [file_sha256(path) for path in paths]
    settings = config.model_dump(mode="json", exclude=set(config.keyless))
    return _digest(*files, json.dumps(settings, sort_keys=True), release)


def _digest(*parts: str) -> str:
    return hashlib.sha256("|".join(parts).encode()).hexdigest()


def _check_stamp(output: Path, name: str, stamp: str) -> None:
    """The true frames have a stamp too: a method drawn at another size or frame step would be scored against those of
    the first. A stamp without a single clip binds nobody: that start failed.
    """
    path = output / f"{name}.sha256"
    drawn = (output / name).is_dir() and any((output / name).iterdir())
    if drawn and path.is_file() and path.read_text().strip() != stamp:
        what = "true frames of another release, size, frame count or frame step"
        if name != "real":
            what = f"animations by another network, release or setting under the name {name}"
        raise DatasetError(f"{output} holds {what}; choose another folder, or remove this one")
    output.mkdir(parents=True, exist_ok=True)
    path.write_text(stamp + "\n")


def clip_inputs(
    dataset: Dataset,
    entry: ShardEntry,
    clip: str,
    size: tuple[int, int],
    config: AnimateConfig,
    *,
    keep_frames: bool = False,
    compat: Compat = "paper",
) -> ClipInputs:
    """A clip's signals out of its shard, the largest centred crop of the output's shape resized to `size` (W, H).

    The reference is the clip's first one, which lies in its first tenth. Frames start after it, so that it is none of
    them (repeating the reference would be perfect there), and follow each other at the clip's own frame step, as the
    network was trained. keep_frames: keep the true frames for the guidance and for showing. compat: which scene motion
    the network takes.
    """
    members = read_sample(dataset, entry, clip)
    meta = SampleJson.model_validate(members["json"])
    crop = training_crop(meta.size, size)
    reference = meta.references[0]
    step = config.frame_step or meta.frame_step
    one = _driving_clip(members, meta, crop, keep_frames=keep_frames)
    poses = meta.kind == "character" and not config.camera_only
    body = one.body[reference] if poses else None
    picture = ReferencePicture(_decoded(members, reference, crop), body, one.inverse_depth[0])
    first = reference + 1 if reference + 1 < len(one) else 0
    length = len(one) if config.frames is None else min(len(one), first + config.frames * step)
    # A dataset's reference has depth in the unit of its own cameras: nothing is to be mapped.
    depth = one.inverse_depth[0] * config.depth_scale
    frames = DrivenFrames(
        Driving((one,), size, length, meta.fps, meta.timestamps[0]),
        depth=lambda _: depth,
        first=first,
        step=step,
        poses=poses,
        motion=config.scene_motion,
        compat=compat,
        reference_pose=one.cam_to_world[reference],
    )

    def real() -> Iterator[np.ndarray]:
        return (_decoded(members, number, crop) for number in frames.numbers)

    return ClipInputs(picture, frames, real)


def _driving_clip(members: dict[str, Any], meta: SampleJson, crop: Crop, *, keep_frames: bool) -> DrivingClip:
    length = len(meta.timestamps)
    depth = torch.from_numpy(members["inverse_depth.npy"].astype(np.float32))[:, None]
    shown = (encode_jpeg(_decoded(members, number, crop)) for number in range(length if keep_frames else 0))
    return DrivingClip(
        first=0,
        body=crop.keypoints(members["keypoints_body.npy"]),
        face=crop.keypoints(members["keypoints_face.npy"]),
        hand=crop.keypoints(members["keypoints_hand.npy"]),
        cam_to_world=members["cam_to_world.npy"],
        intrinsics=crop.intrinsics(members["intrinsics.npy"]),
        inverse_depth=crop.grid(depth)[:, 0].numpy(),
        camera=meta.status["camera"],
        motion=meta.status["scene_motion"],
        person=meta.status["pose"] == "ok",
        jpegs=tuple(shown),
    )


def _decoded(members: dict[str, Any], frame: int, crop: Crop) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(members[frame_member(frame)], np.uint8), cv2.IMREAD_COLOR)
    return crop.image(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
