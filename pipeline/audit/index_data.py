"""The clip index as compact JSON: columns instead of rows, names as numbers. A page from disk cannot fetch JSON, so it
is written as a script that assigns it.
"""

import json
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from pipeline.audit.facts import MEASURED
from pipeline.checks.snapshot import Snapshot
from pipeline.graph import CLIP_STAGES

STATES = ("packed", "left out", "finished", "unfinished", "quarantine")
SHOWN = (
    "camera.reprojection_error_px",
    "scene_motion.warp_error",
    "scene_motion.motion_median_px",
    "pose.person_frames",
    "pose.face_frames",
    "pose.hand_frames",
    "depth.filled_share",
    f"{MEASURED}.warp_gain",
    f"{MEASURED}.camera_jerk",
)
"""Figures that can be searched and sorted in the index; the others stand on the clips' own pages."""


def clip_index(
    snapshot: Snapshot,
    columns: Mapping[str, np.ndarray],
    problems: Mapping[str, list[str]],
    pages: Collection[str],
) -> dict[str, Any]:
    """Columns over all clips, in order of clip id."""
    sources = sorted(snapshot.state.sources)
    place = {name: number for number, name in enumerate(sources)}
    clips = list(snapshot.clips.values())
    splits, kinds = sorted({c.split for c in clips}), sorted({c.kind for c in clips})
    failed = {row["item_id"] for row in snapshot.failures}
    states = [STATES.index(_state(snapshot, name, failed)) for name in snapshot.clips]
    data: dict[str, Any] = {
        "sources": sources,
        "uris": [snapshot.state.sources[name].uri for name in sources],
        "source": [place[c.source_id] for c in clips],
        "first": [c.first_frame for c in clips],
        "count": [c.frame_count for c in clips],
        "splits": splits,
        "split": [splits.index(c.split) for c in clips],
        "kinds": kinds,
        "kind": [kinds.index(c.kind) for c in clips],
        "states": STATES,
        "state": states,
        "pages": [number for number, name in enumerate(snapshot.clips) if name in pages],
        "problems": {number: problems[name] for number, name in enumerate(snapshot.clips) if name in problems},
        "figures": {name: _rounded(columns[name]) for name in SHOWN if name in columns},
        "status": _statuses(snapshot),
    }
    return data


def script(name: str, data: Any) -> str:
    """`data` as a script that assigns it to a global."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return f"const {name}={text};\n".replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _state(snapshot: Snapshot, name: str, failed: Collection[str]) -> str:
    if name in snapshot.packed:
        return "packed"
    if name in failed:
        return "quarantine"
    if not snapshot.finished(name):
        return "unfinished"
    return "left out" if snapshot.refused(name) else "finished"


def _statuses(snapshot: Snapshot) -> dict[str, dict[str, Any]]:
    """By stage: words, and their number (−1: not made) for each clip."""
    found = {}
    for stage in CLIP_STAGES:
        artifacts = snapshot.state.artifacts
        words = [
            facts.status if (facts := artifacts.get(keys.get(stage, ""))) else "" for keys in snapshot.keys.values()
        ]
        names = sorted(set(words) - {""})
        number = {word: i for i, word in enumerate(names)} | {"": -1}
        found[stage] = {"words": names, "values": [number[word] for word in words]}
    return found


def _rounded(values: np.ndarray) -> list[float | None]:
    """Four significant digits; None for NaN."""
    return [None if np.isnan(v) else float(f"{v:.4g}") for v in values.tolist()]
