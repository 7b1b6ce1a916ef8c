"""Evidence for and against a reconstruction, taken over the whole shot."""

from dataclasses import dataclass

import numpy as np

from extractors.camera.sfm import Solution
from extractors.geometry.rigid import rotation_angle
from extractors.geometry.trajectory import umeyama

LOSS_PIXELS = 2.0


@dataclass(frozen=True)
class Evidence:
    """What speaks for a solution.

    loss: mean squared error of all track observations, in units of 2 px and cut off at 1 (unexplained ones count 1):
    what hypotheses compete by. explained: share of observations explained. weakest: the least such share of a frame.
    error: root mean square in pixels of those explained. parallax: median over points of the widest angle between the
    rays of its frames, degrees. roughness: median second difference of the camera's path over its median step.
    registered: share of the keyframes that the mapper placed; the others were put between them afterwards.
    """

    loss: float
    explained: float
    weakest: float
    error: float
    parallax: float
    roughness: float
    registered: float

    @property
    def believable(self) -> bool:
        """Good enough to be given out as cameras."""
        explains = self.explained > 0.5 and self.weakest > 0.2 and self.registered > 0.9
        return explains and self.parallax > 0.4 and self.roughness < 1.0

    @property
    def convincing(self) -> bool:
        """Good enough to look no further."""
        good = self.believable and self.explained > 0.85 and self.weakest > 0.5
        return good and self.error < 0.7 and self.parallax > 1.0 and self.roughness < 0.4


def weigh(solution: Solution) -> Evidence:
    """The evidence for a solution. Errors are scaled to a picture 512 pixels wide."""
    seen = solution.tracks.seen & (solution.tracks.seen.sum(axis=0) >= 5)
    used = solution.used & seen
    scale = 512 / max(solution.tracks.size)
    error = np.where(used, solution.errors(), np.inf) * scale
    centres = solution.cam_to_world[:, :3, 3]
    steps = np.diff(centres, axis=0)
    bends = np.linalg.norm(np.diff(steps, axis=0), axis=1)
    return Evidence(
        loss=float(np.minimum((error[seen] / LOSS_PIXELS) ** 2, 1).mean()) if seen.any() else 1.0,
        explained=float(used.sum() / max(seen.sum(), 1)),
        weakest=float((used.sum(axis=1) / np.maximum(seen.sum(axis=1), 1)).min()),
        error=float(np.sqrt((error[used] ** 2).mean())) if used.any() else float("inf"),
        parallax=parallax(solution),
        roughness=float(np.median(bends) / max(np.median(np.linalg.norm(steps, axis=1)), 1e-12)),
        registered=solution.registered,
    )


def parallax(solution: Solution) -> float:
    """Median over points of the widest angle, degrees, between the rays that see it first, in the middle and last."""
    rows = np.flatnonzero(solution.used.sum(axis=0) >= 3)
    if not len(rows):
        return 0.0
    used = solution.used[:, rows]
    length = len(used)
    order = np.cumsum(used, axis=0)
    first, last = used.argmax(axis=0), length - 1 - used[::-1].argmax(axis=0)
    middle = (order >= (order[-1] + 1) // 2).argmax(axis=0)
    centres = solution.cam_to_world[:, :3, 3]
    rays = [solution.points[rows] - centres[frame] for frame in (first, middle, last)]
    rays = [ray / np.maximum(np.linalg.norm(ray, axis=1, keepdims=True), 1e-12) for ray in rays]
    angles = [2 * np.arcsin(np.clip(np.linalg.norm(a - b, axis=1) / 2, 0, 1)) for a, b in _couples(rays)]
    return float(np.degrees(np.median(np.max(angles, axis=0))))


def _couples(rays: list[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(rays[0], rays[1]), (rays[1], rays[2]), (rays[0], rays[2])]


def disagreement(one: Solution, other: Solution) -> tuple[float, float]:
    """How far two solutions are apart: largest difference of rotation (degrees, relative to the first frame), and root
    mean square difference of the similarity-aligned centres over the path's length.
    """
    a, b = one.cam_to_world, other.cam_to_world
    turn = [first[0, :3, :3].T @ first[:, :3, :3] for first in (a, b)]
    rotation = np.degrees(rotation_angle(np.swapaxes(turn[0], -1, -2) @ turn[1]).max())
    path = np.linalg.norm(np.diff(b[:, :3, 3], axis=0), axis=1).sum()
    moved = umeyama(a[:, :3, 3], b[:, :3, 3]).points(a[:, :3, 3])
    apart = np.sqrt(((moved - b[:, :3, 3]) ** 2).sum(axis=1).mean())
    return float(rotation), float(apart / max(path, 1e-12))


def focal_deviation(solution: Solution) -> float:
    """Standard deviation of the logarithm of a shared focal length, from the curvature of the reprojection error.

    The points are eliminated (Schur complement). Errors along one track are not independent: their variance is raised
    by half the mean length of a track. Large where the camera does not turn: a pure translation does not reveal the
    focal length.
    """
    columns = np.flatnonzero(solution.used.sum(axis=0) >= 5)
    columns = columns[:: max(1, len(columns) // 500)]
    used = solution.used[:, columns]
    frame, point = np.nonzero(used)
    local = solution.in_cameras()[frame, columns[point]]
    rotation = solution.world_to_cam[frame, :3, :3]
    length, count = len(used), len(columns)
    project = np.zeros((len(frame), 2, 3))
    scale = solution.focal[frame] / local[:, 2]
    project[:, 0, 0] = project[:, 1, 1] = scale
    project[:, :, 2] = -scale[:, None] * local[:, :2] / local[:, 2:]
    x, y, z = local.T
    zero = np.zeros_like(x)
    turn = -np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=1).reshape(-1, 3, 3)
    camera = np.concatenate([project @ turn, project], axis=2)
    focal = (scale[:, None] * local[:, :2])[..., None]
    size = 6 * length + 1
    coupling = np.zeros((count, size, 3))
    by_point = project @ rotation
    np.add.at(coupling, (point[:, None], 6 * frame[:, None] + np.arange(6)), np.swapaxes(camera, 1, 2) @ by_point)
    np.add.at(coupling[:, 6 * length], point, (np.swapaxes(focal, 1, 2) @ by_point)[:, 0])
    own = np.zeros((count, 3, 3))
    np.add.at(own, point, np.swapaxes(by_point, 1, 2) @ by_point)
    normal = np.zeros((size, size))
    blocks = np.zeros((length, 7, 7))
    joined = np.concatenate([camera, focal], axis=2)
    np.add.at(blocks, frame, np.swapaxes(joined, 1, 2) @ joined)
    for number, block in enumerate(blocks):
        index = np.r_[6 * number : 6 * number + 6, 6 * length]
        normal[np.ix_(index, index)] += block
    own += np.eye(3) * (1e-9 * np.trace(own, axis1=1, axis2=2)[:, None, None] + 1e-30)
    reduced = normal - np.einsum("nai,nij,nbj->ab", coupling, np.linalg.inv(own), coupling, optimize=True)
    scales = np.sqrt(np.maximum(np.diag(normal), 1e-30))
    gauge, _ = np.linalg.qr(_gauge(solution) * scales[:, None])
    fixed = reduced / np.outer(scales, scales) + gauge @ gauge.T
    spread = np.linalg.inv(fixed + 1e-9 * np.eye(size))[-1, -1]
    errors = solution.errors()[frame, columns[point]]
    variance = np.median(errors) ** 2 / 1.386 * max(1.0, used.sum() / count / 2)
    return float(np.sqrt(spread * variance) / scales[-1])


def _gauge(solution: Solution) -> np.ndarray:
    """The seven changes of all cameras that no picture shows, [6 L + 1, 7]: the world's rotation, place and scale."""
    length = len(solution.focal)
    rotation, translation = solution.world_to_cam[:, :3, :3], solution.world_to_cam[:, :3, 3]
    free = np.zeros((length, 6, 7))
    free[:, :3, :3] = rotation
    free[:, 3:, :3] = np.cross(translation[:, :, None], rotation, axis=1)
    free[:, 3:, 3:6] = rotation
    free[:, 3:, 6] = translation
    return np.vstack([free.reshape(-1, 7), np.zeros((1, 7))])
