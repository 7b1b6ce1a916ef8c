"""`build` on the real MMD shots with the reference backends (true classes, random weights): shards as of the real ones.

The code of X-Pose and DROID-SLAM is used where MIKUDANCE_XPOSE_SOURCE and MIKUDANCE_DROID_SOURCE name checkouts; in
their place stand the 133-point network RTMW, and cameras in ViPE's layout.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import webdataset

from extractors.weights.store import WeightsError
from pipeline.config import DatasetConfig
from pipeline.config_file import validate
from pipeline.dataset import Dataset
from pipeline.demo.videos import write_video
from schemas.sample import KEYPOINTS, check_sample
from tests.extractors.camera.test_droid_upstream import save_random_checkpoint
from tests.extractors.pose.test_rtmw import save_detector, save_pose
from tests.extractors.pose.test_xpose_text import Tower
from tests.extractors.style import tiny_sdxl
from tests.paths import test_data
from tests.pipeline.small import SETTINGS, build

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.usefixtures("ray_cluster"), pytest.mark.timeout(3600)]
FRAMES, SIZE = 8, 256
SHOTS = {
    "mmd_shots.mp4": "ground_truth.npz",
    "orbit_background_character.mp4": "orbit_background.npz",
    "truck_character_character.mp4": "truck_character.npz",
}
"""Videos by the file of their true cameras."""


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first frames of every shot."""
    folder = tmp_path_factory.mktemp("videos")
    for name in SHOTS:
        video = cv2.VideoCapture(str(test_data(f"mmd_shots/{name}")))
        write_video(folder / name, np.stack([video.read()[1][..., ::-1] for _ in range(FRAMES)]))
    return folder


@pytest.fixture(scope="module")
def vipe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The true cameras as ViPE writes them; the template that finds them."""
    folder = tmp_path_factory.mktemp("vipe")
    for name, truth in SHOTS.items():
        with np.load(test_data(f"mmd_shots/{truth}")) as file:
            poses, K = file["c2w"][:FRAMES], file["K"][:FRAMES]
        packed = np.stack([K[:, 0, 0], K[:, 1, 1], K[:, 0, 2], K[:, 1, 2]], -1)
        for kind, data in (("pose", poses), ("intrinsics", packed)):
            path = folder / Path(name).stem / kind / f"{Path(name).stem}.npz"
            path.parent.mkdir(parents=True)
            np.savez(path, data=data, inds=np.arange(FRAMES))
    return str(folder / "{stem}")


@pytest.fixture(scope="module")
def pose_backend(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("pose")
    source = os.environ.get("MIKUDANCE_XPOSE_SOURCE")
    if not source:
        save_pose(folder / "pose.onnx")
        save_detector(folder / "detector.onnx", [[200, 100, 440, 560, 0.9]])
        return {"backend": "rtmw", "folder": str(folder)}
    from extractors.pose.xpose_upstream import build_network

    torch.manual_seed(0)
    state = build_network(Path(source)).state_dict()
    tower = Tower(190)
    tower.text_projection = torch.nn.Parameter(torch.randn(128, 512))
    state |= {f"clip_model.{name}": value for name, value in tower.state_dict().items()}
    torch.save({"model": {f"module.{name}": value for name, value in state.items()}}, folder / "random.pth")
    tiny_sdxl.save_tokenizer(folder / "tokenizer")
    return {
        "backend": "xpose", "accept_non_commercial_licence": True, "source": source, "short_side": 256,
        "checkpoint": str(folder / "random.pth"), "tokenizer": str(folder / "tokenizer"), "batch_size": 1,
    }  # fmt: skip


@pytest.fixture(scope="module")
def camera_backend(tmp_path_factory: pytest.TempPathFactory, vipe: str) -> dict[str, Any]:
    source = os.environ.get("MIKUDANCE_DROID_SOURCE")
    if not source:
        return {"backend": "imported", "format": "vipe", "template": vipe}
    checkpoint = tmp_path_factory.mktemp("camera") / "random.pth"
    save_random_checkpoint(Path(source), checkpoint)
    return {
        "backend": "droid", "device": "cpu", "source": source, "checkpoint": str(checkpoint), "pixels": 128 * 128,
        "filter_thresh": 1e-6, "keyframe_thresh": 1e-6, "warmup": 6, "retries": 0,
    }  # fmt: skip


@pytest.fixture(scope="module")
def settings(
    tmp_path_factory: pytest.TempPathFactory, pose_backend: dict[str, Any], camera_backend: dict[str, Any]
) -> dict[str, Any]:
    checkpoint, controlnet, depth = map(str, tiny_sdxl.save(tmp_path_factory.mktemp("networks")))
    network = {"backend": "depth-anything", "folder": depth}
    return {
        **SETTINGS,
        "decode": {"size": SIZE},
        "ingest": {"clip_frames": FRAMES, "min_frames": FRAMES},
        "gates": {"refuse_status": {}, "refuse_status_character": {}},  # random weights find no one
        "pose": {"backend": pose_backend},
        "camera": {"backend": camera_backend},
        "depth": {"backend": network},
        "stylize": {
            "backend": {
                "backend": "sdxl", "checkpoint": checkpoint, "controlnet": controlnet, "depth": network, "steps": 2,
                "precision": "float32", "device": "cpu", "max_pixels": SIZE * SIZE // 2,
            }
        },
    }  # fmt: skip


def config_of(settings: dict[str, Any]) -> DatasetConfig:
    return validate(DatasetConfig, settings, "the test's settings")


@pytest.fixture(scope="module")
def dataset(
    tmp_path_factory: pytest.TempPathFactory, videos: Path, settings: dict[str, Any], ray_cluster: None
) -> Path:
    root = tmp_path_factory.mktemp("home") / "dataset"
    summary = build(root, sorted(videos.iterdir()), config=config_of(settings))
    assert summary.failed.total() == summary.left == 0
    return root


@pytest.fixture(scope="module")
def embedded(
    tmp_path_factory: pytest.TempPathFactory, videos: Path, settings: dict[str, Any], ray_cluster: None
) -> Path:
    """The same shots with the embedded backends: the real ones."""
    root = tmp_path_factory.mktemp("home") / "embedded"
    kept = {name: settings[name] for name in ("run", "decode", "ingest", "gates")}
    build(root, sorted(videos.iterdir()), config=config_of(kept))
    return root


def samples(root: Path) -> list[dict[str, Any]]:
    """Members of every sample, as a stock reader decodes them."""
    release = Dataset.open(str(root)).newest_release()
    assert release is not None
    paths = [str(root / entry.path) for entry in release.shards]
    found = webdataset.WebDataset(paths, shardshuffle=False, empty_check=False).decode("rgb")
    return [{name: value for name, value in sample.items() if not name.startswith("__")} for sample in found]


def test_shards_are_shaped_as_those_of_the_embedded_backends(dataset: Path, embedded: Path) -> None:
    ours, theirs = samples(dataset), samples(embedded)
    assert len(ours) == len(theirs) == len(SHOTS)
    for mine, other in zip(ours, theirs, strict=True):
        meta, embedded_meta = check_sample(mine), check_sample(other)  # dtypes, shapes, finite values
        assert set(mine) == set(other)
        assert (meta.clip_id, meta.references, meta.size) == (
            embedded_meta.clip_id, embedded_meta.references, embedded_meta.size,
        )  # fmt: skip
        for name in (name for name in mine if name.endswith(".npy")):
            assert (mine[name].dtype, mine[name].shape) == (other[name].dtype, other[name].shape), name
        assert (mine["inverse_depth.npy"] >= 0).all()
        assert set(np.unique(mine["scene_motion_valid.npy"])) <= {0, 1}
        for points in KEYPOINTS:
            scores = mine[points][..., 2]
            assert ((scores >= 0) & (scores <= 1)).all()


def test_provenance_names_backends_and_digests(
    dataset: Path, pose_backend: dict[str, Any], camera_backend: dict[str, Any]
) -> None:
    rows = {row["key"]: row for row in Dataset.open(str(dataset)).catalog.rows("artifacts")}
    for sample in samples(dataset):
        made = {stage: rows[key] for stage, key in check_sample(sample).artifacts.items()}
        made["depth"] = rows[json.loads(made["scene_motion"]["inputs"])["depth"]]
        backends = {stage: made[stage]["backend"] for stage in ("pose", "camera", "depth", "stylize")}
        assert backends == {
            "pose": pose_backend["backend"], "camera": camera_backend["backend"], "depth": "depth-anything",
            "stylize": "sdxl",
        }  # fmt: skip
        assert all(len(made[stage]["weights_digest"]) >= 16 for stage in ("pose", "depth", "stylize"))
        assert json.loads(made["stylize"]["params"])["backend"]["steps"] == 2


def test_swapping_a_backend_renews_its_stage_and_dependants_only(
    dataset: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    root = Path(shutil.copytree(dataset, tmp_path / "dataset"))
    clips = len(SHOTS)
    for stage, backend, dependants in (
        ("stylize", "opencv", set()),
        ("depth", "reconstruction", {"scene_motion"}),
        ("camera", "sfm", {"depth", "scene_motion"}),
    ):
        settings = {**settings, stage: {"backend": {"backend": backend}}}
        summary = build(root, [], config=config_of(settings))
        assert summary.made == {**dict.fromkeys({stage, *dependants}, clips), "pack": summary.made["pack"]}


@pytest.mark.skipif(torch.cuda.is_available(), reason="DROID-SLAM could run here")
def test_droid_without_cuda_stops_its_stage_and_fails_no_clip(
    dataset: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    root = Path(shutil.copytree(dataset, tmp_path / "dataset"))
    backend = {"backend": "droid", "source": str(tmp_path), "checkpoint": str(tmp_path / "droid.pth")}
    config = config_of({**settings, "camera": {"backend": backend}})
    with pytest.raises(WeightsError, match=r"camera: the backend droid .*droid\.pth.*CUDA"):
        build(root, [], config=config)
    (tmp_path / "droid.pth").touch()  # the digest is known: the stage is planned, and its workers say why they stop
    summary = build(root, [], config=config)
    assert "CUDA" in summary.broken["camera"]
    assert summary.failed.total() == summary.quarantined.total() == 0
    assert summary.left >= len(SHOTS)
