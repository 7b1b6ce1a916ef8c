"""What the embedded backend reaches on drawn and real people with truth, and that it finds nobody where nobody is."""

import json

import cv2
import numpy as np
import pytest

from extractors.pose.mediapipe import MediaPipeConfig
from extractors.pose.mediapipe_files import pinned_digest
from schemas.cache import CACHE_VARIABLE
from tests.extractors.pose.truth import bones, pck, read_frames
from tests.paths import test_data

COCO = "keypoints/coco_mmpose"
SIGMAS = np.array([26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89]) / 1000
"""COCO's keypoint constants."""


@pytest.fixture(scope="module")
def dolly(extractor):
    """The MMD shot in which the whole figure is in view, every other frame."""
    return extractor(read_frames("mmd_shots/mmd_shots.mp4", 169)[::2], fps=15.0, seed=0)


def test_a_drawn_figure_is_read_right(dolly):
    truth = bones("mmd_shots/ground_truth.npz", 169)[::2]
    assert dolly.status == "ok"
    assert pck(dolly.pose.body[:, 0], truth, 512) > 0.8
    assert dolly.quality["person_frames"] == 1.0
    assert 0.4 < dolly.quality["keypoint_score"] < 1.0


def test_its_mask_holds_the_figure_and_little_else(dolly):
    with np.load(test_data("mmd_shots/inverse_depth_96.npz"), allow_pickle=False) as depth:
        difference = depth["mmd"][169::2].astype(float) - depth["bg"][169::2].astype(float)
    figure = np.abs(difference) > 1e-3
    mask = np.stack(
        [cv2.resize(m.astype(np.float32), (96, 96), interpolation=cv2.INTER_AREA) > 0.5 for m in dolly.pose.mask]
    )
    assert (mask & figure).sum() / figure.sum() > 0.8
    assert (mask & figure).sum() / mask.sum() > 0.65


def test_what_is_missing_is_nan_with_score_zero(dolly):
    for points in (dolly.pose.body, dolly.pose.face, dolly.pose.hand):
        gone = points[..., 2] == 0
        assert np.isnan(points[..., :2][gone]).all()
        assert np.isfinite(points[..., :2][~gone]).all()
        assert points.dtype == np.float32
    assert dolly.pose.hand.shape[1:] == (2, 21, 3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("video", "truth", "start", "stop", "least"),
    [
        ("mmd_shots.mp4", "ground_truth.npz", 0, 84, 0.9),
        ("mmd_shots.mp4", "ground_truth.npz", 84, 169, 0.4),
        ("mmd_shots.mp4", "ground_truth.npz", 169, 225, 0.85),
        ("truck_character_character.mp4", "truck_character.npz", 0, 85, 0.6),
    ],
)
def test_every_drawn_shot_with_a_figure(extractor, video, truth, start, stop, least):
    found = extractor(read_frames(f"mmd_shots/{video}", start, stop), fps=30.0, seed=0)
    assert pck(found.pose.body[:, 0], bones(f"mmd_shots/{truth}", start, stop), 512) > least


def nobody(extractor, frames):
    found = extractor(frames, fps=30.0, seed=0)
    assert found.status == "no_person", found.quality
    assert not found.pose.mask.any()
    assert np.isnan(found.pose.body[..., :2]).all()
    assert found.quality == {"persons": 0.0, "person_frames": 0.0}


CAMERA_ONLY = ("0bf152ef84195293", "0c11dbe781b1c11c", "0c9b371cc6225682", "0f47577ab3441480", "0f68374b76390082")


@pytest.mark.parametrize("name", [CAMERA_ONLY[1], CAMERA_ONLY[4]])
def test_nobody_is_found_where_nobody_is(extractor, name):
    nobody(extractor, read_frames(f"camera_only/{name}.mp4"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "video",
    [
        *(f"camera_only/{name}.mp4" for name in CAMERA_ONLY),
        "mmd_shots/mmd_shots_camera_only.mp4",
        "mmd_shots/truck_character_camera.mp4",
        "mmd_shots/orbit_background_camera.mp4",
    ],
)
def test_nobody_is_found_in_any_camera_only_video(extractor, video):
    nobody(extractor, read_frames(video))


@pytest.mark.parametrize("name", ["000000000785.jpg", "000000197388.jpg"])
def test_people_in_photographs(extractor, name):
    """Object keypoint similarity with the annotated person who is nearest."""
    truth = json.loads(test_data(f"{COCO}/test_coco.json").read_text())
    picture = next(image["id"] for image in truth["images"] if image["file_name"] == name)
    image = cv2.imread(str(test_data(f"{COCO}/{name}")))[..., ::-1]
    body = extractor(image[None].copy(), fps=1.0, seed=0).pose.body[0, 0]
    similarity = []
    for person in (a for a in truth["annotations"] if a["image_id"] == picture and a["num_keypoints"]):
        points = np.array(person["keypoints"], float).reshape(17, 3)
        square = ((body[:, :2] - points[:, :2]) ** 2).sum(-1) / (2 * person["area"] * (2 * SIGMAS) ** 2)
        similarity.append(np.where(np.isfinite(square), np.exp(-square), 0)[points[:, 2] > 0].mean())
    assert max(similarity) > 0.7


def test_face_points_of_a_photograph(extractor):
    """Mean error over the distance of the outer eye corners (15 px in this picture) with COCO-WholeBody's truth."""
    truth = json.loads(test_data(f"{COCO}/test_coco_wholebody.json").read_text())
    image = cv2.imread(str(test_data(f"{COCO}/000000040083.jpg")))[..., ::-1]
    people = [a for a in truth["annotations"] if a["image_id"] == 40083 and a["face_valid"]]
    face = extractor(image[None].copy(), fps=1.0, seed=0).pose.face[0, 0]
    errors = []
    for person in people:
        points = np.array(person["face_kpts"], float).reshape(68, 3)[:, :2]
        errors.append(np.linalg.norm(face[:, :2] - points, axis=1).mean() / np.linalg.norm(points[36] - points[45]))
    assert min(errors) < 0.12


def test_same_frames_same_answer(extractor):
    frames = read_frames("dance/walking_16fps_1280x720.mp4", 0, 6)
    first, second = (extractor(frames, fps=16.0, seed=seed) for seed in (0, 1))
    for name in ("body", "face", "hand", "mask"):
        assert getattr(first.pose, name).tobytes() == getattr(second.pose, name).tobytes()
    assert first.quality == second.quality
    assert first.quality["face_frames"] == 1.0
    assert first.quality["hand_frames"] > 0.5


def test_planning_needs_no_files(monkeypatch, tmp_path):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    assert MediaPipeConfig().weights_digest() == pinned_digest()
    assert not list(tmp_path.iterdir())
