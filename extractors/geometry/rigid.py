"""Rotations and rigid transforms (numpy, float64): inverse, exponential and logarithm, interpolation on SE(3).

Poses are [..., 4, 4]. Quaternions occur in other people's files only; the two functions for them name their order.
"""

import numpy as np


def pose(rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """4×4 transforms [..., 4, 4] from rotations [..., 3, 3] and translations [..., 3]."""
    rotation, translation = np.asarray(rotation, np.float64), np.asarray(translation, np.float64)
    shape = np.broadcast_shapes(rotation.shape[:-2], translation.shape[:-1])
    transform = np.zeros((*shape, 4, 4))
    transform[..., :3, :3], transform[..., :3, 3], transform[..., 3, 3] = rotation, translation, 1.0
    return transform


def invert(transform: np.ndarray) -> np.ndarray:
    """Inverse of rigid transforms [..., 4, 4] (cam_to_world ↔ world_to_cam)."""
    transform = np.asarray(transform, np.float64)
    rotation = np.swapaxes(transform[..., :3, :3], -1, -2)
    return pose(rotation, -(rotation @ transform[..., :3, 3:])[..., 0])


def transform_points(transform: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points [..., N, 3] moved by transforms [..., 4, 4]."""
    transform = np.asarray(transform, np.float64)
    return np.asarray(points, np.float64) @ np.swapaxes(transform[..., :3, :3], -1, -2) + transform[..., None, :3, 3]


def relative_to_first(cam_to_world: np.ndarray) -> np.ndarray:
    """The same cameras [L, 4, 4] in the axes of the first one, which becomes the identity, exactly."""
    moved = invert(cam_to_world[0]) @ np.asarray(cam_to_world, np.float64)
    moved[0] = np.eye(4)
    return moved


def rotation_from_vector(vector: np.ndarray) -> np.ndarray:
    """SO(3) exponential: rotation vectors [..., 3] (axis × angle, radians) to matrices [..., 3, 3] (Rodrigues)."""
    vector = np.asarray(vector, np.float64)
    angle = np.linalg.norm(vector, axis=-1)[..., None, None]
    x, y, z = np.moveaxis(vector, -1, 0)
    zero = np.zeros_like(x)
    skew = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*x.shape, 3, 3)
    # sinc keeps both factors exact as the angle goes to zero: np.sinc(t) = sin(πt)/(πt)
    first, second = np.sinc(angle / np.pi), 0.5 * np.sinc(0.5 * angle / np.pi) ** 2
    return np.eye(3) + first * skew + second * (skew @ skew)


def vector_from_rotation(rotation: np.ndarray) -> np.ndarray:
    """SO(3) logarithm: matrices [..., 3, 3] to rotation vectors [..., 3] of angle 0 … π."""
    quaternion = xyzw_from_rotation(rotation)
    imaginary, real = quaternion[..., :3], quaternion[..., 3]
    norm = np.linalg.norm(imaginary, axis=-1)
    angle = 2.0 * np.arctan2(norm, real)
    # where the angle vanishes, the vector is twice the imaginary part
    factor = np.where(norm > 1e-12, angle / np.where(norm > 1e-12, norm, 1.0), 2.0)
    return factor[..., None] * imaginary


def rotation_from_xyzw(quaternion: np.ndarray) -> np.ndarray:
    """Matrices [..., 3, 3] of quaternions [..., 4], scalar last, of any length but zero."""
    quaternion = np.asarray(quaternion, np.float64)
    x, y, z, w = np.moveaxis(quaternion / np.linalg.norm(quaternion, axis=-1, keepdims=True), -1, 0)
    entries = [
        *(1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
        *(2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
        *(2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
    ]
    return np.stack(entries, -1).reshape(*x.shape, 3, 3)


def xyzw_from_rotation(rotation: np.ndarray) -> np.ndarray:
    """Unit quaternions [..., 4], scalar last and ≥ 0, of matrices [..., 3, 3].

    Each of the four columns below is the quaternion times four times one of its own entries; the one with the largest
    diagonal is taken, which never divides by a small number (Shepperd 1978).
    """
    R = np.asarray(rotation, np.float64)
    r = {(i, j): R[..., i, j] for i in range(3) for j in range(3)}
    xx = 1 + r[0, 0] - r[1, 1] - r[2, 2]
    yy = 1 - r[0, 0] + r[1, 1] - r[2, 2]
    zz = 1 - r[0, 0] - r[1, 1] + r[2, 2]
    ww = 1 + r[0, 0] + r[1, 1] + r[2, 2]
    xy, xz, yz = r[0, 1] + r[1, 0], r[0, 2] + r[2, 0], r[1, 2] + r[2, 1]
    xw, yw, zw = r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]
    table = np.stack(
        [np.stack(c, -1) for c in ((xx, xy, xz, xw), (xy, yy, yz, yw), (xz, yz, zz, zw), (xw, yw, zw, ww))], -2
    )
    best = np.argmax(np.stack([xx, yy, zz, ww], -1), -1)
    chosen = np.take_along_axis(table, best[..., None, None], -2)[..., 0, :]
    chosen = chosen / np.linalg.norm(chosen, axis=-1, keepdims=True)
    return np.where(chosen[..., 3:] < 0, -chosen, chosen)


def rotation_angle(rotation: np.ndarray) -> np.ndarray:
    """Angle in radians, 0 … π, of rotations [..., 3, 3]; exact for small angles, where arccos of the trace is not."""
    return np.linalg.norm(vector_from_rotation(rotation), axis=-1)


def interpolate_poses(times: np.ndarray, poses: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Poses [Q, 4, 4] at times `query` [Q] between poses [N, 4, 4] at ascending `times` [N]; held beyond the ends.

    Rotation along the geodesic of SO(3) (slerp), translation linear. For cam_to_world this moves the camera's centre
    along a straight line, which is what a keyframed camera does; the screw motion of the SE(3) logarithm would bend it.
    """
    times, poses, query = np.asarray(times, np.float64), np.asarray(poses, np.float64), np.asarray(query, np.float64)
    if len(times) != len(poses) or not len(times) or (np.diff(times) <= 0).any():
        raise ValueError(f"times must ascend strictly, one a pose: {len(times)} times for {len(poses)} poses")
    if len(times) == 1:
        return np.repeat(poses, len(query), axis=0)
    right = np.clip(np.searchsorted(times, query, side="right"), 1, len(times) - 1)
    left = right - 1
    share = np.clip((query - times[left]) / (times[right] - times[left]), 0.0, 1.0)[:, None]
    first, second = poses[left], poses[right]
    turn = vector_from_rotation(np.swapaxes(first[:, :3, :3], -1, -2) @ second[:, :3, :3])
    rotation = first[:, :3, :3] @ rotation_from_vector(share * turn)
    return pose(rotation, (1 - share) * first[:, :3, 3] + share * second[:, :3, 3])
