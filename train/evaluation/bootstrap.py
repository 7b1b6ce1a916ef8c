"""Confidence intervals by resampling videos: frames of one video are not independent, videos are."""

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from train.evaluation.frechet import frechet_distance


def mean_interval(
    values: np.ndarray, weights: np.ndarray, *, resamples: int, confidence: float, seed: int
) -> tuple[float, float] | None:
    """Percentile interval of a weighted mean over videos [V]; None with fewer than two videos or without resamples."""
    if len(values) < 2 or not resamples or not np.isfinite(values).all():
        return None
    rows = np.random.default_rng(seed).integers(0, len(values), (resamples, len(values)))
    means = (values[rows] * weights[rows]).sum(1) / weights[rows].sum(1)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def frechet_interval(
    real: Sequence[np.ndarray], made: Sequence[np.ndarray], *, resamples: int, confidence: float, seed: int
) -> tuple[float, float] | None:
    """Interval of the Fréchet distance from features of each video, the same videos drawn on both sides.

    The estimate ± the normal quantile times the bootstrap's standard error: a resample holds fewer different videos
    than the sample, which raises every distance, so that percentiles would lie above the estimate.
    """
    if len(real) < 2 or not resamples:
        return None
    generator = np.random.default_rng(seed)
    draws = []
    for _ in range(resamples):
        rows = generator.integers(0, len(real), len(real))
        parts = [np.concatenate([side[row] for row in rows]) for side in (real, made)]
        if min(map(len, parts)) >= 2:
            draws.append(frechet_distance(*parts))
    if len(draws) < 2:
        return None
    reach = NormalDist().inv_cdf((1 + confidence) / 2) * float(np.std(draws, ddof=1))
    estimate = frechet_distance(np.concatenate(real), np.concatenate(made))
    return max(estimate - reach, 0.0), estimate + reach
