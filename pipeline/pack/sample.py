"""One clip's artifacts as the members of a WebDataset sample (the contract of schemas.sample)."""

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa

from pipeline.work import SampleWork, digest
from schemas.artifacts.camera import CameraArtifact
from schemas.artifacts.frames import FramesArtifact
from schemas.artifacts.header import npy_bytes, read_header
from schemas.artifacts.pose import PoseArtifact
from schemas.artifacts.scene_motion import SceneMotionArtifact
from schemas.artifacts.style import StyleArtifact
from schemas.clip import Clip
from schemas.sample import SampleJson, StyleEntry, check_sample, frame_member, style_members

VERSION = 2
"""Raise by one whenever equal artifacts give other sample bytes."""
PACKED_STAGES = ("decode", "pose", "camera", "scene_motion", "stylize")
"""Artifacts whose content goes into a sample."""


def sample_digest(sample: SampleWork) -> str:
    """Identity of a sample's content: equal digests mean equal bytes."""
    clip = sample.clip
    return digest(str(VERSION), clip.clip_id, clip.kind, clip.split, *(sample.keys[s] for s in PACKED_STAGES))


def sample_members(clip: Clip, tables: Mapping[str, pa.Table], keys: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    """(member name, bytes) in tar order, `json` first. Raises SampleError where the artifacts break the contract."""
    frames = FramesArtifact.from_table(tables["decode"])
    pose = PoseArtifact.from_table(tables["pose"])
    camera = CameraArtifact.from_table(tables["camera"])
    motion = SceneMotionArtifact.from_table(tables["scene_motion"])
    styles = StyleArtifact.from_table(tables["stylize"])
    headers = {stage: read_header(table) for stage, table in tables.items()}
    meta = SampleJson(
        clip_id=clip.clip_id,
        source_id=clip.source_id,
        kind=clip.kind,
        split=clip.split,
        fps=frames.fps,
        size=frames.size,
        timestamps=[float(t) for t in frames.timestamps],
        references=list(motion.references),
        frame_step=motion.frame_step,
        motion_compat=headers["scene_motion"].extra["compat"],
        status={stage: header.status for stage, header in headers.items()},
        quality={stage: header.quality for stage, header in headers.items()},
        artifacts=dict(keys),
        styles=[
            StyleEntry(reference_index=p.reference_index, target_index=p.target_index, style=p.style, seed=p.seed)
            for p in styles.pairs
        ],
    )
    arrays: dict[str, np.ndarray] = {
        "keypoints_body.npy": pose.body.astype(np.float32),
        "keypoints_face.npy": pose.face.astype(np.float32),
        "keypoints_hand.npy": pose.hand.astype(np.float32),
        "cam_to_world.npy": camera.cam_to_world.astype(np.float64),
        "intrinsics.npy": camera.intrinsics.astype(np.float64),
        "inverse_depth.npy": motion.inverse_depth.astype(np.float16),
        "scene_motion.npy": motion.motion.astype(np.float16),
        "scene_motion_valid.npy": motion.valid.astype(np.uint8),
    }
    pictures = {frame_member(i): jpeg for i, jpeg in enumerate(frames.jpegs)}
    for number, pair in enumerate(styles.pairs):
        reference, target = style_members(number)
        pictures |= {reference: pair.reference_jpeg, target: pair.target_jpeg}
    check_sample({"json": meta, **arrays, **pictures})
    yield "json", meta.canonical_json().encode()
    for name, array in arrays.items():
        yield name, npy_bytes(array)
    yield from pictures.items()
