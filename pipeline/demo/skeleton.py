"""The demo character's joints and its dance. Metres; y up; it faces +z, its left is +x."""

from dataclasses import dataclass

import numpy as np

KEYPOINT_NAMES = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip
"""Names of the 17 body keypoints in COCO's order; left is the character's own left."""

THIGH, SHIN, UPPER_ARM, FOREARM = 0.43, 0.42, 0.27, 0.25
HIP_HEIGHT, ANKLE_HEIGHT = 0.90, 0.075
HEAD_SIZE = np.array([0.118, 0.142, 0.126])
"""Half axes of the head's ellipsoid."""
_FACE_POINTS = np.array(
    [[0, -0.15, 1.0], [0.36, 0.02, 0.93], [-0.36, 0.02, 0.93], [0.98, -0.05, 0.05], [-0.98, -0.05, 0.05]]
)
"""Nose, eyes and ears in units of the head's half axes."""
_BEAT_S = 0.8
_HAND_POSES = (
    ((0.30, 0.42, 0.15), (-0.30, 0.42, 0.15)),
    ((0.42, 0.30, 0.12), (-0.20, -0.28, 0.22)),
    ((0.46, 0.02, 0.16), (-0.46, 0.02, 0.16)),
    ((0.16, -0.30, 0.20), (-0.36, 0.36, 0.12)),
    ((0.10, -0.06, 0.36), (-0.10, -0.06, 0.36)),
    ((0.40, -0.22, 0.18), (-0.44, 0.20, 0.14)),
    ((0.34, 0.24, 0.26), (-0.40, -0.18, 0.20)),
)
"""(left, right) hand targets, metres from their shoulders in the chest's axes."""


@dataclass(frozen=True)
class Limb:
    """Joint positions [3] of an arm or a leg, and the direction [3] to which its middle joint bends."""

    root: np.ndarray
    middle: np.ndarray
    end: np.ndarray
    bend: np.ndarray


@dataclass(frozen=True)
class Skeleton:
    """One posture. Frames are 4×4 part-to-world transforms; `arms` and `legs` are (left, right)."""

    pelvis: np.ndarray
    chest: np.ndarray
    head: np.ndarray
    arms: tuple[Limb, Limb]
    legs: tuple[Limb, Limb]
    foot_turns: tuple[float, float]

    def keypoints(self) -> np.ndarray:
        """The 17 keypoints in world coordinates, float64 [17, 3], named by KEYPOINT_NAMES."""
        face = (_FACE_POINTS * HEAD_SIZE) @ self.head[:3, :3].T + self.head[:3, 3]
        limbs = [
            getattr(limb, name)
            for pair in (self.arms, self.legs)
            for name in ("root", "middle", "end")
            for limb in pair
        ]
        return np.concatenate([face, np.stack(limbs)])


def dance(time_s: float, *, place: tuple[float, float] = (0.0, 0.0), turn: float = 0.0, seed: int = 0) -> Skeleton:
    """The posture at a time. place: (x, z) on the floor; turn: radians about the vertical axis; seed: the dance."""
    rng = np.random.default_rng([seed, 7])
    order = [int(i) for i in rng.permutation(len(_HAND_POSES))]
    phase = rng.uniform(0, 2 * np.pi, 6)
    beat = time_s / _BEAT_S
    wave = 2 * np.pi * beat / 2
    sway = np.array(
        [0.07 * np.sin(wave + phase[0]), -0.035 + 0.025 * np.cos(2 * wave), 0.04 * np.sin(wave / 2 + phase[1])]
    )
    heading = turn + 0.28 * np.sin(wave / 2 + phase[2])
    root = _frame(_turn_y(heading), np.array([place[0], HIP_HEIGHT, place[1]]) + _turn_y(turn) @ sway)
    pelvis = root @ _frame(_turn_z(0.10 * np.sin(wave + phase[0])))
    spine = _turn_y(0.25 * np.sin(wave + phase[3])) @ _turn_z(-0.14 * np.sin(wave + phase[0])) @ _turn_x(0.05)
    chest = (
        root
        @ _frame(np.eye(3), np.array([0, 0.10, 0]))
        @ _frame(spine, np.zeros(3))
        @ _frame(np.eye(3), np.array([0, 0.24, 0]))
    )
    nod = (
        _turn_y(0.25 * np.sin(wave / 2 + phase[4]))
        @ _turn_z(0.12 * np.sin(wave + phase[5]))
        @ _turn_x(0.06 * np.sin(2 * wave))
    )
    head = chest @ _frame(nod, np.array([0, 0.20, 0.005])) @ _frame(np.eye(3), np.array([0, 0.145, 0.015]))

    now, blend = int(np.floor(beat)), _soft(beat - np.floor(beat))
    here, there = (np.array(_HAND_POSES[order[(now + n) % len(order)]]) for n in (0, 1))
    hands = here * (1 - blend) + there * blend
    arms, legs, foot_turns = [], [], []
    for side, hand in zip((1, -1), hands, strict=True):
        shoulder = chest @ np.array([side * 0.165, 0.115, 0, 1])
        arms.append(_two_bones(shoulder[:3], shoulder[:3] + chest[:3, :3] @ hand, UPPER_ARM, FOREARM,
                               chest[:3, :3] @ np.array([side * 0.55, -0.75, -0.6])))  # fmt: skip
        hip = pelvis @ np.array([side * 0.085, -0.02, 0, 1])
        lift = max(0.0, np.sin(wave + (0 if side > 0 else np.pi))) ** 2
        step = np.array(
            [
                side * (0.13 + 0.05 * np.sin(wave / 2 + phase[2])),
                ANKLE_HEIGHT + 0.10 * lift,
                0.05 * side * np.sin(wave / 2) + 0.06 * lift,
            ]
        )
        ankle = np.array([place[0], 0, place[1]]) + _turn_y(turn) @ step
        foot_turns.append(turn + 0.15 * side + 0.5 * (heading - turn))
        knee = _turn_y(foot_turns[-1]) @ np.array([side * 0.12, 0.1, 1.0])
        legs.append(_two_bones(hip[:3], ankle, THIGH, SHIN, knee))
    return Skeleton(pelvis, chest, head, (arms[0], arms[1]), (legs[0], legs[1]), (foot_turns[0], foot_turns[1]))


def _two_bones(root: np.ndarray, target: np.ndarray, first: float, second: float, bend: np.ndarray) -> Limb:
    """Inverse kinematics of two bones in the plane of target and `bend`; a target out of reach is brought nearer."""
    reach = target - root
    distance = float(np.clip(np.linalg.norm(reach), abs(first - second) + 1e-3, (first + second) * 0.997))
    axis = reach / np.linalg.norm(reach)
    side = bend - (bend @ axis) * axis
    side /= np.linalg.norm(side)
    along = (first**2 - second**2 + distance**2) / (2 * distance)
    middle = root + along * axis + np.sqrt(max(first**2 - along**2, 0.0)) * side
    return Limb(root, middle, root + distance * axis, side)


def _soft(x: float) -> float:
    return x * x * x * (x * (6 * x - 15) + 10)


def _frame(rotation: np.ndarray, origin: np.ndarray | None = None) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    if origin is not None:
        matrix[:3, 3] = origin
    return matrix


def _turn_x(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def _turn_y(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def _turn_z(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
