"""The Fréchet distance between two sets of features (Heusel et al. 2017, arXiv 1706.08500)."""

import numpy as np


def frechet_distance(real: np.ndarray, made: np.ndarray) -> float:
    """Squared Fréchet distance of the Gaussians fitted to features [N, D] and [M, D] (N, M ≥ 2):
    |μ₁ − μ₂|² + tr Σ₁ + tr Σ₂ − 2 tr (Σ₁Σ₂)^½.

    With Σ₁ = AAᵀ and Σ₂ = BBᵀ the last trace is the sum of the singular values of AᵀB. That needs no square root of a
    product that is not symmetric (scipy's may turn complex), and is quick where there are fewer samples than features.
    """
    if real.ndim != 2 or made.ndim != 2 or real.shape[1] != made.shape[1]:
        raise ValueError(f"features must be [N, D] and [M, D], got {real.shape} and {made.shape}")
    if len(real) < 2 or len(made) < 2:
        raise ValueError(f"two samples a side are needed, got {len(real)} and {len(made)}")
    (mean_a, root_a), (mean_b, root_b) = _gaussian(real), _gaussian(made)
    cross = np.linalg.svd(root_a.T @ root_b, compute_uv=False).sum()
    distance = np.square(mean_a - mean_b).sum() + np.square(root_a).sum() + np.square(root_b).sum() - 2 * cross
    return float(max(distance, 0.0))


def _gaussian(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean [D] and a root [D, min(N, D)] of the unbiased covariance."""
    features = features.astype(np.float64)
    mean = features.mean(0)
    centred = (features - mean) / np.sqrt(len(features) - 1)
    if len(features) <= features.shape[1]:
        return mean, centred.T
    values, vectors = np.linalg.eigh(centred.T @ centred)
    return mean, vectors * np.sqrt(np.maximum(values, 0.0))
