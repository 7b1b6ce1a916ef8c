"""Points from their pictures under known cameras (numpy, float64)."""

import numpy as np


def triangulate(rays: np.ndarray, world_to_cam: np.ndarray, used: np.ndarray) -> np.ndarray:
    """Points float64 [N, 3] by linear least squares (DLT; Hartley & Zisserman, 12.2); NaN where seen in fewer than
    three frames.

    rays: [L, N, 2], observations in the normalised image plane. world_to_cam: [L, 4, 4]. used: bool [L, N].
    """
    p = np.where(used[..., None], rays, 0.0)
    rows = p[..., None] * world_to_cam[:, None, None, 2] - world_to_cam[:, None, :2]
    rows = rows * used[..., None, None]
    _, vectors = np.linalg.eigh(np.einsum("lnij,lnik->njk", rows, rows))
    homogeneous = vectors[:, :, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        points = homogeneous[:, :3] / homogeneous[:, 3:]
    points[used.sum(axis=0) < 3] = np.nan
    return points
