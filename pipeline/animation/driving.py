"""Driving signals of a video, by the pipeline's own stages run in this process, clip by clip."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.animation.kept import KeptPictures
from pipeline.config import DatasetConfig
from pipeline.ingest.clips import clips_of
from pipeline.pack.gates import warnings
from schemas.artifacts.camera import CameraArtifact
from schemas.artifacts.frames import FramesArtifact
from schemas.artifacts.header import read_header
from schemas.artifacts.pose import PoseArtifact
from schemas.artifacts.scene_motion import SceneMotionArtifact
from schemas.clip import Clip, Kind
from schemas.config import file_sha256
from schemas.ids import SOURCE_ID_LENGTH
from stages.camera import CameraStage
from stages.decode import DecodeStage
from stages.depth import DepthStage
from stages.ingest import IngestStage
from stages.pose import PoseStage
from stages.scene_motion import SceneMotionStage

Progress = Callable[[str], None]
STILL = ("static", "unsolved")
"""Camera statuses with which nothing on screen moves by the camera."""


@dataclass(frozen=True)
class DrivingClip:
    """Signals of consecutive frames between two cuts, with one camera solution.

    first: the clip's first frame on the video's timeline. body [L, I, 17, 3], face [L, I, 68, 3], hand [L, I, 21, 3]:
    keypoints in output pixels; with nobody found, no instance's points are there. cam_to_world: [L, 4, 4]; intrinsics:
    [L, 4] in output pixels. inverse_depth: float32 [R, h, w] of the clip's own reference frames, in the camera's unit.
    camera, motion: statuses of the stages camera and scene_motion. person: whether somebody was found. jpegs: the
    frames, for showing them beside the result; empty where that is not wanted.
    """

    first: int
    body: np.ndarray
    face: np.ndarray
    hand: np.ndarray
    cam_to_world: np.ndarray
    intrinsics: np.ndarray
    inverse_depth: np.ndarray
    camera: str
    motion: str
    person: bool
    jpegs: Sequence[bytes] = ()

    def __len__(self) -> int:
        return len(self.body)

    @property
    def moves(self) -> bool:
        """Whether the camera is known to move."""
        return self.camera not in STILL


@dataclass(frozen=True)
class Driving:
    """All clips of a driving video. size: (width, height) of the frames. frames: length of its timeline, on which frame
    n is shown at start_s + n / fps seconds.
    """

    clips: tuple[DrivingClip, ...]
    size: tuple[int, int]
    frames: int
    fps: float
    start_s: float

    def at(self, frame: int, step: int) -> tuple[DrivingClip, int] | None:
        """The clip that tells most about a frame, and the frame's place in it: one that also holds the frame `step`
        before where there is one (clips overlap by that much). None for a frame that no clip covers.
        """
        holding = [clip for clip in self.clips if clip.first <= frame < clip.first + len(clip)]
        if not holding:
            return None
        clip = next((c for c in holding if frame - step >= c.first), holding[-1])
        return clip, frame - clip.first


class DrivingReader:
    """Loads the stages' networks once; reads videos and pictures with them."""

    def __init__(self, config: DatasetConfig, *, size: tuple[int, int]) -> None:
        """size: (width, height) of the output, multiples of 8."""
        width, height = size
        decode = config.decode.model_copy(update={"size": max(size), "width": width, "height": height})
        self.config = config.model_copy(update={"decode": decode})
        self.size = size
        self.pose = PoseStage(config.pose)
        self.depth = DepthStage(config.depth)
        self._decode = DecodeStage(decode)
        self._camera = CameraStage(config.camera)
        self._scene_motion = SceneMotionStage(config.scene_motion)

    def read(
        self,
        video: Path,
        *,
        kind: Kind = "character",
        step: int = 1,
        frames: int | None = None,
        keep_frames: bool = False,
        camera_track: Path | None = None,
        progress: Progress | None = None,
    ) -> Driving:
        """Signals of a video. Clips are those of the dataset's settings, overlapping by `step` frames, so that the
        motion arriving at every frame but the first after a cut is known; the rest of a shot joins its last clip.

        frames: read the first so many at most. keep_frames: keep the pictures, in a temporary file. Raises StageError
        or ExtractionError.
        """
        say = progress or (lambda text: None)
        length = max(self.config.ingest.clip_frames, 2 * step + 2)
        ingest = self.config.ingest.model_copy(
            update={"overlap": step, "tail": "merge", "clip_frames": length, "min_frames": 2}
        )
        say("looking at the driving video")
        source_id = file_sha256(video)[:SOURCE_ID_LENGTH] if video.is_file() else "0" * SOURCE_ID_LENGTH
        table = IngestStage(ingest).run(source_id, str(video))
        source = _Source(source_id, kind, str(video), str(camera_track) if camera_track else None)
        clips = [_until(clip, frames) for clip in clips_of(table, source, ingest)]
        clips = [clip for clip in clips if clip.frame_count > 0]
        kept = KeptPictures() if keep_frames else None
        done = []
        for number, clip in enumerate(clips):
            say(f"pose, camera and depth: clip {number + 1} of {len(clips)} ({clip.frame_count} frames)")
            done.append(self._clip(clip, kept, say))
        total = max(clip.first_frame + clip.frame_count for clip in clips)
        rate = clips[0].fps[0] / clips[0].fps[1]
        return Driving(tuple(done), self.size, total, rate, clips[0].start_s)

    def _clip(self, clip: Clip, kept: KeptPictures | None, say: Progress) -> DrivingClip:
        tables: dict[str, pa.Table] = {}
        tables["decode"] = self._decode.run(clip, tables)
        tables["pose"] = self.pose.run(clip, tables)
        tables["camera"] = self._camera.run(clip, tables)
        for doubt in warnings(clip.kind, {"camera": read_header(tables["camera"]).quality}, self.config.gates):
            say(f"doubtful: {doubt}")
        tables["depth"] = self.depth.run(clip, tables)
        tables["scene_motion"] = self._scene_motion.run(clip, tables)
        pose, camera = PoseArtifact.from_table(tables["pose"]), CameraArtifact.from_table(tables["camera"])
        motion = SceneMotionArtifact.from_table(tables["scene_motion"])
        return DrivingClip(
            first=clip.first_frame,
            body=pose.body,
            face=pose.face,
            hand=pose.hand,
            cam_to_world=camera.cam_to_world,
            intrinsics=camera.intrinsics,
            inverse_depth=motion.inverse_depth.astype(np.float32),
            camera=camera.status,
            motion=read_header(tables["scene_motion"]).status,
            person=read_header(tables["pose"]).status == "ok",
            jpegs=kept.add(FramesArtifact.from_table(tables["decode"]).jpegs) if kept else (),
        )


def _until(clip: Clip, frames: int | None) -> Clip:
    """The part of a clip before frame `frames` of the video."""
    count = clip.frame_count if frames is None else min(clip.frame_count, frames - clip.first_frame)
    return clip if count == clip.frame_count else replace(clip, frame_count=max(0, count))


@dataclass(frozen=True)
class _Source:
    """A video outside any dataset, as `pipeline.ingest.clips.SourceLike`."""

    source_id: str
    kind: Kind
    path: str
    camera_track: str | None
    split: str = "test"
    focal: float | None = None
    camera_track_offset_s: float = 0.0
