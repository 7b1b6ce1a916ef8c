"""Cameras that turn and zoom about a fixed centre, fitted to tracks without any depth.

Between two such frames a point moves by the homography K[j] R[j] R[i]ᵀ K[i]⁻¹ (Hartley & Zisserman, 8.4). All frames
are fitted together: Gauss–Newton over one rotation a frame and a focal length, shared or one a frame, robust weights.
"""

from dataclasses import dataclass

import numpy as np

from extractors.camera.tracks import Tracks
from extractors.geometry.rigid import rotation_from_vector

MAX_PAIRS = 15_000
DRIFT = 0.02
"""Growth of the tolerance with each frame of the gap between two: tracks drift, and the model is not to blame."""
SMOOTH_ZOOM = 1e4
"""Inverse variance of the change, from one frame to the next, of the zoom's speed: it is smooth within 1 % a frame."""
PRIOR_LOG_FOCAL = 0.5
"""Standard deviation of the log focal length about the assumed one; decides only where rotation does not."""


@dataclass(frozen=True)
class RotationFit:
    """world_to_cam rotations [L, 3, 3] (frame 0: identity) and focal [L] in working pixels.

    explained: share of tracked point pairs within the tolerance, at the gap between frames (1, 3, 9, …) where it is
    lowest. error: median distance in pixels. focal_deviation: standard deviation of the log focal length of frame 0
    (≈ PRIOR_LOG_FOCAL: not observed).
    """

    rotation: np.ndarray
    focal: np.ndarray
    explained: float
    error: float
    focal_deviation: float

    @property
    def zoom(self) -> float:
        """Largest over smallest focal length."""
        return float(self.focal.max() / self.focal.min())


@dataclass(frozen=True)
class _Pairs:
    """Points tracked in two frames: frame numbers i, j [P], positions about the principal point p, q [P, 2]."""

    i: np.ndarray
    j: np.ndarray
    p: np.ndarray
    q: np.ndarray


def fit_rotation(tracks: Tracks, *, focal: float, zoom: bool, fix_focal: bool, limit: float) -> RotationFit | None:
    """The best rotating camera, or None where frames share too few tracks.

    focal: assumed or known focal length in working pixels, the middle of a prior, or the truth if `fix_focal` (of
    frame 0, if `zoom`). zoom: a focal length for each frame. limit: pixels within which a pair counts as explained.
    """
    length = len(tracks.xy)
    gaps = [1]
    while gaps[-1] * 3 < length:
        gaps.append(gaps[-1] * 3)
    near, pairs = _pairs(tracks, [1]), _pairs(tracks, gaps)
    joined = np.bincount(near.j, minlength=length)[1:]
    if len(joined) == 0 or joined.min() < 8:
        return None
    rotation, log_focal = np.tile(np.eye(3), (length, 1, 1)), np.full(length, np.log(focal))
    prior = (np.log(focal), 1e-4 if fix_focal else PRIOR_LOG_FOCAL)
    rotation, log_focal, _ = _solve(near, rotation, log_focal, zoom, prior, scale=8 * limit, rounds=6)
    covariance = np.zeros((0, 0))
    for scale in (8 * limit, 2 * limit, limit):
        rotation, log_focal, covariance = _solve(pairs, rotation, log_focal, zoom, prior, scale=scale, rounds=6)
    distance = np.linalg.norm(_predict(pairs, rotation, np.exp(log_focal))[0] - pairs.q, axis=1)
    gap = pairs.j - pairs.i
    good = distance < limit * (1 + DRIFT * gap)
    shares = [good[gap == size].mean() for size in gaps if (gap == size).sum() >= 100]
    return RotationFit(
        rotation=rotation @ rotation[0].T,
        focal=np.exp(log_focal),
        explained=float(min(shares, default=0.0)),
        error=float(np.median(distance)),
        focal_deviation=float(np.sqrt(covariance[3 * length, 3 * length])),
    )


def _pairs(tracks: Tracks, gaps: list[int]) -> _Pairs:
    seen = tracks.seen
    centre = tracks.centre
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for gap in gaps:
        first, column = np.nonzero(seen[:-gap] & seen[gap:])
        stride = max(1, len(first) * len(gaps) // MAX_PAIRS)
        parts.append((first[::stride], first[::stride] + gap, column[::stride]))
    i, j, column = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return _Pairs(i, j, tracks.xy[i, column] - centre, tracks.xy[j, column] - centre)


def _predict(pairs: _Pairs, rotation: np.ndarray, focal: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where q should be [P, 2]; the ray of p in camera i [P, 3] and in camera j [P, 3]."""
    ray = np.concatenate([pairs.p / focal[pairs.i, None], np.ones((len(pairs.i), 1))], axis=1)
    there = np.einsum("pij,pj->pi", rotation[pairs.j] @ rotation[pairs.i].transpose(0, 2, 1), ray)
    depth = np.where(there[:, 2] > 0.05, there[:, 2], 0.05)
    return focal[pairs.j, None] * there[:, :2] / depth[:, None], ray, there


def _solve(
    pairs: _Pairs,
    rotation: np.ndarray,
    log_focal: np.ndarray,
    zoom: bool,
    prior: tuple[float, float],
    *,
    scale: float,
    rounds: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gauss–Newton with Cauchy weights. Unknowns: 3 L rotation angles, then the log focal length of frame 0 (with the
    prior), then L − 1 changes of the log focal length from frame to frame (held near zero unless `zoom`, and smooth).
    """
    length = len(rotation)
    count = 4 * length
    sums = np.tril(np.ones((length, length)))
    covariance = np.zeros((count, count))
    for _ in range(rounds):
        predicted, ray, there = _predict(pairs, rotation, np.exp(log_focal))
        error = pairs.q - predicted
        blocks = _jacobian(pairs, rotation, np.exp(log_focal), predicted, ray, there)
        weight = 1 / (1 + (error**2).sum(axis=1) / scale**2)
        i, j = pairs.i[:, None], pairs.j[:, None]
        index = np.hstack([3 * i + np.arange(3), 3 * j + np.arange(3), 3 * length + i, 3 * length + j])
        products = np.einsum("p,pki,pkj->pij", weight, blocks, blocks)
        flat = (index[:, :, None] * count + index[:, None, :]).ravel()
        normal = np.bincount(flat, products.ravel(), minlength=count * count).reshape(count, count)
        gradient = np.bincount(index.ravel(), np.einsum("p,pki,pk->pi", weight, blocks, error).ravel(), minlength=count)
        normal, gradient = _change_focal_unknowns(normal, gradient, log_focal, sums, zoom, prior)
        covariance = np.linalg.inv(normal)
        # A wrong model can ask for absurd steps; held back, it ends as a bad fit instead of no fit.
        step = np.clip(covariance @ gradient, -0.2, 0.2)
        turn = step[: 3 * length].reshape(-1, 3)
        rotation = rotation_from_vector(turn) @ rotation
        log_focal = np.clip(log_focal + sums @ step[3 * length :], prior[0] - 2.5, prior[0] + 2.5)
    return rotation, log_focal, covariance


def _change_focal_unknowns(
    normal: np.ndarray,
    gradient: np.ndarray,
    log_focal: np.ndarray,
    sums: np.ndarray,
    zoom: bool,
    prior: tuple[float, float],
) -> tuple[np.ndarray, np.ndarray]:
    """Normal equations in (rotations, first log focal length, its changes), with priors and the gauge fixed."""
    length = len(log_focal)
    change = np.eye(4 * length)
    change[3 * length :, 3 * length :] = sums
    normal, gradient = change.T @ normal @ change, change.T @ gradient
    middle, deviation = prior
    normal[3 * length, 3 * length] += deviation**-2
    gradient[3 * length] += (middle - log_focal[0]) / deviation**2
    steps = np.diff(log_focal)
    rest = np.arange(3 * length + 1, 4 * length)
    stiff = 1e12 if not zoom else 1.0
    normal[rest, rest] += stiff
    gradient[rest] -= stiff * steps
    if zoom and length > 2:
        second = np.diff(np.eye(length - 1), axis=0)
        normal[np.ix_(rest, rest)] += second.T @ second * SMOOTH_ZOOM
        gradient[rest] -= second.T @ (second @ steps) * SMOOTH_ZOOM
    # Rotation of the world as a whole is free: hold the first frame.
    normal[np.arange(3), np.arange(3)] += 1e12
    normal[np.diag_indices(4 * length)] += 1e-9
    return normal, gradient


def _jacobian(
    pairs: _Pairs, rotation: np.ndarray, focal: np.ndarray, predicted: np.ndarray, ray: np.ndarray, there: np.ndarray
) -> np.ndarray:
    """d predicted / d (turn of camera i, turn of camera j, log focal i, log focal j): [P, 2, 8]."""
    depth = np.where(there[:, 2] > 0.05, there[:, 2], 0.05)
    f = focal[pairs.j] / depth
    project = np.zeros((len(f), 2, 3))
    project[:, 0, 0] = project[:, 1, 1] = f
    project[:, :, 2] = -predicted / depth[:, None]
    between = rotation[pairs.j] @ rotation[pairs.i].transpose(0, 2, 1)
    shrink = ray * np.array([-1.0, -1.0, 0.0])
    through = project @ between
    return np.concatenate(
        [through @ _cross(ray), -project @ _cross(there), through @ shrink[..., None], predicted[..., None]], axis=2
    )


def _cross(v: np.ndarray) -> np.ndarray:
    """Matrices [P, 3, 3] of the cross product with v [P, 3]."""
    zero = np.zeros(len(v))
    x, y, z = v.T
    return np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=1).reshape(-1, 3, 3)
