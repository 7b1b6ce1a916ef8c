"""A Rerun recording of one clip: pictures, keypoints, depth as a point cloud, cameras and scene motion on the video's
time line. Needs the optional package `rerun-sdk` (extra "rerun").
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from extractors.geometry.cameras import cell_centres, unproject
from extractors.geometry.drawing import BODY_LINKS
from pipeline.audit.pictures import motion_colours
from pipeline.checks.snapshot import Snapshot
from pipeline.dataset import DatasetError
from pipeline.work import artifact_path
from schemas.artifacts.camera import CameraArtifact
from schemas.artifacts.depth import DepthArtifact
from schemas.artifacts.frames import FramesArtifact
from schemas.artifacts.pose import PoseArtifact
from schemas.artifacts.scene_motion import SceneMotionArtifact
from stages.jpeg import decode_frames

NEEDED = ("decode", "pose", "camera", "depth", "scene_motion")
TIMELINE, FRAME = "video_time", "frame"


def export(snapshot: Snapshot, clip_id: str, folder: Path) -> Path:
    """Writes `<clip>.rrd` into `folder` and returns its path. Raises DatasetError for an unknown or unfinished clip, or
    where rerun-sdk is not installed.
    """
    if clip_id not in snapshot.clips:
        raise DatasetError(f"{clip_id} is no clip of {snapshot.dataset.root}")
    missing = [stage for stage in NEEDED if stage not in snapshot.made(clip_id)]
    if missing:
        raise DatasetError(f"{clip_id} cannot be recorded: {', '.join(missing)} not made")
    try:
        import rerun
    except ImportError as error:
        raise DatasetError("--rrd needs rerun-sdk: pip install 'mikudance[rerun]'") from error
    keys, storage = snapshot.keys[clip_id], snapshot.dataset.storage
    tables = {stage: storage.read_table(artifact_path(stage, keys[stage])) for stage in NEEDED}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{clip_id}.rrd"
    recording = rerun.RecordingStream("mikudance", recording_id=clip_id)
    recording.save(str(path))
    _log(
        rerun,
        recording,
        FramesArtifact.from_table(tables["decode"]),
        PoseArtifact.from_table(tables["pose"]),
        CameraArtifact.from_table(tables["camera"]),
        DepthArtifact.from_table(tables["depth"]),
        SceneMotionArtifact.from_table(tables["scene_motion"]),
    )
    recording.flush()
    recording.disconnect()
    return path


def _log(
    rerun: Any,
    recording: Any,
    frames: FramesArtifact,
    pose: PoseArtifact,
    camera: CameraArtifact,
    depth: DepthArtifact,
    motion: SceneMotionArtifact,
) -> None:
    recording.log("world", rerun.ViewCoordinates.RDF, static=True)  # OpenCV axes: right, down, forward
    recording.log("world/path", rerun.LineStrips3D([camera.cam_to_world[:, :3, 3]]), static=True)
    points, colours = _cloud(frames, camera, motion)
    recording.log("world/points", rerun.Points3D(points, colors=colours), static=True)
    links = [(a, b) for a, b, _ in BODY_LINKS]
    longest = max(float(np.percentile(np.abs(motion.motion.astype(np.float32)), 99)), 0.5)
    for index, jpeg in enumerate(frames.jpegs):
        recording.set_time(TIMELINE, duration=float(frames.timestamps[index]))
        recording.set_time(FRAME, sequence=index)
        matrix, lens = camera.cam_to_world[index], camera.intrinsics[index]
        recording.log("world/camera", rerun.Transform3D(translation=matrix[:3, 3], mat3x3=matrix[:3, :3]))
        recording.log(
            "world/camera/image",
            rerun.Pinhole(focal_length=lens[:2], principal_point=lens[2:] + 0.5, resolution=list(frames.size)),
        )
        recording.log("world/camera/image", rerun.EncodedImage(contents=jpeg, media_type="image/jpeg"))
        for name, part in (("body", pose.body), ("face", pose.face), ("hand", pose.hand)):
            points = part[index].reshape(-1, 3)
            points = points[points[:, 2] > 0]
            recording.log(f"world/camera/image/{name}", rerun.Points2D(points[:, :2] + 0.5, radii=1.5))
        drawn = (person[list(link)] for person in pose.body[index] for link in links)
        strips = [ends[:, :2] + 0.5 for ends in drawn if (ends[:, 2] > 0).all()]
        recording.log("world/camera/image/skeleton", rerun.LineStrips2D(strips))
        for number, reference in enumerate(motion.references):
            maps, valid = motion.motion[number, index].astype(np.float32), motion.valid[number, index]
            image = motion_colours(maps, valid, longest, (maps.shape[2], maps.shape[1]))
            recording.log(f"scene_motion/reference_{reference}", rerun.Image(image))
            length = float(np.hypot(*maps)[valid].mean()) if valid.any() else 0.0
            recording.log(f"scene_motion_px/reference_{reference}", rerun.Scalars(length))
        if index in depth.references:
            values = depth.inverse_depth[depth.references.index(index)]
            recording.log("inverse_depth", rerun.DepthImage(values.astype(np.float32)))


def _cloud(
    frames: FramesArtifact, camera: CameraArtifact, motion: SceneMotionArtifact
) -> tuple[np.ndarray, np.ndarray]:
    """World points float64 [N, 3] and colours uint8 [N, 3] of the reference frames' aligned depth."""
    points, colours = [], []
    for number, frame in enumerate(motion.references):
        near = motion.inverse_depth[number].astype(np.float64)
        h, w = near.shape
        picture = decode_frames(replace(frames, jpegs=(frames.jpegs[frame],)))[0]
        pixels = cell_centres((w, h), frames.size)
        seen = near > 1e-6
        local = unproject(pixels[seen], 1.0 / near[seen], camera.intrinsics[frame])
        matrix = camera.cam_to_world[frame]
        points.append(local @ matrix[:3, :3].T + matrix[:3, 3])
        x, y = pixels[seen].round().astype(int).T
        colours.append(picture[y.clip(0, frames.size[1] - 1), x.clip(0, frames.size[0] - 1)])
    return np.concatenate(points), np.concatenate(colours)
