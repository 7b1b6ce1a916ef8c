"""One clip's pictures and facts, written beside its page."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.audit import pictures
from pipeline.audit.camera_path import camera_views
from pipeline.audit.charts import Threshold
from pipeline.audit.facts import MEASURED
from pipeline.checks.snapshot import Snapshot
from pipeline.explain import Lineage, in_words
from pipeline.graph import CLIP_STAGES
from pipeline.storage import StorageError
from pipeline.work import artifact_path
from schemas.artifacts.camera import CameraArtifact
from schemas.artifacts.depth import DepthArtifact
from schemas.artifacts.frames import FramesArtifact
from schemas.artifacts.header import ArtifactError, read_header
from schemas.artifacts.pose import PoseArtifact
from schemas.artifacts.scene_motion import SceneMotionArtifact
from schemas.artifacts.style import StyleArtifact
from stages.base import StageError
from stages.jpeg import encode_jpeg, scaled_size

MAX_TILES = 24


@dataclass(frozen=True)
class Picture:
    """A picture and what it shows. image: uint8 RGB [H, W, 3], or JPEG bytes."""

    caption: str
    image: np.ndarray | bytes


TrainerView = Callable[[str], Sequence[Picture]]
"""The sample of a clip as the trainer will see it; raises ValueError with the reason where it serves no training."""


@dataclass(frozen=True)
class Strip:
    """A film strip: one sprite file, `tiles` pictures in it."""

    name: str
    title: str
    file: str


@dataclass(frozen=True)
class Figure:
    """A quality figure with its limits. bad: beyond one of them."""

    name: str
    value: float
    limits: str
    bad: bool


def clip_facts(
    snapshot: Snapshot,
    chain: Lineage,
    folder: Path,
    figures: Mapping[str, Mapping[str, float]],
    thresholds: Mapping[str, Sequence[Threshold]],
    trainer_view: TrainerView | None,
) -> dict[str, Any]:
    """Writes the pictures into `folder` and returns what the page's template needs. What cannot be drawn is named in
    `missing` with the cause. figures: by stage.
    """
    clip_id = chain.clip["clip_id"]
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {"strips": [], "missing": [], "views": [], "depths": [], "warps": [], "styles": []}
    try:
        found |= _drawn(snapshot, clip_id, folder)
    except (StorageError, ArtifactError, StageError, KeyError, ValueError) as error:
        found["missing"].append(f"pictures: {error}")
    found["trainer"] = []
    if trainer_view is not None and clip_id in snapshot.packed:
        try:
            for number, picture in enumerate(trainer_view(clip_id)):
                name = _save(folder, f"trainer_{number}.jpg", picture.image)
                found["trainer"].append((picture.caption, name))
        except (ValueError, OSError) as error:
            found["missing"].append(f"the trainer's view: {error}")
    return found | {
        "clip": snapshot.clips[clip_id],
        "figures": judged_figures(snapshot, clip_id, figures, thresholds),
        "words": in_words(chain).splitlines(),
        "rows": [(stage, row, json.dumps(json.loads(row["params"]), indent=1)) for stage, row in chain.rows.items()],
        "statuses": [(stage, facts.status) for stage, facts in snapshot.made(clip_id).items()],
    }


def judged_figures(
    snapshot: Snapshot,
    clip_id: str,
    figures: Mapping[str, Mapping[str, float]],
    thresholds: Mapping[str, Sequence[Threshold]],
) -> list[tuple[str, list[Figure]]]:
    """Figures by stage with their limits, those measured by the checks first."""
    groups = dict(figures)
    if clip_id in snapshot.measured:
        groups = {MEASURED: snapshot.measured[clip_id].figures, **groups}
    result = []
    for stage, values in groups.items():
        rows = []
        for name, value in sorted(values.items()):
            limits = thresholds.get(f"{stage}.{name}", ())
            bad = any(value < t.value if t.side == "min" else value > t.value for t in limits)
            rows.append(Figure(name, value, ", ".join(f"{t.side} {t.value:g} ({t.origin})" for t in limits), bad))
        if rows:
            result.append((stage, rows))
    return result


def _drawn(snapshot: Snapshot, clip_id: str, folder: Path) -> dict[str, Any]:
    keys, storage = snapshot.keys[clip_id], snapshot.dataset.storage
    tables = {s: storage.read_table(artifact_path(s, keys[s])) for s in snapshot.made(clip_id)}
    if "decode" not in tables:
        raise ValueError("the clip is not decoded yet")
    frames = FramesArtifact.from_table(tables["decode"])
    length = len(frames.jpegs)
    shown = [int(i) for i in np.unique(np.linspace(0, length - 1, min(length, MAX_TILES)).round())]
    small = pictures.small_frames(frames, shown)
    width, height = scaled_size(frames.size, pictures.TILE)
    found: dict[str, Any] = {
        "shown": shown,
        "times": [round(float(frames.timestamps[i]), 3) for i in shown],
        "tile": (width, height),
        "columns": min(pictures.COLUMNS, len(shown)),
        "tile_rows": -(-len(shown) // pictures.COLUMNS),
        "length": length,
        "fps": frames.fps,
        "size": frames.size,
        "strips": [_strip(folder, "frame", "Frame", small)],
    }
    pose = PoseArtifact.from_table(tables["pose"]) if "pose" in tables else None
    if pose is not None:
        drawn = [pictures.with_keypoints(im, pose, i, frames.size) for im, i in zip(small, shown, strict=True)]
        found["strips"].append(_strip(folder, "keypoints", "Keypoints", drawn))
    camera = CameraArtifact.from_table(tables["camera"]) if "camera" in tables else None
    if camera is not None:
        found["camera"] = camera
        found["views"] = camera_views(camera, frames.size, shown)
    if "depth" in tables:
        found["depths"] = _depths(folder, frames, DepthArtifact.from_table(tables["depth"]))
    if "scene_motion" in tables:
        motion = SceneMotionArtifact.from_table(tables["scene_motion"])
        found |= {"references": motion.references, "frame_step": motion.frame_step}
        found["longest"] = longest = max(float(np.percentile(np.abs(motion.motion.astype(np.float32)), 99)), 0.5)
        for number, reference in enumerate(motion.references):
            maps, valid = motion.motion[number].astype(np.float32), motion.valid[number]
            colours = [pictures.motion_colours(maps[i], valid[i], longest, (width, height)) for i in shown]
            arrows = [
                pictures.motion_arrows(im, maps[i], valid[i], frames.size) for im, i in zip(small, shown, strict=True)
            ]
            title = f"reference frame {reference}"
            found["strips"].append(_strip(folder, f"motion_{number}", f"Scene motion, {title}", colours))
            found["strips"].append(_strip(folder, f"arrows_{number}", f"Arrows, {title}", arrows))
        published = read_header(tables["scene_motion"]).extra.get("compat") == "published"
        if pose is not None and camera is not None and camera.status != "unsolved" and not published:
            found["warps"] = _warps(folder, frames, pose, camera, motion)
    if "stylize" in tables:
        found["styles"] = [
            (p.style, p.reference_index, p.target_index, _save(folder, f"style_{i}_a.jpg", p.reference_jpeg),
             _save(folder, f"style_{i}_b.jpg", p.target_jpeg))
            for i, p in enumerate(StyleArtifact.from_table(tables["stylize"]).pairs)
        ]  # fmt: skip
    absent = [stage for stage in CLIP_STAGES if stage not in tables]
    found["missing"] = [f"{stage}: not made" for stage in absent]
    return found


def _depths(folder: Path, frames: FramesArtifact, depth: DepthArtifact) -> list[tuple[int, str, str, str]]:
    """(reference frame, picture, depth picture, kind) of every reference."""
    size = scaled_size(frames.size, pictures.TILE)
    result = []
    for number, reference in enumerate(depth.references):
        picture = pictures.small_frames(frames, [reference])[0]
        colours = pictures.depth_colours(depth.inverse_depth[number], size)
        a, b = _save(folder, f"depth_{number}_frame.jpg", picture), _save(folder, f"depth_{number}.jpg", colours)
        result.append((reference, a, b, depth.kind))
    return result


def _warps(
    folder: Path, frames: FramesArtifact, pose: PoseArtifact, camera: CameraArtifact, motion: SceneMotionArtifact
) -> list[tuple[int, int, list[tuple[str, str]]]]:
    result = []
    for number, warp in enumerate(pictures.warp_pictures(frames, pose, camera, motion)):
        images = (
            (f"frame {warp.first}, the reference", warp.reference),
            (f"frame {warp.second}", warp.other),
            (f"frame {warp.second} pulled back", warp.warped),
            ("difference before", warp.before),
            ("difference after", warp.after),
        )
        saved = [(text, _save(folder, f"warp_{number}_{i}.jpg", image)) for i, (text, image) in enumerate(images)]
        result.append((warp.first, warp.second, saved))
    return result


def _strip(folder: Path, name: str, title: str, images: list[np.ndarray]) -> Strip:
    return Strip(name, title, _save(folder, f"{name}.jpg", pictures.sprite(images)))


def _save(folder: Path, name: str, image: np.ndarray | bytes) -> str:
    (folder / name).write_bytes(image if isinstance(image, bytes) else encode_jpeg(image, 88))
    return f"{folder.name}/{name}"
