"""The whole backend on pictures: rendered turns, and real MMD shots against their true cameras."""

import cv2
import numpy as np
import pytest

from extractors.camera.backend import SfmCameraConfig
from extractors.geometry.rigid import relative_to_first, rotation_angle, rotation_from_vector
from extractors.geometry.trajectory import absolute_trajectory_error, path_length
from extractors.protocols import CameraResult, ExtractionError
from tests.extractors.camera.test_tracks import texture
from tests.paths import test_data

SIDE = 256


def extract(frames: np.ndarray, mask: np.ndarray | None = None, focal: float | None = None) -> CameraResult:
    mask = np.zeros((len(frames), 8, 8), bool) if mask is None else mask
    return SfmCameraConfig().build()(frames, mask, fps=30.0, focal=focal, seed=0)


def turning(
    vectors: np.ndarray, focal: np.ndarray, principal: tuple[float, float] = ((SIDE - 1) / 2, (SIDE - 1) / 2)
) -> np.ndarray:
    """Frames of a camera that turns by rotation vectors [L, 3] (cam_to_world) inside a painted sky. principal: where
    the lens's axis meets the frames, pixels.
    """
    sky = texture(1200)
    centre = np.array([[1, 0, principal[0]], [0, 1, principal[1]], [0, 0, 1]])
    middle = np.array([[1, 0, 599.5], [0, 1, 599.5], [0, 0, 1.0]])
    frames = []
    for rotation, f in zip(rotation_from_vector(vectors), focal, strict=True):
        to_frame = centre @ np.diag([f, f, 1]) @ rotation.T @ np.diag([1 / 300, 1 / 300, 1]) @ np.linalg.inv(middle)
        frames.append(cv2.warpPerspective(sky, to_frame, (SIDE, SIDE), flags=cv2.INTER_AREA))
    return np.stack(frames)


def noisy(frames: np.ndarray) -> np.ndarray:
    """As a camera and a codec would give them."""
    rng = np.random.default_rng(0)
    made = np.clip(frames + rng.normal(0, 2, frames.shape), 0, 255).astype(np.uint8)
    return np.stack([cv2.imdecode(cv2.imencode(".jpg", f, [cv2.IMWRITE_JPEG_QUALITY, 90])[1], 1) for f in made])


def test_still_camera_is_exactly_still() -> None:
    found = extract(noisy(np.repeat(texture(SIDE)[None], 20, axis=0)))
    camera = found.camera
    assert camera.status == "static"
    assert np.array_equal(camera.cam_to_world, np.tile(np.eye(4), (20, 1, 1)))
    assert np.ptp(camera.intrinsics, axis=0).max() == 0
    assert camera.focal_source == "assumed"


def test_pan_with_roll_has_no_translation() -> None:
    vectors = np.linspace(0, 1, 30)[:, None] * np.array([0.1, 0.45, 0.1])
    found = extract(noisy(turning(vectors, np.full(30, 280.0))))
    camera = found.camera
    assert camera.status == "rotation"
    assert np.array_equal(camera.cam_to_world[:, :3, 3], np.zeros((30, 3)))
    turned = np.swapaxes(camera.cam_to_world[:, :3, :3], 1, 2) @ rotation_from_vector(vectors)
    assert np.degrees(rotation_angle(turned).max()) < 0.3
    assert camera.intrinsics[:, 0] == pytest.approx(np.full(30, 280.0), rel=0.02)
    assert camera.focal_source == "rotation"


@pytest.mark.parametrize(("pixels", "solved"), [(20, True), (45, True), (80, False)])
def test_a_whip_turn_is_followed_or_said_to_be_unsolved(pixels: float, solved: bool) -> None:
    """A turn that starts and ends within a few frames, `pixels` (of 256) at its fastest. Beyond a sixth of the picture
    a frame, points are lost from one frame to the next.
    """
    share = np.clip((np.arange(24) - 10) / 4, 0, 1)
    share = share**2 * (3 - 2 * share)
    vectors = share[:, None] * np.array([0, pixels / 280 / np.diff(share).max(), 0])
    camera = extract(noisy(turning(vectors, np.full(24, 280.0)))).camera
    assert camera.status == ("rotation" if solved else "unsolved")
    if solved:
        turned = np.swapaxes(camera.cam_to_world[:, :3, :3], 1, 2) @ rotation_from_vector(vectors)
        assert np.degrees(rotation_angle(turned).max()) < 0.3


def test_zoom_is_a_zoom() -> None:
    zoom = np.linspace(1, 1.3, 24)
    found = extract(noisy(turning(np.zeros((24, 3)), 300 * zoom)), focal=300 / SIDE)
    camera = found.camera
    assert camera.status == "rotation"
    assert camera.focal_source == "manifest"
    assert camera.intrinsics[:, 0] == pytest.approx(300 * zoom, rel=0.005)
    assert np.degrees(rotation_angle(camera.cam_to_world[:, :3, :3]).max()) < 0.1


def test_picture_without_texture_is_unsolved() -> None:
    frames = np.full((12, 64, 64, 3), 1, np.uint8) * np.arange(90, 102, dtype=np.uint8)[:, None, None, None]
    found = extract(frames)
    assert found.camera.status == "unsolved"
    assert np.array_equal(found.camera.cam_to_world, np.tile(np.eye(4), (12, 1, 1)))


def test_noise_is_unsolved() -> None:
    frames = np.random.default_rng(0).integers(0, 255, (12, 96, 96, 3), dtype=np.uint8)
    assert extract(frames).camera.status == "unsolved"


def test_mask_of_another_clip_is_refused() -> None:
    with pytest.raises(ExtractionError, match="3 frames, the clip 5"):
        extract(np.zeros((5, 32, 32, 3), np.uint8), np.zeros((3, 8, 8), bool))


def video(name: str) -> np.ndarray:
    capture = cv2.VideoCapture(str(test_data(f"mmd_shots/{name}")))
    frames = []
    while (read := capture.read())[0]:
        frames.append(read[1][..., ::-1])
    return np.stack(frames)


def rough_mask(with_character: np.ndarray, without: np.ndarray) -> np.ndarray:
    """bool [L, 64, 64], True where the character is, and a little around it, like a network's mask."""
    differs = np.abs(with_character.astype(int) - without).max(axis=-1) > 40
    kernel = np.ones((3, 3), np.uint8)
    opened = [cv2.morphologyEx(d.astype(np.uint8), cv2.MORPH_OPEN, kernel) for d in differs]
    return np.stack([cv2.resize(o * 255, (64, 64), interpolation=cv2.INTER_AREA) > 30 for o in opened])


def three_shots(part: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Frames, mask, cam_to_world and K of a part of the render with three shots."""
    frames = video("mmd_shots.mp4")[part]
    truth = np.load(test_data("mmd_shots/ground_truth.npz"), allow_pickle=False)
    mask = rough_mask(frames, video("mmd_shots_camera_only.mp4")[part])
    return frames, mask, truth["c2w"][part], truth["K"][part]


def check_motion(found: CameraResult, truth: np.ndarray, degrees: float, share: float) -> None:
    camera = found.camera
    assert camera.status == "moving"
    turned = np.swapaxes(camera.cam_to_world[:, :3, :3], 1, 2) @ relative_to_first(truth)[:, :3, :3]
    assert np.degrees(rotation_angle(turned).max()) < degrees
    assert absolute_trajectory_error(camera.cam_to_world, truth).rmse < share * path_length(truth)


def test_static_shot_of_a_dance() -> None:
    frames, mask, _, _ = three_shots(slice(0, 84))
    for given in (mask, np.zeros_like(mask)):
        camera = extract(frames, given).camera
        assert camera.status == "static"
        assert np.array_equal(camera.cam_to_world, np.tile(np.eye(4), (84, 1, 1)))


def test_zooming_shot_of_a_dance() -> None:
    frames, mask, _, K = three_shots(slice(84, 169))
    focal = extract(frames, mask).camera.intrinsics[:, 0]
    assert focal / focal[0] == pytest.approx(K[:, 0, 0] / K[0, 0, 0], rel=0.02)


@pytest.mark.slow
def test_dolly_shot_of_a_dance() -> None:
    frames, mask, truth, _ = three_shots(slice(169, 225))
    check_motion(extract(frames, mask), truth, 1.0, 0.05)


@pytest.mark.slow
def test_focal_length_of_a_zoom_without_a_turn_is_not_claimed() -> None:
    """Any focal length explains it; the one that is given is the assumed one, the zoom and the path are measured."""
    truth = np.load(test_data("mmd_shots/ground_truth.npz"), allow_pickle=False)
    part = slice(84, 169)
    found = extract(video("mmd_shots_camera_only.mp4")[part])
    check_motion(found, truth["c2w"][part], 0.2, 0.02)
    assert found.camera.focal_source == "assumed"
    assert found.quality["focal_log_deviation"] > 0.05
    focal, K = found.camera.intrinsics[:, 0], truth["K"][part, 0, 0]
    assert focal / focal[0] == pytest.approx(K / K[0], rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "square", "solved"),
    [
        ("0bf152ef84195293", True, True),
        ("0c11dbe781b1c11c", False, True),
        ("0c11dbe781b1c11c", True, False),
        ("0c9b371cc6225682", False, False),
        ("0f47577ab3441480", True, True),
        ("0f68374b76390082", True, True),
    ],
)
def test_real_cameras_are_right_or_unsolved(name: str, square: bool, solved: bool) -> None:
    """Sixteen frames far apart, whole or their middle. Where few corners stay in view, mappers leave frames out, or end
    each somewhere else.
    """
    lines = test_data(f"camera_only/{name}.txt").read_text().splitlines()[1:]
    world_to_cam = np.tile(np.eye(4), (len(lines), 1, 1))
    world_to_cam[:, :3] = np.array([line.split()[7:] for line in lines], float).reshape(-1, 3, 4)
    frames = video(f"../camera_only/{name}.mp4")
    if square:
        frames = np.stack([cv2.resize(f[:, 64:320], (640, 640), interpolation=cv2.INTER_CUBIC) for f in frames])
    found = extract(frames)
    if solved:
        check_motion(found, np.linalg.inv(world_to_cam), 2.0, 0.03)
    else:
        assert found.camera.status == "unsolved"


@pytest.mark.slow
@pytest.mark.parametrize("version", ["masked", "unmasked", "camera"])
@pytest.mark.parametrize("shot", ["truck_character", "orbit_background"])
def test_hard_shots(shot: str, version: str) -> None:
    character, background = video(f"{shot}_character.mp4"), video(f"{shot}_camera.mp4")
    truth = np.load(test_data(f"mmd_shots/{shot}.npz"), allow_pickle=False)
    mask = rough_mask(character, background)
    found = extract(background if version == "camera" else character, mask if version == "masked" else None)
    check_motion(found, truth["c2w"], 1.0, 0.01)
    assert found.camera.focal_source == "reconstruction"
    assert found.camera.intrinsics[:, 0] == pytest.approx(truth["K"][:, 0, 0], rel=0.03)


@pytest.mark.slow
def test_same_clip_same_bytes() -> None:
    frames, mask, _, _ = three_shots(slice(169, 225))
    first, second = (extract(frames[:30], mask[:30]) for _ in range(2))
    assert first.camera.status == "moving"
    assert first.camera.cam_to_world.tobytes() == second.camera.cam_to_world.tobytes()
    assert first.camera.intrinsics.tobytes() == second.camera.intrinsics.tobytes()
    assert first.quality == second.quality
