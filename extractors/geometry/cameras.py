"""Pinhole cameras: intrinsics, pixel grids, projection and unprojection (numpy, float64).

Intrinsics are fx, fy, cx, cy in pixels of a stated image size, [..., 4]. Pixel (0, 0) is the centre of the top-left
pixel, so an image of width W spans −0.5 … W − 0.5. A negative fy (y up, as in ICL-NUIM) needs no special care.
"""

import numpy as np


def intrinsics_matrix(intrinsics: np.ndarray) -> np.ndarray:
    """K of intrinsics [..., 4] as float64 [..., 3, 3], without skew."""
    intrinsics = np.asarray(intrinsics, np.float64)
    K = np.zeros((*intrinsics.shape[:-1], 3, 3))
    K[..., 0, 0], K[..., 1, 1], K[..., 0, 2], K[..., 1, 2] = np.moveaxis(intrinsics, -1, 0)
    K[..., 2, 2] = 1.0
    return K


def intrinsics_vector(K: np.ndarray) -> np.ndarray:
    """fx, fy, cx, cy [..., 4] of matrices [..., 3, 3]; skew is dropped."""
    K = np.asarray(K, np.float64)
    return np.stack([K[..., 0, 0], K[..., 1, 1], K[..., 0, 2], K[..., 1, 2]], -1)


def intrinsics_from_fov(fov_y: np.ndarray | float, size: tuple[int, int]) -> np.ndarray:
    """Intrinsics [..., 4] of a vertical field of view (radians) and square pixels, centred on an image (W, H)."""
    width, height = size
    focal = 0.5 * height / np.tan(0.5 * np.asarray(fov_y, np.float64))
    return np.stack(
        [focal, focal, np.full_like(focal, (width - 1) / 2), np.full_like(focal, (height - 1) / 2)], axis=-1
    )


def rescale_intrinsics(intrinsics: np.ndarray, size: tuple[float, float], new_size: tuple[float, float]) -> np.ndarray:
    """Intrinsics [..., 4] of an image of `size` (W, H) after resizing the whole image to `new_size`.

    f' = f·s and c' = (c + 0.5)·s − 0.5 along each axis, because scaling keeps the image's border in place, not the
    centre of its first pixel.
    """
    scale = np.asarray(new_size, np.float64) / np.asarray(size, np.float64)
    intrinsics = np.asarray(intrinsics, np.float64)
    return np.concatenate([intrinsics[..., :2] * scale, (intrinsics[..., 2:] + 0.5) * scale - 0.5], -1)


def crop_intrinsics(intrinsics: np.ndarray, left: float, top: float) -> np.ndarray:
    """Intrinsics [..., 4] after cutting `left` and `top` pixels off the image (negative: after padding)."""
    intrinsics = np.asarray(intrinsics, np.float64)
    return np.concatenate([intrinsics[..., :2], intrinsics[..., 2:] - np.array([left, top], np.float64)], -1)


def window_intrinsics(
    intrinsics: np.ndarray, window: tuple[float, float, float, float], size: tuple[int, int]
) -> np.ndarray:
    """Intrinsics [..., 4] of a picture as those of a frame of `size` (W, H) that shows the `window` (left, top, width,
    height, in the picture's pixels; it may have fractions and reach outside).
    """
    return rescale_intrinsics(crop_intrinsics(intrinsics, window[0], window[1]), window[2:], size)


def cell_centres(grid: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """Frame pixels of the centres of a grid's cells, float64 [h, w, 2] (x, y).

    grid: (w, h). size: (W, H). Cell i of w has its centre at (i + 0.5)·W/w − 0.5. With grid = size: the pixels.
    """
    (w, h), (W, H) = grid, size
    x = (np.arange(w) + 0.5) * W / w - 0.5
    y = (np.arange(h) + 0.5) * H / h - 0.5
    return np.stack(np.broadcast_arrays(x[None, :], y[:, None]), -1)


def project(points: np.ndarray, intrinsics: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels [..., 2] and depth z [...] of camera-space points [..., 3]; intrinsics [..., 4] broadcast.

    A point with z ≤ 0 is not seen: its pixel is NaN.
    """
    points, intrinsics = np.asarray(points, np.float64), np.asarray(intrinsics, np.float64)
    z = points[..., 2]
    safe = np.where(z > 0, z, np.nan)
    return points[..., :2] / safe[..., None] * intrinsics[..., :2] + intrinsics[..., 2:], z


def unproject(pixels: np.ndarray, depth: np.ndarray | float, intrinsics: np.ndarray) -> np.ndarray:
    """Camera-space points [..., 3] at pixels [..., 2] with depth z [...]; depth 1 gives the rays."""
    intrinsics = np.asarray(intrinsics, np.float64)
    plane = (np.asarray(pixels, np.float64) - intrinsics[..., 2:]) / intrinsics[..., :2]
    rays = np.concatenate([plane, np.ones((*plane.shape[:-1], 1))], -1)
    return rays * np.asarray(depth, np.float64)[..., None]
