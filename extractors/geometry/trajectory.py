"""Comparing camera trajectories: Umeyama alignment, absolute trajectory error, relative pose error.

Definitions follow Sturm et al., IROS 2012, and the `evo` package (translation part, root mean square).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from extractors.geometry.rigid import invert, rotation_angle

Alignment = Literal["none", "se3", "sim3"]


@dataclass(frozen=True)
class Similarity:
    """y = scale · rotation · x + translation; rotation [3, 3], translation [3]."""

    scale: float
    rotation: np.ndarray
    translation: np.ndarray

    def points(self, points: np.ndarray) -> np.ndarray:
        """Points [..., 3] moved."""
        return self.scale * np.asarray(points, np.float64) @ self.rotation.T + self.translation

    def poses(self, cam_to_world: np.ndarray) -> np.ndarray:
        """Cameras [L, 4, 4] moved; their rotations stay rotations, only the centres are scaled."""
        moved = np.array(cam_to_world, np.float64)
        moved[..., :3, :3] = self.rotation @ moved[..., :3, :3]
        moved[..., :3, 3] = self.points(np.asarray(cam_to_world)[..., :3, 3])
        return moved


def umeyama(source: np.ndarray, target: np.ndarray, *, with_scale: bool = True) -> Similarity:
    """The similarity that moves points `source` [N, 3] onto `target` [N, 3] with least squares (Umeyama 1991).

    Raises ValueError for shapes that do not match, for fewer than 3 points, and where a scale is asked of points that
    are all one.
    """
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    if source.shape != target.shape or source.ndim != 2 or source.shape[1] != 3 or len(source) < 3:
        raise ValueError(f"need two equal arrays [N ≥ 3, 3], got {source.shape} and {target.shape}")
    source_mean, target_mean = source.mean(0), target.mean(0)
    source_centred, target_centred = source - source_mean, target - target_mean
    left, singular, right = np.linalg.svd(target_centred.T @ source_centred / len(source))
    sign = np.array([1.0, 1.0, 1.0 if np.linalg.det(left @ right) >= 0 else -1.0])
    rotation = (left * sign) @ right
    scale = 1.0
    if with_scale:
        variance = (source_centred**2).sum(1).mean()
        if variance == 0:
            raise ValueError("the source points are all one point: no scale fits them")
        scale = float((singular * sign).sum() / variance)
    return Similarity(scale, rotation, target_mean - scale * rotation @ source_mean)


@dataclass(frozen=True)
class TrajectoryError:
    """translation: [N] in the truth's unit; rotation: [N] radians."""

    translation: np.ndarray
    rotation: np.ndarray

    @property
    def rmse(self) -> float:
        """Root mean square of the translation part."""
        return float(np.sqrt((self.translation**2).mean()))

    @property
    def rotation_rmse(self) -> float:
        """Root mean square of the rotation part, radians."""
        return float(np.sqrt((self.rotation**2).mean()))


def absolute_trajectory_error(
    estimated: np.ndarray, true: np.ndarray, *, alignment: Alignment = "sim3"
) -> TrajectoryError:
    """ATE (APE) of cameras [L, 4, 4] against `true` [L, 4, 4] after aligning the estimated centres to the true ones."""
    estimated, true = np.asarray(estimated, np.float64), np.asarray(true, np.float64)
    if alignment != "none":
        fit = umeyama(estimated[:, :3, 3], true[:, :3, 3], with_scale=alignment == "sim3")
        estimated = fit.poses(estimated)
    return TrajectoryError(
        np.linalg.norm(estimated[:, :3, 3] - true[:, :3, 3], axis=1),
        rotation_angle(np.swapaxes(true[:, :3, :3], 1, 2) @ estimated[:, :3, :3]),
    )


def relative_pose_error(
    estimated: np.ndarray, true: np.ndarray, *, pairs: np.ndarray | None = None, step: int = 1
) -> TrajectoryError:
    """RPE: the difference of the motions between frames i and j, (true_i⁻¹ true_j)⁻¹ (est_i⁻¹ est_j).

    pairs: int [P, 2] of (i, j); by default every (i, i + step). Needs no alignment but, for a monocular estimate, the
    right scale.
    """
    estimated, true = np.asarray(estimated, np.float64), np.asarray(true, np.float64)
    if pairs is None:
        first = np.arange(len(true) - step)
        pairs = np.stack([first, first + step], -1)
    i, j = np.asarray(pairs).T
    difference = invert(invert(true[i]) @ true[j]) @ (invert(estimated[i]) @ estimated[j])
    return TrajectoryError(np.linalg.norm(difference[:, :3, 3], axis=1), rotation_angle(difference[:, :3, :3]))


def path_length(cam_to_world: np.ndarray) -> float:
    """Length of the path of the camera's centre, in the poses' unit."""
    return float(np.linalg.norm(np.diff(np.asarray(cam_to_world)[:, :3, 3], axis=0), axis=1).sum())
