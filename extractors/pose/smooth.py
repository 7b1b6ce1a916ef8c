"""Smoothing of point tracks in time."""

import numpy as np


def smooth(points: np.ndarray, weight: np.ndarray, reach: int, scale: np.ndarray) -> np.ndarray:
    """Points refitted by a weighted local line through `reach` frames on either side, float64 [L, K, 2].

    points: [L, K, 2], NaN where missing. weight: [L, K] ≥ 0. scale: [L], the length in pixels that counts as a normal
    deviation; what lies farther from a first fit weighs less in the second (Cauchy weights), so a lone outlier is drawn
    back to its neighbours. Missing points stay missing; nothing is filled in.
    """
    if reach == 0 or len(points) < 3:
        return points.astype(np.float64)
    length = len(points)
    known = np.isfinite(points).all(-1)
    values, weight = np.where(known[..., None], points, 0.0).astype(np.float64), np.where(known, weight + 1e-3, 0.0)
    result = points.astype(np.float64).copy()
    for t in range(length):
        low, high = max(0, t - reach), min(length, t + reach + 1)
        offset = np.arange(low, high) - t
        base = weight[low:high] * np.exp(-0.5 * (offset / (0.6 * reach)) ** 2)[:, None]
        fitted, slope = _line(offset, values[low:high], base)
        expected = fitted + slope * offset[:, None, None]
        deviation = ((values[low:high] - expected) ** 2).sum(-1) / max(float(scale[t]), 1e-6) ** 2
        result[t], _ = _line(offset, values[low:high], base / (1 + deviation))
    result[~known] = np.nan
    return result


def _line(offset: np.ndarray, values: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted least-squares line in time: value at offset 0 and slope, both [K, 2]. weight: [n, K]."""
    total = np.maximum(weight.sum(0), 1e-12)[:, None]
    mean_offset = (weight * offset[:, None]).sum(0)[:, None] / total
    mean = np.einsum("nk,nkc->kc", weight, values) / total
    centred = offset[:, None] - mean_offset.T
    spread = (weight * centred**2).sum(0)[:, None]
    slope = np.einsum("nk,nkc->kc", weight * centred, values) / np.where(spread > 1e-9, spread, np.inf)
    return mean - slope * mean_offset, slope


def jitter(points: np.ndarray, scale: np.ndarray) -> float | None:
    """Median length of the second difference in time, as a share of `scale` [L] (pixels); None where no three frames in
    a row have a joint. points: [L, K, 2], NaN where missing.
    """
    if len(points) < 3:
        return None
    bend = np.linalg.norm(points[2:] - 2 * points[1:-1] + points[:-2], axis=-1) / scale[1:-1, None]
    return float(np.nanmedian(bend)) if np.isfinite(bend).any() else None
