"""Joint layouts: X-Pose's 17 body, 68 face and 21 hand points, and where each lies in MediaPipe's outputs.

The table for readers is docs/keypoints.md. "Left" and "right" are the person's own, as in COCO.
"""

import numpy as np

BODY_NAMES = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
)
"""COCO's order."""

LIMBS = (
    (5, 7),
    (7, 9),
    (6, 8),
    (8, 10),
    (11, 13),
    (13, 15),
    (12, 14),
    (14, 16),
)
"""Upper and lower arms and legs, as pairs of body joints, the joint nearer to the trunk first."""

BODY_FROM_POSE = (0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)
"""MediaPipe's pose landmark of each body joint."""

LEFT_HAND_FROM_POSE = (15, 17, 19)
RIGHT_HAND_FROM_POSE = (16, 18, 20)
"""Wrist, little finger's and index finger's knuckle in MediaPipe's pose landmarks."""

FACE_FROM_POSE = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)

POSE_MIRROR = np.array(
    [
        *(0, 4, 5, 6, 1, 2, 3, 8, 7, 10, 9),
        *(12, 11, 14, 13, 16, 15, 18, 17, 20, 19, 22, 21, 24, 23, 26, 25, 28, 27, 30, 29, 32, 31),
        *(33, 34, 35, 36, 37, 38),
    ]
)
"""The landmark that each of the network's 39 becomes in a mirrored picture (33 to 38 are auxiliary points)."""

FACE_FROM_MESH: tuple[tuple[int, ...], ...] = (
    *((127,), (234,), (93,), (132, 58), (58, 172), (136,), (150,), (176,), (152,)),  # jaw, right ear to chin
    *((400,), (379,), (365,), (397, 288), (361,), (323,), (454,), (356,)),  # chin to left ear
    *((70,), (63,), (105,), (66,), (107,)),  # right brow, outer to inner
    *((336,), (296,), (334,), (293,), (300,)),  # left brow, inner to outer
    *((168, 6), (197, 195), (5,), (4,)),  # nose bridge
    *((75,), (97,), (2,), (326,), (305,)),  # below the nose
    *((33,), (160,), (158,), (133,), (153,), (144,)),  # right eye
    *((362,), (385,), (387,), (263,), (373,), (380,)),  # left eye
    *((61,), (39,), (37,), (0,), (267,), (269,), (291,), (321,), (314,), (17,), (84,), (91,)),  # outer lips
    *((78,), (82,), (13,), (312,), (308,), (317,), (14,), (87,)),  # inner lips
)
"""iBUG's 68 face points in MediaPipe's face mesh (468 points); two indices stand for the middle between them."""


def face_from_mesh(mesh: np.ndarray) -> np.ndarray:
    """Face points [68, 2] of mesh points [468, 2]."""
    return np.array([mesh[list(sources)].mean(axis=0) for sources in FACE_FROM_MESH])
