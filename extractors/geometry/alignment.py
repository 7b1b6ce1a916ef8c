"""Bringing a depth network's inverse depth to the scale of the camera poses.

A network gives inverse depth up to scale and shift (or in metres), a camera solver gives translation in a unit of its
own. The two meet in the solver's sparse points: a robust affine fit of the map to the points' inverse depth. A
network's scale and shift hold for one picture, so each reference frame has its own fit where it has the points for
it: with TCMonoDepth small, true cameras and 100 noisy points a reference, the scene motion's end-point error on four
real MMD shots was 1.11, 0.40, 0.17, 0.06 latent cells with one fit a clip, 0.25, 0.45, 0.17, 0.04 with one a
reference. Metric maps share one scale. Where a fit cannot be believed `status` says so, and it falls back:

| status | meaning | scale, shift |
| --- | --- | --- |
| fitted | robust fit over at least `min_points` points | both (relative), scale alone (metric) |
| known | the map is in the camera's unit already | 1, 0 |
| irrelevant | the camera does not translate: depth has no influence | 1, 0 |
| scale_only | too few points for two unknowns, or a map without contrast at them | median ratio, 0 |
| plane | the map runs against the points (scale ≤ 0) and cannot be used | 0, median of the points |
| | or nothing in it was measured, and it is a constant already | 1, 0 |
| guessed | no usable point: the map's median is put at `guess_distance` lengths of the camera's path | scale, 0 |
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from pydantic import Field

from schemas.config import FrozenConfig

AlignmentStatus = Literal["fitted", "known", "irrelevant", "scale_only", "plane", "guessed"]
RELIABLE: frozenset[str] = frozenset({"fitted", "known", "irrelevant"})
TRIALS = 300  # random pairs tried; half of the points being wrong leaves 0.75³⁰⁰ of a chance that none is good
TUKEY = 4.685  # of a standard deviation: 95 % efficient on Gaussian errors


class AlignmentConfig(FrozenConfig):
    """When a fit is believed."""

    min_points: int = Field(24, ge=4, description="Sparse points that an affine fit needs; fewer fit a scale alone.")
    min_contrast: float = Field(
        0.05,
        ge=0,
        description="Spread (10th to 90th percentile over the median) of the map at the points, below "
        "which scale and shift cannot be told apart.",
    )
    guess_distance: float = Field(
        4.0, gt=0, description="Without any point: lengths of the camera's path at which the map's median is put."
    )


@dataclass(frozen=True)
class DepthAlignment:
    """inverse depth in the camera's unit = scale · map + shift, clipped at 0.

    points: how many were used. inliers: share of them within TUKEY sigmas of the fit. residual: median relative error
    |fit − point| / point; NaN without points. contrast: spread of the map at the points (AlignmentConfig).
    """

    scale: float
    shift: float
    status: AlignmentStatus
    points: int = 0
    inliers: float = 0.0
    residual: float = float("nan")
    contrast: float = float("nan")

    @property
    def reliable(self) -> bool:
        """Whether the unit of the aligned map is known rather than guessed."""
        return self.status in RELIABLE

    def apply(self, inverse_depth: np.ndarray) -> np.ndarray:
        """A map [..., h, w] of any scale as inverse depth in the camera's unit, float32 [..., h, w], never negative (0:
        infinitely far).
        """
        aligned = self.scale * np.asarray(inverse_depth, np.float64) + self.shift
        return np.maximum(aligned, 0.0).astype(np.float32)


UNCHANGED = DepthAlignment(1.0, 0.0, "known")
CONSTANT = DepthAlignment(1.0, 0.0, "plane")
"""Of a map that was filled in as a whole."""
NO_INFLUENCE = DepthAlignment(1.0, 0.0, "irrelevant")


def sample_map(values: np.ndarray, xy: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A map [h, w] of a frame of `size` (W, H), bilinear at frame pixels xy [N, 2]: float32 [N]; held at the border."""
    h, w = values.shape
    at = (np.asarray(xy, np.float64) + 0.5) * (w / size[0], h / size[1]) - 0.5
    columns, rows = np.clip(at, 0, [w - 1, h - 1]).astype(np.float32).T
    # remap takes at most 32,767 rows: a single column of points would exceed that, rows of 1,024 do not
    count = len(at)
    padded = np.zeros((2, -(-count // 1024) * 1024), np.float32)
    padded[:, :count] = columns, rows
    grid = padded.reshape(2, -1, 1024)
    if not count:
        return np.zeros(0, np.float32)
    return cv2.remap(np.float32(values), grid[0], grid[1], cv2.INTER_LINEAR).reshape(-1)[:count]


def align_references(
    network: Sequence[np.ndarray],
    points: Sequence[np.ndarray],
    *,
    kind: str,
    path: float,
    median: float,
    config: AlignmentConfig,
    seed: int,
) -> tuple[DepthAlignment, ...]:
    """The fits of a clip's R reference frames, arguments as in `align_depth` but R arrays of values.

    A reference with fewer than `min_points` takes the fit over the points of all of them.
    """

    def fit(x: np.ndarray, y: np.ndarray) -> DepthAlignment:
        return align_depth(x, y, kind=kind, path=path, median=median, config=config, seed=seed)

    together = fit(np.concatenate(network), np.concatenate(points))
    alone = [fit(x, y) for x, y in zip(network, points, strict=True)] if kind != "metric" else [together] * len(points)
    return tuple(own if own.points >= config.min_points else together for own in alone)


def align_depth(
    network: np.ndarray,
    points: np.ndarray,
    *,
    kind: str,
    path: float,
    median: float,
    config: AlignmentConfig,
    seed: int,
) -> DepthAlignment:
    """One fit.

    network: [N] values of the inverse depth maps at the sparse points; points: [N] the points' inverse depth in the
    camera's unit. kind: "relative", or "metric" for maps without an unknown shift. path: length of the camera's path
    in its own unit (> 0), and median: of the maps' background, both for the guess without points. seed: of the random
    pairs. Points that are not finite, or not in front of the camera, are left out.
    """
    network, points = np.asarray(network, np.float64), np.asarray(points, np.float64)
    good = np.isfinite(network) & np.isfinite(points) & (points > 0)
    network, points = network[good], points[good]
    positive = network > 0
    if kind == "metric":
        network, points, positive = network[positive], points[positive], positive[positive]
    if not len(points):
        if path <= 0 or median <= 0:
            return DepthAlignment(1.0, 0.0, "guessed")
        return DepthAlignment(1.0 / (config.guess_distance * path * median), 0.0, "guessed")
    low, middle, high = np.percentile(network, [10, 50, 90])
    contrast = float((high - low) / max(abs(middle), 1e-12))
    enough = len(points) >= config.min_points
    if kind == "metric" or not enough or contrast < config.min_contrast:
        if not positive.any():
            return _described(network, points, 0.0, float(np.median(points)), "plane", contrast)
        scale = float(np.median(points[positive] / network[positive]))
        status: AlignmentStatus = "fitted" if kind == "metric" and enough else "scale_only"
        return _described(network, points, scale, 0.0, status, contrast)
    scale, shift = _robust_line(network, points, seed)
    if scale <= 0:
        return _described(network, points, 0.0, float(np.median(points)), "plane", contrast)
    return _described(network, points, scale, shift, "fitted", contrast)


def _described(
    network: np.ndarray, points: np.ndarray, scale: float, shift: float, status: AlignmentStatus, contrast: float
) -> DepthAlignment:
    error = np.abs(np.maximum(scale * network + shift, 0.0) - points)
    tolerance = TUKEY * max(_sigma(error), 1e-6 * float(np.median(points)))  # an exact fit has no sigma
    inliers = float((error <= tolerance).mean())
    return DepthAlignment(scale, shift, status, len(points), inliers, float(np.median(error / points)), contrast)


def _robust_line(x: np.ndarray, y: np.ndarray, seed: int) -> tuple[float, float]:
    """Slope and intercept with the least median of absolute errors over random pairs, then Tukey's weights."""
    pairs = np.random.default_rng(seed).integers(0, len(x), (TRIALS, 2))
    run = x[pairs[:, 1]] - x[pairs[:, 0]]
    apart = np.abs(run) > 1e-3 * (np.abs(x).max() + 1e-12)
    pairs, run = pairs[apart], run[apart]
    if not len(pairs):
        return 0.0, float(np.median(y))
    slopes = (y[pairs[:, 1]] - y[pairs[:, 0]]) / run
    intercepts = y[pairs[:, 0]] - slopes * x[pairs[:, 0]]
    errors = np.median(np.abs(slopes[:, None] * x + intercepts[:, None] - y), axis=1)
    slope, intercept = slopes[errors.argmin()], intercepts[errors.argmin()]
    for _ in range(20):
        error = slope * x + intercept - y
        weight = np.clip(1 - (error / (TUKEY * _sigma(error))) ** 2, 0, None) ** 2
        mean_x, mean_y = np.average(x, weights=weight), np.average(y, weights=weight)
        variance = (weight * (x - mean_x) ** 2).sum()
        if variance <= 0:
            break
        slope = (weight * (x - mean_x) * (y - mean_y)).sum() / variance
        intercept = mean_y - slope * mean_x
    return float(slope), float(intercept)


def _sigma(error: np.ndarray) -> float:
    """Standard deviation of Gaussian errors about 0 from the median of their size; never 0."""
    return max(1.4826 * float(np.median(np.abs(error))), 1e-12)
