"""Stages that only wait: real artifacts of eight tiny frames, for measuring everything around the stages at scale.

A share of the clips fails at one stage each time it is tried; which clip and which stage is a function of the clip
alone, so that a run's quarantine can be compared with what it must be.
"""

import time
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pyarrow as pa

from pipeline.graph import CLIP_STAGES, StageSpec
from schemas.artifacts.camera import CameraArtifact, SparseDepth
from schemas.artifacts.depth import DepthArtifact
from schemas.artifacts.frames import FramesArtifact
from schemas.artifacts.header import Header
from schemas.artifacts.ingest import IngestArtifact, Shot
from schemas.artifacts.pose import PoseArtifact
from schemas.artifacts.scene_motion import SceneMotionArtifact
from schemas.artifacts.style import StyleArtifact, StylePair
from schemas.clip import Clip
from schemas.ids import reference_indices, seed_from
from stages.base import Inputs
from stages.jpeg import encode_jpeg

FRAMES, SIZE, CELLS = 8, 16, 2
CLIPS_PER_SOURCE = 50


@dataclass(frozen=True)
class Injected:
    """What the stages do besides their artifact. wait_s: seconds an item waits. one_in: one clip in so many fails."""

    wait_s: float = 0.002
    one_in: int = 100


def failing_stage(clip_id: str, one_in: int) -> str | None:
    """The stage at which a clip always fails, or None."""
    if not one_in or seed_from("fails", clip_id) % one_in:
        return None
    return CLIP_STAGES[seed_from("where", clip_id) % len(CLIP_STAGES)]


def waiting_graph(graph: dict[str, StageSpec], injected: Injected) -> dict[str, StageSpec]:
    """The same stages, keys and edges; their work is waiting."""
    built = {name: replace(spec, build=partial(WaitingStage, name, injected)) for name, spec in graph.items()}
    return built | {"ingest": replace(graph["ingest"], build=WaitingIngest)}


class WaitingIngest:
    """Cuts any file into CLIPS_PER_SOURCE clips of one shot."""

    def run(self, source_id: str, path: str, registered: tuple[int, int] | None = None) -> pa.Table:
        shot = Shot(0, FRAMES * CLIPS_PER_SOURCE)
        return IngestArtifact((shot,), (30, 1), 0.0).to_table(Header("ingest", source_id))


class WaitingStage:
    """One clip stage: waits, then fails or gives a valid artifact whose values come from the clip's seed."""

    def __init__(self, name: str, injected: Injected) -> None:
        self._name = name
        self._injected = injected

    def run(self, clip: Clip, inputs: Inputs) -> pa.Table:
        time.sleep(self._injected.wait_s)
        if failing_stage(clip.clip_id, self._injected.one_in) == self._name:
            raise RuntimeError("injected failure")
        header = Header(self._name, clip.clip_id, quality={"drawn": clip.seed(self._name) / 2**63})
        return _MAKERS[self._name](clip, header)


def _decode(clip: Clip, header: Header) -> pa.Table:
    rng = np.random.default_rng(clip.seed("frames"))
    jpegs = tuple(_jpeg(colour) for colour in rng.integers(0, 256, (FRAMES, 3), np.uint8))
    times, repeated = (clip.first_frame + np.arange(FRAMES)) / 30, np.zeros(FRAMES, bool)
    return FramesArtifact(jpegs, times, repeated, 30.0, (SIZE, SIZE), (0.0, 0.0, SIZE, SIZE)).to_table(header)


def _pose(clip: Clip, header: Header) -> pa.Table:
    rng = np.random.default_rng(clip.seed("pose"))
    body, face, hand = (rng.random((FRAMES, n, k, 3), np.float32) for n, k in ((1, 17), (0, 68), (0, 21)))
    return PoseArtifact(body, face, hand, np.zeros((FRAMES, CELLS, CELLS), bool)).to_table(header)


def _camera(clip: Clip, header: Header) -> pa.Table:
    poses = np.tile(np.eye(4), (FRAMES, 1, 1))
    poses[:, 0, 3] = np.arange(FRAMES) * 0.01
    lens = np.tile([SIZE, SIZE, SIZE / 2 - 0.5, SIZE / 2 - 0.5], (FRAMES, 1))
    sparse = SparseDepth(np.zeros((1, 2), np.float32), np.ones(1, np.float32))
    return CameraArtifact("moving", poses, lens, (sparse,) * FRAMES, "imported").to_table(header)


def _depth(clip: Clip, header: Header) -> pa.Table:
    references = reference_indices(clip.clip_id, FRAMES)
    shape = (len(references), CELLS, CELLS)
    return DepthArtifact(references, np.ones(shape, np.float32), np.zeros(shape, bool), "camera").to_table(header)


def _scene_motion(clip: Clip, header: Header) -> pa.Table:
    references = reference_indices(clip.clip_id, FRAMES)
    rng = np.random.default_rng(clip.seed("motion"))
    motion = rng.random((len(references), FRAMES, 2, CELLS, CELLS), np.float32)
    valid = np.ones((len(references), FRAMES, CELLS, CELLS), bool)
    depth = np.ones((len(references), CELLS, CELLS), np.float32)
    header = replace(header, extra={"compat": "paper"})
    return SceneMotionArtifact(references, 1, motion, valid, depth).to_table(header)


def _stylize(clip: Clip, header: Header) -> pa.Table:
    picture = _jpeg(np.array([1, 2, 3], np.uint8))
    return StyleArtifact((StylePair(0, 1, "plain", clip.seed("style"), picture, picture),)).to_table(header)


def _jpeg(colour: np.ndarray) -> bytes:
    return encode_jpeg(np.full((SIZE, SIZE, 3), colour, np.uint8))


_MAKERS = {
    "decode": _decode,
    "pose": _pose,
    "camera": _camera,
    "depth": _depth,
    "scene_motion": _scene_motion,
    "stylize": _stylize,
}
