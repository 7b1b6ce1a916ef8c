"""Comparing camera trajectories (float64, numpy or torch): Umeyama alignment, absolute trajectory error, relative pose
error.

Definitions follow Sturm et al., IROS 2012, and the `evo` package (translation part, root mean square).
"""

from dataclasses import dataclass
from typing import Any, Generic, Literal

from extractors.geometry.arrays import Array, doubles
from extractors.geometry.rigid import invert, pose, rotation_angle

Alignment = Literal["none", "se3", "sim3"]


@dataclass(frozen=True)
class Similarity(Generic[Array]):
    """y = scale · rotation · x + translation; rotation [3, 3], translation [3]."""

    scale: float
    rotation: Array
    translation: Array

    def points(self, points: Array) -> Array:
        """Points [..., 3] moved."""
        _, points, rotation, translation = doubles(points, self.rotation, self.translation)
        return self.scale * points @ rotation.mT + translation

    def poses(self, cam_to_world: Array) -> Array:
        """Cameras [L, 4, 4] moved; their rotations stay rotations, only the centres are scaled."""
        _, cam_to_world, rotation = doubles(cam_to_world, self.rotation)
        return pose(rotation @ cam_to_world[..., :3, :3], self.points(cam_to_world[..., :3, 3]))


def umeyama(source: Array, target: Array, *, with_scale: bool = True) -> Similarity[Array]:
    """The similarity that moves points `source` [N, 3] onto `target` [N, 3] with least squares (Umeyama 1991).

    Raises ValueError for shapes that do not match, for fewer than 3 points, and where a scale is asked of points that
    are all one.
    """
    xp, source, target = doubles(source, target)
    if source.shape != target.shape or source.ndim != 2 or source.shape[1] != 3 or len(source) < 3:
        raise ValueError(f"need two equal arrays [N ≥ 3, 3], got {tuple(source.shape)} and {tuple(target.shape)}")
    source_mean, target_mean = xp.mean(source, axis=0), xp.mean(target, axis=0)
    source_centred, target_centred = source - source_mean, target - target_mean
    left, singular, right = xp.linalg.svd(target_centred.mT @ source_centred / len(source))
    sign = xp.ones_like(singular)
    sign[2] = 1.0 if float(xp.linalg.det(left @ right)) >= 0 else -1.0
    rotation = (left * sign) @ right
    scale = 1.0
    if with_scale:
        variance = float(xp.mean(xp.sum(source_centred**2, axis=1)))
        if variance == 0:
            raise ValueError("the source points are all one point: no scale fits them")
        scale = float(xp.sum(singular * sign)) / variance
    return Similarity(scale, rotation, target_mean - scale * rotation @ source_mean)


@dataclass(frozen=True)
class TrajectoryError(Generic[Array]):
    """translation: [N] in the truth's unit; rotation: [N] radians."""

    translation: Array
    rotation: Array

    @property
    def rmse(self) -> float:
        """Root mean square of the translation part."""
        return _root_mean_square(self.translation)

    @property
    def rotation_rmse(self) -> float:
        """Root mean square of the rotation part, radians."""
        return _root_mean_square(self.rotation)


def absolute_trajectory_error(
    estimated: Array, true: Array, *, alignment: Alignment = "sim3"
) -> TrajectoryError[Array]:
    """ATE (APE) of cameras [L, 4, 4] against `true` [L, 4, 4] after aligning the estimated centres to the true ones."""
    xp, estimated, true = doubles(estimated, true)
    if alignment != "none":
        fit = umeyama(estimated[:, :3, 3], true[:, :3, 3], with_scale=alignment == "sim3")
        estimated = fit.poses(estimated)
    return TrajectoryError(
        xp.linalg.vector_norm(estimated[:, :3, 3] - true[:, :3, 3], axis=1),
        rotation_angle(true[:, :3, :3].mT @ estimated[:, :3, :3]),
    )


def relative_pose_error(
    estimated: Array, true: Array, *, pairs: Array | None = None, step: int = 1
) -> TrajectoryError[Array]:
    """RPE of cameras [L, 4, 4] against `true` [L, 4, 4]: the difference of the motions between frames i and j,
    (true_i⁻¹ true_j)⁻¹ (est_i⁻¹ est_j).

    pairs: int [P, 2] of (i, j); by default every (i, i + step). Needs no alignment but, for a monocular estimate, the
    right scale.
    """
    xp, estimated, true = doubles(estimated, true)
    if pairs is None:
        i: Any = xp.arange(len(true) - step)
        j = i + step
    else:
        i, j = xp.asarray(pairs)[:, 0], xp.asarray(pairs)[:, 1]
    difference = invert(invert(true[i]) @ true[j]) @ (invert(estimated[i]) @ estimated[j])
    return TrajectoryError(xp.linalg.vector_norm(difference[:, :3, 3], axis=1), rotation_angle(difference[:, :3, :3]))


def path_length(cam_to_world: Array) -> float:
    """Length of the path of the centre of cameras [L, 4, 4], in their unit."""
    xp, cam_to_world = doubles(cam_to_world)
    centres = cam_to_world[:, :3, 3]
    return float(xp.sum(xp.linalg.vector_norm(centres[1:] - centres[:-1], axis=1)))


def _root_mean_square(values: Any) -> float:
    xp, values = doubles(values)
    return float(xp.sqrt(xp.mean(values**2)))
