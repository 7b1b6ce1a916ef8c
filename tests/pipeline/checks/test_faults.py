"""Faults planted into a dataset that is exactly right: each is found, by the check it belongs to, and named."""

import io
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.checks.run import measure_clips, run_checks
from pipeline.checks.snapshot import Snapshot, read_snapshot
from pipeline.checks.verdict import CheckLimits, CheckResult
from pipeline.dataset import Dataset
from pipeline.storage import Storage
from pipeline.work import artifact_path
from schemas.artifacts.camera import CameraArtifact
from schemas.artifacts.header import read_header
from stages.scene_motion import SceneMotionStage
from tests.pipeline.made import Video, make, write_video


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three training videos, one for validation and one for testing; both kinds in training, in two shards."""
    folder = tmp_path_factory.mktemp("sound")
    files = [write_video(folder / "videos", f"v{i}", Video(texture=i)) for i in range(5)]
    splits = ("train", "train", "train", "val", "test")
    make(folder / "dataset", files, splits=splits, kinds=("character",) * 2 + ("camera",) + ("character",) * 2)
    return folder


@pytest.fixture
def dataset(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "copy")) / "dataset"


LIMITS = CheckLimits(least_kind_share=0.0)  # the small splits hold one kind each


def checked(root: Path) -> tuple[Snapshot, dict[str, CheckResult]]:
    snapshot = read_snapshot(Dataset.open(str(root)))
    measured, broken = measure_clips(snapshot, list(snapshot.clips), workers=1)
    snapshot = replace(snapshot, measured=measured)
    return snapshot, {result.name: result for result in run_checks(snapshot, LIMITS, files=True, unreadable=broken)}


def failing(results: dict[str, CheckResult]) -> set[str]:
    return {name for name, result in results.items() if result.verdict == "failed"}


def test_a_sound_dataset_passes_every_check(dataset: Path) -> None:
    _, results = checked(dataset)
    assert failing(results) == set()
    assert {name for name, result in results.items() if result.verdict != "passed"} == set()
    assert results["warp"].checked == 5


def test_measurements_are_kept_and_not_made_twice(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = checked(dataset)
    monkeypatch.setattr("pipeline.checks.run.measure", lambda *_: pytest.fail("measured again"))
    second, _ = checked(dataset)
    assert second.measured == first.measured


def test_a_corrupted_artifact_is_named_with_its_clip(dataset: Path) -> None:
    snapshot = read_snapshot(Dataset.open(str(dataset)))
    clip = next(iter(snapshot.clips))
    path = artifact_path("pose", snapshot.keys[clip]["pose"])
    data = bytearray((dataset / path).read_bytes())
    data[len(data) // 2] ^= 0xFF
    (dataset / path).write_bytes(bytes(data))
    _, results = checked(dataset)
    (finding,) = results["artifacts"].findings
    assert finding.subject == path
    assert "sha256 differs" in finding.message
    assert clip in finding.message


def test_a_swapped_shard_is_named_with_what_it_holds(dataset: Path) -> None:
    first, second = sorted((dataset / "shards").glob("train-*.tar"))
    a, b = first.read_bytes(), second.read_bytes()
    first.write_bytes(b)
    second.write_bytes(a)
    _, results = checked(dataset)
    found = {finding.subject: finding.message for finding in results["shards"].findings}
    assert f"swapped: it holds the content of shards/{second.name}" in found[f"shards/{first.name}"]
    assert f"swapped: it holds the content of shards/{first.name}" in found[f"shards/{second.name}"]
    assert failing(results) == {"shards"}


@pytest.mark.parametrize(("step", "words"), [(1, "member after it"), (-1, "member before it")])
def test_an_index_off_by_one_is_named(dataset: Path, step: int, words: str) -> None:
    path = next((dataset / "shards").glob("train-*.index.parquet"))
    table = pq.read_table(path)
    for name in ("offset", "size"):
        moved = np.roll(table.column(name).to_numpy(), -step)
        table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), pa.array(moved))
    pq.write_table(table, path)
    _, results = checked(dataset)
    texts = [f.message for f in results["shards"].findings if f.subject == f"shards/{path.name}"]
    assert any(f"off by one: each row has the offset of the {words}" in text for text in texts)


@pytest.mark.parametrize("quality", [95, 40])
def test_a_near_duplicate_across_splits_is_named_as_a_pair(dataset: Path, quality: int) -> None:
    copy = write_video(dataset.parent / "videos", f"again{quality}", Video(texture=0, quality=quality))
    make(dataset, [copy], splits=["test"])
    snapshot, results = checked(dataset)
    original = next(clip.clip_id for clip in snapshot.clips.values() if clip.video.endswith("v0.mp4"))
    doubled = next(clip.clip_id for clip in snapshot.clips.values() if "again" in clip.video)
    (finding,) = results["near_duplicates"].findings
    assert {finding.subject, finding.message.split()[2].rstrip(":")} == {original, doubled}
    assert failing(results) == {"near_duplicates"}


def change_cameras(root: Path, change: Callable[[np.ndarray], np.ndarray], *, consistent: bool) -> str:
    """Writes other cameras for the first clip. consistent: scene motion is made again from them."""
    dataset = Dataset.open(str(root))
    snapshot = read_snapshot(dataset)
    clip = next(iter(snapshot.clips))
    keys, storage = snapshot.keys[clip], Storage(str(root))
    table = storage.read_table(artifact_path("camera", keys["camera"]))
    camera = CameraArtifact.from_table(table)
    wrong = replace(camera, cam_to_world=change(camera.cam_to_world.copy())).to_table(read_header(table))
    storage.write_table(artifact_path("camera", keys["camera"]), wrong)
    if consistent:
        inputs = {s: storage.read_table(artifact_path(s, keys[s])) for s in ("decode", "pose", "camera", "depth")}
        made = SceneMotionStage(dataset.config.scene_motion).run(snapshot.clips[clip], inputs)
        storage.write_table(artifact_path("scene_motion", keys["scene_motion"]), made)
    return clip


def backwards(poses: np.ndarray) -> np.ndarray:
    poses[:, :3, 3] *= -1
    return poses


def jumping(poses: np.ndarray) -> np.ndarray:
    poses[FAR:, 0, 3] += 1.0
    return poses


FAR = 15  # away from both references, where the warp check does not look


def test_wrong_cameras_are_found_by_the_warp(dataset: Path) -> None:
    clip = change_cameras(dataset, backwards, consistent=True)
    _, results = checked(dataset)
    (finding,) = results["warp"].findings
    assert finding.subject == clip
    assert "do not explain the picture" in finding.message
    assert finding.value is not None
    assert finding.value > 1.0  # the warp makes it worse


def test_a_jump_between_two_cameras_is_found_by_smoothness(dataset: Path) -> None:
    clip = change_cameras(dataset, jumping, consistent=True)
    _, results = checked(dataset)
    assert [f.subject for f in results["camera"].findings] == [clip]
    assert "jumps" in results["camera"].findings[0].message


def test_scene_motion_of_other_cameras_is_found(dataset: Path) -> None:
    clip = change_cameras(dataset, backwards, consistent=False)
    _, results = checked(dataset)
    assert [f.subject for f in results["motion"].findings] == [clip]


def test_an_unreadable_clip_is_a_finding_and_not_a_crash(dataset: Path) -> None:
    snapshot = read_snapshot(Dataset.open(str(dataset)))
    clip = next(iter(snapshot.clips))
    (dataset / artifact_path("decode", snapshot.keys[clip]["decode"])).write_bytes(b"not parquet")
    _, results = checked(dataset)
    assert [f.subject for f in results["readable"].findings] == [clip]


def test_samples_of_other_settings_are_stale(dataset: Path) -> None:
    opened = Dataset.open(str(dataset))
    motion = opened.config.scene_motion.model_copy(update={"frame_step": 1, "window": 20})
    Dataset.create_or_open(str(dataset), opened.config.model_copy(update={"scene_motion": motion}))
    snapshot, results = checked(dataset)
    assert {f.subject for f in results["stale"].findings} == set(snapshot.clips)
    assert "to be made: scene_motion" in results["stale"].findings[0].message
    assert failing(results) == {"stale"}


def test_keypoints_outside_the_frame_are_found() -> None:
    from pipeline.checks.measure import keypoint_figures
    from tests.pipeline.made import SIZE, pose_artifact

    pose = pose_artifact()
    assert keypoint_figures(pose, (SIZE, SIZE)) == {"keypoints_in_frame": 1.0}
    pose.body[:, :, :8, 0] += SIZE
    share = keypoint_figures(pose, (SIZE, SIZE))["keypoints_in_frame"]
    assert share == pytest.approx(9 / 17)


def test_depth_that_says_the_opposite_of_the_points_is_found(dataset: Path) -> None:
    from pipeline.checks.measure import depth_figures
    from schemas.artifacts.scene_motion import SceneMotionArtifact

    snapshot = read_snapshot(Dataset.open(str(dataset)))
    keys, storage = snapshot.keys[next(iter(snapshot.clips))], Storage(str(dataset))
    camera = CameraArtifact.from_table(storage.read_table(artifact_path("camera", keys["camera"])))
    motion = SceneMotionArtifact.from_table(storage.read_table(artifact_path("scene_motion", keys["scene_motion"])))
    assert depth_figures(camera, motion, (96, 96))["depth_rank"] > 0.99
    turned = replace(motion, inverse_depth=motion.inverse_depth[:, :, ::-1])
    assert depth_figures(camera, turned, (96, 96))["depth_rank"] < -0.9


def test_report_is_json_with_a_verdict_for_every_check(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import json

    from typer.testing import CliRunner

    from pipeline.cli.common import Exit
    from pipeline.cli.main import app

    target = dataset.parent / "report.json"
    limits = dataset.parent / "limits.yaml"
    limits.write_text("least_kind_share: 0\n")
    arguments = ["check", "-d", str(dataset), "--workers", "1", "--json", str(target), "--limits", str(limits)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == Exit.OK, result.output
    assert json.loads(target.read_text())["verdict"] == "passed"
    next((dataset / "shards").glob("*.index.parquet")).write_bytes(io.BytesIO(b"x").getvalue())
    assert CliRunner().invoke(app, arguments).exit_code == Exit.DAMAGED
    report = json.loads(target.read_text())
    assert report["verdict"] == "failed"
    assert {c["name"] for c in report["checks"] if c["verdict"] == "failed"} == {"shards"}
