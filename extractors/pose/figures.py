"""Quality figures of keypoints, the same of every backend, so that a gate means the same with each."""

import numpy as np

from extractors.pose.masks import trunk_length
from extractors.pose.smooth import jitter
from schemas.artifacts.header import finite_quality
from schemas.artifacts.pose import PoseArtifact


def pose_figures(pose: PoseArtifact, *, persons: int, there: np.ndarray) -> dict[str, float]:
    """Plain measurements of the main person over the clip's frames.

    persons: the most people found in a frame; there: bool [L], frames with the main person, whose share is
    person_frames. keypoint_score: mean of the joints that are there; joints: share of the 17 body joints that are
    there, in frames with the person; jitter: median second difference over the trunk's length; face_frames,
    hand_frames: shares of frames; mask_area: mean share of the picture; trunk: median length of the trunk in pixels.
    """
    body = pose.body[:, 0]
    known = body[..., 2] > 0
    trunks = np.array([trunk_length(b[:, :2], k) or np.nan for b, k in zip(body, known, strict=True)])
    middle = float(np.nanmedian(trunks)) if np.isfinite(trunks).any() else None
    trunk = None if middle is None else np.where(np.isfinite(trunks), trunks, middle)
    return finite_quality(
        persons=persons,
        person_frames=there.mean(),
        keypoint_score=body[..., 2][known].mean() if known.any() else None,
        joints=known[there].mean() if there.any() else None,
        jitter=None if trunk is None else jitter(body[..., :2], trunk),
        face_frames=(pose.face[:, 0, :, 2].max(-1) > 0).mean(),
        hand_frames=(pose.hand[:, :2, :, 2].max(-1) > 0).any(1).mean(),
        mask_area=pose.mask.mean(),
        trunk=middle,
    )
