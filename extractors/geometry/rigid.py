"""Rotations and rigid transforms (float64, numpy or torch): inverse, exponential and logarithm, interpolation on SE(3).

Poses are [..., 4, 4]. Quaternions occur in other people's files only; the two functions for them name their order.
"""

from typing import Any

from extractors.geometry.arrays import Array, doubles, identity


def pose(rotation: Array, translation: Array) -> Array:
    """4×4 transforms [..., 4, 4] from rotations [..., 3, 3] and translations [..., 3]."""
    xp, R, t = doubles(rotation, translation)
    shape: tuple[int, ...] = (R[..., 0, 0] + t[..., 0]).shape
    upper = xp.concat([xp.broadcast_to(R, (*shape, 3, 3)), xp.broadcast_to(t[..., None], (*shape, 3, 1))], axis=-1)
    return xp.concat([upper, xp.broadcast_to(identity(xp, 4, R)[3:], (*shape, 1, 4))], axis=-2)


def invert(transform: Array) -> Array:
    """Inverse of rigid transforms [..., 4, 4] (cam_to_world ↔ world_to_cam)."""
    _, transform = doubles(transform)
    rotation = transform[..., :3, :3].mT
    return pose(rotation, -(rotation @ transform[..., :3, 3:])[..., 0])


def transform_points(transform: Array, points: Array) -> Array:
    """Points [..., N, 3] moved by transforms [..., 4, 4]."""
    _, transform, points = doubles(transform, points)
    return points @ transform[..., :3, :3].mT + transform[..., None, :3, 3]


def relative_to_first(cam_to_world: Array) -> Array:
    """The same cameras [L, 4, 4] in the axes of the first one, which becomes the identity, exactly."""
    xp, cam_to_world = doubles(cam_to_world)
    moved = invert(cam_to_world[0]) @ cam_to_world[1:]
    return xp.concat([identity(xp, 4, cam_to_world)[None], moved], axis=0)


def rotation_from_vector(vector: Array) -> Array:
    """SO(3) exponential: rotation vectors [..., 3] (axis × angle, radians) to matrices [..., 3, 3] (Rodrigues)."""
    xp, vector = doubles(vector)
    angle = xp.linalg.vector_norm(vector, axis=-1)[..., None, None]
    x, y, z = vector[..., 0], vector[..., 1], vector[..., 2]
    zero = xp.zeros_like(x)
    skew = _matrices(xp, [zero, -z, y, z, zero, -x, -y, x, zero])
    # Both factors stay exact as the angle goes to zero.
    first, second = _sinc(xp, angle), 0.5 * _sinc(xp, 0.5 * angle) ** 2
    return identity(xp, 3, vector) + first * skew + second * (skew @ skew)


def _matrices(xp: Any, entries: list[Any]) -> Any:
    """[..., 3, 3] of nine entries [...], row by row."""
    return xp.stack([xp.stack(entries[row : row + 3], axis=-1) for row in (0, 3, 6)], axis=-2)


def _sinc(xp: Any, x: Any) -> Any:
    """sin(x) / x."""
    safe = xp.where(x == 0, xp.ones_like(x), x)
    return xp.where(x == 0, xp.ones_like(x), xp.sin(safe) / safe)


def vector_from_rotation(rotation: Array) -> Array:
    """SO(3) logarithm: matrices [..., 3, 3] to rotation vectors [..., 3] of angle 0 … π."""
    xp, quaternion = doubles(xyzw_from_rotation(rotation))
    imaginary, real = quaternion[..., :3], quaternion[..., 3]
    norm = xp.linalg.vector_norm(imaginary, axis=-1)
    angle = 2.0 * xp.atan2(norm, real)
    # where the angle vanishes, the vector is twice the imaginary part
    one = xp.ones_like(norm)
    factor = xp.where(norm > 1e-12, angle / xp.where(norm > 1e-12, norm, one), 2.0 * one)
    return factor[..., None] * imaginary


def rotation_from_xyzw(quaternion: Array) -> Array:
    """Matrices [..., 3, 3] of quaternions [..., 4], scalar last, of any length but zero."""
    xp, q = doubles(quaternion)
    q = q / xp.linalg.vector_norm(q, axis=-1, keepdims=True)
    x, y, z, w = q[..., 0], q[..., 1], q[..., 2], q[..., 3]
    # fmt: off
    entries = [
        1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w),
        2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w),
        2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y),
    ]
    # fmt: on
    return _matrices(xp, entries)


def xyzw_from_rotation(rotation: Array) -> Array:
    """Unit quaternions [..., 4], scalar last and ≥ 0, of matrices [..., 3, 3].

    Each of the four columns below is the quaternion times four times one of its own entries; the one with the largest
    diagonal is taken, which never divides by a small number (Shepperd 1978).
    """
    xp, R = doubles(rotation)
    r = {(i, j): R[..., i, j] for i in range(3) for j in range(3)}
    xx = 1 + r[0, 0] - r[1, 1] - r[2, 2]
    yy = 1 - r[0, 0] + r[1, 1] - r[2, 2]
    zz = 1 - r[0, 0] - r[1, 1] + r[2, 2]
    ww = 1 + r[0, 0] + r[1, 1] + r[2, 2]
    xy, xz, yz = r[0, 1] + r[1, 0], r[0, 2] + r[2, 0], r[1, 2] + r[2, 1]
    xw, yw, zw = r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]
    columns = ((xx, xy, xz, xw), (xy, yy, yz, yw), (xz, yz, zz, zw), (xw, yw, zw, ww))
    table = xp.stack([xp.stack(c, axis=-1) for c in columns], axis=-2)
    best: Any = xp.argmax(xp.stack([xx, yy, zz, ww], axis=-1), axis=-1)
    index = xp.broadcast_to(best[..., None, None], (*best.shape, 1, 4))
    chosen = xp.take_along_axis(table, index, axis=-2)[..., 0, :]
    chosen = chosen / xp.linalg.vector_norm(chosen, axis=-1, keepdims=True)
    return xp.where(chosen[..., 3:] < 0, -chosen, chosen)


def rotation_angle(rotation: Array) -> Array:
    """Angle in radians, 0 … π, of rotations [..., 3, 3]; exact for small angles, where arccos of the trace is not."""
    xp, vector = doubles(vector_from_rotation(rotation))
    return xp.linalg.vector_norm(vector, axis=-1)


def interpolate_poses(times: Array, poses: Array, query: Array) -> Array:
    """Poses [Q, 4, 4] at times `query` [Q] between poses [N, 4, 4] at ascending `times` [N]; held beyond the ends.

    Rotation along the geodesic of SO(3) (slerp), translation linear. For cam_to_world this moves the camera's centre
    along a straight line, which is what a keyframed camera does; the screw motion of the SE(3) logarithm would bend it.
    """
    xp, times, poses, query = doubles(times, poses, query)
    if len(times) != len(poses) or not len(times) or bool(xp.any(times[1:] <= times[:-1])):
        raise ValueError(f"times must ascend strictly, one a pose: {len(times)} times for {len(poses)} poses")
    if len(times) == 1:
        return xp.broadcast_to(poses, (len(query), 4, 4))
    right = xp.clip(xp.searchsorted(times, query, side="right"), 1, len(times) - 1)
    left = right - 1
    share = xp.clip((query - times[left]) / (times[right] - times[left]), 0.0, 1.0)[:, None]
    first, second = poses[left], poses[right]
    turn = vector_from_rotation(first[:, :3, :3].mT @ second[:, :3, :3])
    rotation = first[:, :3, :3] @ rotation_from_vector(share * turn)
    return pose(rotation, (1 - share) * first[:, :3, 3] + share * second[:, :3, 3])
