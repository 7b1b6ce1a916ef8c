"""A picture of a release: one row a sample, one column a signal. For people who would rather look than read."""

from typing import Any

import cv2
import numpy as np

from extractors.geometry.drawing import draw_pose
from pipeline.audit.pictures import depth_picture, motion_colours
from pipeline.dataset import Dataset
from pipeline.pack.read import read_sample
from schemas.release import Release
from schemas.sample import frame_member, style_members

COLUMNS = ("reference", "frame", "keypoints", "inverse depth", "scene motion", "stylised pair")
_CELL = 192
_CAPTION = 26
_INK = (235, 235, 235)


def contact_sheet(dataset: Dataset, release: Release, limit: int = 12) -> np.ndarray:
    """uint8 RGB picture of up to `limit` samples, taken in turn from every shard."""
    chosen: list[tuple[Any, str]] = []
    depth = 0
    while len(chosen) < limit and any(depth < len(entry.samples) for entry in release.shards):
        chosen += [(entry, entry.samples[depth]) for entry in release.shards if depth < len(entry.samples)]
        depth += 1
    rows = [_header()]
    for entry, name in chosen[:limit]:
        rows.append(_row(read_sample(dataset, entry, name)))
    return np.concatenate(rows)


def _row(sample: dict[str, Any]) -> np.ndarray:
    meta = sample["json"]
    length, reference = len(meta["timestamps"]), meta["references"][0]
    middle = length // 2
    frame = _picture(sample[frame_member(middle)])
    keypoints = [sample[f"keypoints_{part}.npy"][middle] for part in ("body", "face", "hand")]
    size = (frame.shape[1], frame.shape[0])
    drawn = np.max(draw_pose(keypoints[0], keypoints[1], keypoints[2], size), axis=0)
    overlay = np.where(drawn.max(-1, keepdims=True) > 0, drawn, frame // 3)
    motion = sample["scene_motion.npy"][0].astype(np.float32)
    strongest = int(np.abs(motion).mean(axis=(1, 2, 3)).argmax())
    valid = sample["scene_motion_valid.npy"][0, strongest].astype(bool)
    longest = float(np.percentile(np.hypot(*motion[strongest]), 99))
    cells = [
        _picture(sample[frame_member(reference)]),
        frame,
        overlay,
        depth_picture(sample["inverse_depth.npy"][0].astype(np.float32)),
        motion_colours(motion[strongest], valid, longest, (motion.shape[3], motion.shape[2])),
    ]
    if meta["styles"]:
        cells.append(np.concatenate([_picture(sample[name]) for name in style_members(0)], axis=1))
    else:
        cells.append(np.zeros((8, 16, 3), np.uint8))
    widths = [_CELL] * (len(cells) - 1) + [2 * _CELL]
    strip = np.concatenate([_fit(cell, width) for cell, width in zip(cells, widths, strict=True)], axis=1)
    status = ", ".join(f"{stage} {word}" for stage, word in meta["status"].items() if word != "ok")
    caption = f"{meta['clip_id']}  {meta['kind']} {meta['split']}  {length} frames at {meta['fps']:g}/s  {status}"
    bar = np.full((_CAPTION, strip.shape[1], 3), 30, np.uint8)
    cv2.putText(bar, caption, (8, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.45, _INK, 1, cv2.LINE_AA)
    return np.concatenate([bar, strip])


def _header() -> np.ndarray:
    bar = np.full((_CAPTION, _CELL * (len(COLUMNS) + 1), 3), 60, np.uint8)
    for number, title in enumerate(COLUMNS):
        cv2.putText(bar, title, (number * _CELL + 8, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.45, _INK, 1, cv2.LINE_AA)
    return bar


def _picture(jpeg: bytes) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _fit(image: np.ndarray, width: int) -> np.ndarray:
    scale = min(width / image.shape[1], _CELL / image.shape[0])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST)
    canvas = np.zeros((_CELL, width, 3), np.uint8)
    top, left = (_CELL - size[1]) // 2, (width - size[0]) // 2
    canvas[top : top + size[1], left : left + size[0]] = small
    return canvas
