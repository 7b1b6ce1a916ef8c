"""The camera stage: what it reads, what it writes, tracks before pictures, repeated frames."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from extractors.camera.vmd import VmdError
from extractors.geometry.rigid import rotation_angle, rotation_from_vector
from schemas.artifacts.camera import CameraArtifact, SparseDepth
from schemas.artifacts.frames import FramesArtifact
from schemas.artifacts.header import Header, read_header
from schemas.artifacts.pose import PoseArtifact
from schemas.clip import Clip
from schemas.ids import clip_id
from stages.base import StageError
from stages.camera import CameraConfig, CameraStage, rescaled, subset
from stages.jpeg import encode_jpeg
from tests.extractors.camera.test_backend import SIDE, turning
from tests.extractors.camera.test_vmd import key, motion_file

LENGTH = 16
TURN = np.linspace(0, 1, LENGTH)[:, None] * np.array([0, 0.25, 0])


def make_clip(**changes: object) -> Clip:
    base = Clip(
        clip_id=clip_id("0123456789abcdef", 0, LENGTH),
        source_id="0123456789abcdef",
        kind="character",
        split="train",
        first_frame=0,
        frame_count=LENGTH,
        fps=(30, 1),
        start_s=0.5,
        video="unused.mp4",
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def inputs(
    pictures: np.ndarray,
    repeated: np.ndarray,
    source: tuple[int, int] | None = (SIDE, SIDE),
    left: float | None = None,
) -> dict:
    """Decoded frames and an empty mask. The whole height of the source's picture fills the frame, from `left` on."""
    crop_width = SIDE if source is None else source[1]
    if left is None:
        left = 0 if source is None else (source[0] - source[1]) / 2
    frames = FramesArtifact(
        jpegs=tuple(encode_jpeg(picture) for picture in pictures),
        timestamps=0.5 + np.arange(len(pictures)) / 30,
        repeated=repeated,
        fps=30.0,
        size=(SIDE, SIDE),
        crop=(left, 0, crop_width, crop_width),
    )
    nobody = PoseArtifact(
        body=np.zeros((len(pictures), 0, 17, 3), np.float32),
        face=np.zeros((len(pictures), 0, 68, 3), np.float32),
        hand=np.zeros((len(pictures), 0, 21, 3), np.float32),
        mask=np.zeros((len(pictures), 16, 16), bool),
    )
    extra = {} if source is None else {"source_size": list(source)}
    return {
        "decode": frames.to_table(Header("decode", make_clip().clip_id, extra=extra)),
        "pose": nobody.to_table(Header("pose", make_clip().clip_id, "no_person")),
    }


def none(length: int = LENGTH) -> np.ndarray:
    return np.zeros(length, bool)


@pytest.fixture(scope="module")
def pan() -> np.ndarray:
    return turning(TURN, np.full(LENGTH, 280.0))


def test_pan_and_its_repeated_frames(pan: np.ndarray) -> None:
    rows = np.r_[0, 0, np.arange(1, LENGTH), LENGTH - 1]
    repeated = np.r_[False, rows[1:] == rows[:-1]]
    table = CameraStage(CameraConfig()).run(make_clip(), inputs(pan[rows], repeated))
    camera, header = CameraArtifact.from_table(table), read_header(table, "camera")
    assert header.status == camera.status == "rotation"
    assert header.quality["repeated_share"] == pytest.approx(2 / (LENGTH + 2))
    assert np.array_equal(camera.cam_to_world[0], camera.cam_to_world[1])
    assert np.array_equal(camera.cam_to_world[-1], camera.cam_to_world[-2])
    turned = np.swapaxes(camera.cam_to_world[:, :3, :3], 1, 2) @ rotation_from_vector(TURN[rows])
    assert np.degrees(rotation_angle(turned).max()) < 0.3


def test_manifest_focal_is_that_of_the_whole_source(pan: np.ndarray) -> None:
    clip = make_clip(focal=280 / SIDE * 9 / 16)
    table = CameraStage(CameraConfig()).run(clip, inputs(pan, none(), source=(1280, 720)))
    camera = CameraArtifact.from_table(table)
    assert camera.focal_source == "manifest"
    assert camera.intrinsics[:, 0] == pytest.approx(np.full(LENGTH, 280.0), rel=1e-3)


@pytest.mark.parametrize(
    ("vectors", "zoom"),
    [(TURN * np.array([0, 1.5, 0]), np.ones(LENGTH)), (np.zeros((LENGTH, 3)), np.linspace(1, 1.3, LENGTH))],
    ids=["pan", "zoom"],
)
def test_the_lens_looks_past_the_middle_of_a_window_at_the_edge(vectors: np.ndarray, zoom: np.ndarray) -> None:
    """The right half of a picture twice as wide as high: taken for a picture of its own, a turn bends and a zoom
    slides, which only a camera that travels would explain.
    """
    window = turning(vectors, 280 * zoom, principal=(-0.5, (SIDE - 1) / 2))
    given = inputs(window, none(), source=(2 * SIDE, SIDE), left=SIDE)
    camera = CameraArtifact.from_table(CameraStage(CameraConfig()).run(make_clip(focal=280 / SIDE / 2), given))
    assert camera.status == "rotation"
    assert camera.intrinsics[:, 2:] == pytest.approx(np.tile([-0.5, (SIDE - 1) / 2], (LENGTH, 1)))
    assert camera.intrinsics[:, 0] == pytest.approx(280 * zoom, rel=0.01)
    turned = np.swapaxes(camera.cam_to_world[:, :3, :3], 1, 2) @ rotation_from_vector(vectors)
    assert np.degrees(rotation_angle(turned).max()) < 0.3


def track_file(folder: Path, end: float) -> str:
    """A camera that turns about its own place to the right by `end` radians, 49.13 degrees of view (f = 280 px)."""
    path = folder / "clip.vmd"
    eye = {"distance": 0.0, "fov": 49}
    path.write_bytes(motion_file(key(0, **eye), key(LENGTH - 1, rotation=(0, end, 0), **eye)))
    return str(path)


def test_track_comes_before_the_picture(pan: np.ndarray, tmp_path: Path) -> None:
    found = {}
    for end in (-0.25, 0.25):
        clip = make_clip(camera_track=track_file(tmp_path, end))
        table = CameraStage(CameraConfig()).run(clip, inputs(pan, none()))
        camera, header = CameraArtifact.from_table(table), read_header(table, "camera")
        assert camera.focal_source == "track"
        assert camera.status == "rotation"
        turned = np.swapaxes(camera.cam_to_world[:, :3, :3], 1, 2) @ rotation_from_vector(TURN)
        found[np.degrees(rotation_angle(turned).max()) < 0.01] = header.quality["track_contradiction"]
    assert found[True] < 0.1
    assert found[False] > 0.8


@pytest.mark.parametrize(("offset_s", "least", "most"), [(0.0, 0.0, 0.1), (0.3, 0.6, 1.0), (-0.3, 0.6, 1.0)])
def test_a_track_taken_at_another_time_contradicts_the_picture(
    pan: np.ndarray, tmp_path: Path, offset_s: float, least: float, most: float
) -> None:
    """0.3 s are 9 of 16 frames, in which the track rests while the picture turns."""
    clip = make_clip(camera_track=track_file(tmp_path, -0.25), camera_track_offset_s=offset_s)
    table = CameraStage(CameraConfig()).run(clip, inputs(pan, none()))
    assert least <= read_header(table, "camera").quality["track_contradiction"] <= most


def test_track_can_be_left_out(pan: np.ndarray, tmp_path: Path) -> None:
    clip = make_clip(camera_track=track_file(tmp_path, 0.25))
    table = CameraStage(CameraConfig(use_camera_track=False)).run(clip, inputs(pan, none()))
    assert CameraArtifact.from_table(table).focal_source == "rotation"


def test_broken_inputs_say_what_to_do(pan: np.ndarray, tmp_path: Path) -> None:
    stage = CameraStage(CameraConfig())
    with pytest.raises(StageError, match=r"gone\.vmd: No such file"):
        stage.run(make_clip(camera_track=str(tmp_path / "gone.vmd")), inputs(pan, none()))
    (tmp_path / "bad.vmd").write_bytes(b"not a motion")
    with pytest.raises(VmdError, match=r"bad\.vmd"):
        stage.run(make_clip(camera_track=str(tmp_path / "bad.vmd")), inputs(pan, none()))
    with pytest.raises(StageError, match="decode again"):
        stage.run(make_clip(camera_track=track_file(tmp_path, 0.1)), inputs(pan, none(), source=None))
    other = inputs(pan[:4], none(4))["pose"]
    with pytest.raises(StageError, match="16 frames but 4 masks"):
        stage.run(make_clip(), inputs(pan, none()) | {"pose": other})


def test_pictures_of_another_size() -> None:
    points = SparseDepth(np.array([[-0.5, -0.5], [9.5, 4.5]], np.float32), np.array([1.0, 0.5], np.float32))
    small = CameraArtifact(
        "moving", np.eye(4)[None], np.array([[8.0, 8.0, 9.5, 4.5]]), (points,), focal_source="reconstruction"
    )
    large = rescaled(small, (20, 10), (60, 30))
    assert large.intrinsics[0] == pytest.approx([24, 24, 29.5, 14.5])
    assert large.sparse[0].xy == pytest.approx(np.array([[-0.5, -0.5], [29.5, 14.5]]))
    assert large.sparse[0].inverse_depth is points.inverse_depth
    assert len(subset(large, np.array([0, 0])).sparse) == 2
