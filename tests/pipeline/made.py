"""Datasets of an exactly known world, made in this process without Ray or networks: for tests that look at datasets.

A clip films a tilted textured wall, z = 4 + x/2 in the first camera's axes, with a camera that slides sideways and
forward. Frames are rendered by intersecting each pixel's ray with the wall, so cameras, depth and points are exact.
Registration, planning, scene motion, stylising, packing and publishing are the project's own.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from rich.console import Console

from pipeline.config import DatasetConfig
from pipeline.dataset import Dataset
from pipeline.executor.loop import StageRun
from pipeline.executor.worker import ItemDone, ItemFailed, Worker
from pipeline.ingest.sources import SourceFile, discover
from pipeline.progress import ProgressView
from pipeline.run import Run, RunOptions, RunSummary
from pipeline.sources import known_files
from pipeline.storage import Storage
from pipeline.work import SourceWork, WorkItem, artifact_path
from schemas.artifacts.camera import CameraArtifact, SparseDepth
from schemas.artifacts.depth import DepthArtifact
from schemas.artifacts.frames import FramesArtifact
from schemas.artifacts.header import Header
from schemas.artifacts.ingest import IngestArtifact, Shot
from schemas.artifacts.pose import PoseArtifact
from schemas.clip import Clip
from schemas.ids import reference_indices
from stages.jpeg import encode_jpeg
from stages.video.original import check_original
from tests.pipeline.small import small_config

SIZE, FRAMES, FOCAL = 96, 30, 110.0


@dataclass(frozen=True)
class Video:
    """One source. texture: seed of the wall; two videos with one texture show the same. quality: of its JPEGs."""

    texture: int
    quality: int = 95
    speed: float = 0.05


def write_video(folder: Path, name: str, video: Video) -> Path:
    """A file that stands for a video; its bytes name what it shows."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.mp4"
    path.write_bytes(f"{video.texture} {video.quality} {video.speed} {name}".encode())
    return path


def cameras(speed: float) -> np.ndarray:
    """cam_to_world float64 [FRAMES, 4, 4]."""
    poses = np.tile(np.eye(4), (FRAMES, 1, 1))
    poses[:, 0, 3] = speed * np.arange(FRAMES)
    poses[:, 2, 3] = 0.5 * speed * np.arange(FRAMES)
    return poses


def wall_depth(pose: np.ndarray, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(z, world points) [..., ] and [..., 3] where the rays of pixels [..., 2] hit the wall z = 4 + x / 2."""
    centre = (SIZE - 1) / 2
    rays = np.concatenate([(pixels - centre) / FOCAL, np.ones((*pixels.shape[:-1], 1))], -1)
    at = pose[:3, 3]
    z = (4 + at[0] / 2 - at[2]) / (1 - rays[..., 0] / 2)
    return z, at + rays * z[..., None]


def frame(pose: np.ndarray, texture: int) -> np.ndarray:
    """uint8 RGB [SIZE, SIZE, 3]."""
    pixels = np.stack(np.meshgrid(np.arange(SIZE), np.arange(SIZE)), -1).astype(float)
    _, points = wall_depth(pose, pixels)
    rng = np.random.default_rng(texture)
    image = np.zeros((SIZE, SIZE, 3))
    for _ in range(24):
        wave, phase, colour = rng.normal(0, 5, 2), rng.uniform(0, 6.3), rng.uniform(-1, 1, 3)
        image += np.sin(points[..., :1] * wave[0] + points[..., 1:2] * wave[1] + phase) * colour
    return (128 + 28 * image).clip(0, 255).astype(np.uint8)


class TruthJob:
    """A worker's job: each artifact from the exact world; cameras of a clip with a camera track by the stage itself."""

    def __init__(self, storage: Storage, run: StageRun) -> None:
        self._storage = storage
        self._own = run

    def run(self, item: WorkItem) -> pa.Table:
        if isinstance(item.payload, SourceWork):
            check_original(item.payload.video, item.source_id, item.payload.video_stat)
        if item.stage == "ingest":
            return IngestArtifact((Shot(0, FRAMES),), (30, 1), 0.0).to_table(Header("ingest", item.item_id))
        clip = item.payload
        if item.stage in ("scene_motion", "stylize", "pack") or (
            item.stage == "camera" and isinstance(clip, Clip) and clip.camera_track is not None
        ):
            return self._own.make_job(self._storage).run(item)
        assert isinstance(clip, Clip)
        check_original(clip.video, clip.source_id, clip.video_stat)
        texture, quality, speed, _ = Path(clip.video).read_text().split()
        poses = cameras(float(speed))
        header = Header(item.stage, clip.clip_id)
        if item.stage == "decode":
            jpegs = tuple(encode_jpeg(frame(pose, int(texture)), int(quality)) for pose in poses)
            times, repeated = np.arange(FRAMES) / 30, np.zeros(FRAMES, bool)
            crop = (0.0, 0.0, float(SIZE), float(SIZE))
            frames = FramesArtifact(jpegs, times, repeated, 30.0, (SIZE, SIZE), crop)
            return frames.to_table(Header("decode", clip.clip_id, extra={"source_size": [SIZE, SIZE]}))
        if item.stage == "pose":
            return pose_artifact().to_table(header)
        if item.stage == "camera":
            return camera_artifact(poses).to_table(
                Header("camera", clip.clip_id, quality={"reprojection_error_px": 0.0})
            )
        references = reference_indices(clip.clip_id, FRAMES)
        near = np.stack([1 / wall_depth(poses[i], grid(SIZE // 2))[0] for i in references]).astype(np.float32)
        return DepthArtifact(references, near, np.zeros(near.shape, bool), "camera").to_table(header)


def grid(cells: int) -> np.ndarray:
    """Frame pixels of the centres of cells × cells, [cells, cells, 2]."""
    line = (np.arange(cells) + 0.5) * SIZE / cells - 0.5
    return np.stack(np.meshgrid(line, line), -1)


def pose_artifact() -> PoseArtifact:
    """A body that stands in the frame; its mask covers nothing, so that the whole wall is background."""
    body = np.full((FRAMES, 1, 17, 3), 0.9, np.float32)
    body[..., :2] = np.random.default_rng(0).uniform(10, SIZE - 10, (1, 1, 17, 2))
    face, hand = np.zeros((FRAMES, 0, 68, 3), np.float32), np.zeros((FRAMES, 0, 21, 3), np.float32)
    return PoseArtifact(body, face, hand, np.zeros((FRAMES, 24, 24), bool))


def camera_artifact(poses: np.ndarray) -> CameraArtifact:
    """Cameras with exact points on the wall."""
    pixels = grid(6).reshape(-1, 2)
    sparse = tuple(
        SparseDepth(pixels.astype(np.float32), (1 / wall_depth(p, pixels)[0]).astype(np.float32)) for p in poses
    )
    centre = (SIZE - 1) / 2
    lens = np.tile([FOCAL, FOCAL, centre, centre], (len(poses), 1))
    return CameraArtifact("moving", poses, lens, sparse, "imported")


class InProcess(Run):
    """A run whose items are worked on here, by the real worker, one after another."""

    def _execute(self, items: Sequence[WorkItem], stages: dict[str, StageRun]) -> None:
        if items and not self._recorded_start:
            self._record_run("started")
            self._recorded_start = True
        for item in items:
            stage = stages[item.stage]
            worker = Worker(root=self.dataset.root, make_job=lambda storage, stage=stage: TruthJob(storage, stage))
            worker.start()
            outcome = worker.run(item)
            self._take_in(item, outcome)
        self._recorder.flush()

    def _take_in(self, item: WorkItem, outcome: ItemDone | ItemFailed) -> None:
        assert isinstance(outcome, ItemDone), outcome
        self._recorder.done(item, outcome)


def made_config(**changes: object) -> DatasetConfig:
    """The configuration of made datasets."""
    return small_config(**({"decode": {"size": SIZE}, "ingest": {"clip_frames": FRAMES}} | changes))


def make(
    root: Path,
    files: Sequence[Path],
    *,
    splits: Sequence[str] = (),
    kinds: Sequence[str] = (),
    shown: io.StringIO | None = None,
) -> RunSummary:
    """Builds (or continues) a dataset of some videos. splits, kinds: of each file; else as the project chooses. shown:
    takes what the run prints.
    """
    dataset = Dataset.create_or_open(str(root), None if (root / "config.yaml").exists() else made_config())
    with ProgressView(Console(file=shown or io.StringIO(), width=1000)) as view:
        run = InProcess(dataset, view, RunOptions())
        known = known_files(run.state.sources)
        found: list[SourceFile] = []
        for number, file in enumerate(files):
            kind = kinds[number] if kinds else "character"
            (source,) = discover([str(file)], kind=kind, config=dataset.config.ingest, known=known)  # type: ignore[arg-type]
            split = splits[number] if splits else "train"
            found.append(source.__class__(**{**vars(source), "split": split}))
        return run.build(found)


def artifact_file(root: Path, stage: str, key: str) -> Path:
    """The file of an artifact."""
    return root / artifact_path(stage, key)
