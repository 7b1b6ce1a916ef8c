"""Reading the real inputs with keypoint truth."""

import numpy as np
from av import open as open_video

from extractors.pose.layout import BODY_NAMES
from tests.paths import test_data

BONES = {
    "左目": "left_eye",
    "右目": "right_eye",
    "左腕": "left_shoulder",
    "右腕": "right_shoulder",
    "左ひじ": "left_elbow",
    "右ひじ": "right_elbow",
    "左手首": "left_wrist",
    "右手首": "right_wrist",
    "左足": "left_hip",
    "右足": "right_hip",
    "左ひざ": "left_knee",
    "右ひざ": "right_knee",
    "左足首": "left_ankle",
    "右足首": "right_ankle",
}
"""MMD's standard bones that lie at COCO joints (nose and ears have none)."""


def read_frames(relative: str, start: int = 0, stop: int | None = None) -> np.ndarray:
    """Frames of a video of the real inputs, uint8 RGB [L, H, W, 3]."""
    with open_video(str(test_data(relative))) as video:
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    return np.stack(frames[start:stop])


def bones(relative: str, start: int = 0, stop: int | None = None) -> np.ndarray:
    """True joints of an MMD shot, [L, 17, 2] in pixels; NaN where MMD has no bone."""
    with np.load(test_data(relative), allow_pickle=False) as truth:
        names, points = truth["kp_names"].tolist(), truth["kp2d"][start:stop]
    joints = np.full((len(points), 17, 2), np.nan)
    for bone, joint in BONES.items():
        joints[:, BODY_NAMES.index(joint)] = points[:, names.index(bone)]
    return joints


def pck(body: np.ndarray, truth: np.ndarray, size: int, threshold: float = 0.2) -> float:
    """Share of the true joints inside the frame that lie within `threshold` torsos of the found ones; a missing joint
    is a wrong one. The torso is the longer of the two diagonals from shoulder to hip. body: [L, 17, 3].
    """
    diagonals = [np.linalg.norm(truth[:, a] - truth[:, b], axis=-1) for a, b in ((5, 12), (6, 11))]
    inside = ((truth >= 0) & (truth < size)).all(-1)
    error = np.linalg.norm(body[..., :2] - truth, axis=-1) / np.maximum(*diagonals)[:, None]
    return float((error[inside] < threshold).mean())
