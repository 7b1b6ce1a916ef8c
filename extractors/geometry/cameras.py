"""Pinhole cameras: intrinsics, pixel grids, projection and unprojection (float64, numpy or torch).

Intrinsics are fx, fy, cx, cy in pixels of a stated image size, [..., 4]. Pixel (0, 0) is the centre of the top-left
pixel, so an image of width W spans −0.5 … W − 0.5. A negative fy (y up, as in ICL-NUIM) needs no special care.
"""

import numpy as np

from extractors.geometry.arrays import Array, doubles


def intrinsics_matrix(intrinsics: Array) -> Array:
    """K of intrinsics [..., 4] as float64 [..., 3, 3], without skew."""
    xp, lens = doubles(intrinsics)
    zero, one = xp.zeros_like(lens[..., 0]), xp.ones_like(lens[..., 0])
    first = xp.stack([lens[..., 0], zero, lens[..., 2]], axis=-1)
    second = xp.stack([zero, lens[..., 1], lens[..., 3]], axis=-1)
    return xp.stack([first, second, xp.stack([zero, zero, one], axis=-1)], axis=-2)


def intrinsics_vector(K: Array) -> Array:
    """fx, fy, cx, cy [..., 4] of matrices [..., 3, 3]; skew is dropped."""
    xp, K = doubles(K)
    return xp.stack([K[..., 0, 0], K[..., 1, 1], K[..., 0, 2], K[..., 1, 2]], axis=-1)


def intrinsics_from_fov(fov_y: Array | float, size: tuple[int, int]) -> Array:
    """Intrinsics [..., 4] of a vertical field of view (radians) and square pixels, centred on an image (W, H)."""
    xp, fov_y = doubles(fov_y)
    width, height = size
    focal = 0.5 * height / xp.tan(0.5 * fov_y)
    one = xp.ones_like(focal)
    return xp.stack([focal, focal, (width - 1) / 2 * one, (height - 1) / 2 * one], axis=-1)


def rescale_intrinsics(intrinsics: Array, size: tuple[float, float], new_size: tuple[float, float]) -> Array:
    """Intrinsics [..., 4] of an image of `size` (W, H) after resizing the whole image to `new_size`.

    f' = f·s and c' = (c + 0.5)·s − 0.5 along each axis, because scaling keeps the image's border in place, not the
    centre of its first pixel.
    """
    xp, intrinsics, old, new = doubles(intrinsics, size, new_size)
    scale = new / old
    return xp.concat([intrinsics[..., :2] * scale, (intrinsics[..., 2:] + 0.5) * scale - 0.5], axis=-1)


def crop_intrinsics(intrinsics: Array, left: float, top: float) -> Array:
    """Intrinsics [..., 4] after cutting `left` and `top` pixels off the image (negative: after padding)."""
    xp, intrinsics, corner = doubles(intrinsics, (left, top))
    return xp.concat([intrinsics[..., :2], intrinsics[..., 2:] - corner], axis=-1)


def window_intrinsics(intrinsics: Array, window: tuple[float, float, float, float], size: tuple[int, int]) -> Array:
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


def project(points: Array, intrinsics: Array) -> tuple[Array, Array]:
    """Pixels [..., 2] and depth z [...] of camera-space points [..., 3]; intrinsics [..., 4] broadcast.

    A point with z ≤ 0 is not seen: its pixel is NaN.
    """
    xp, points, intrinsics = doubles(points, intrinsics)
    z = points[..., 2]
    safe = xp.where(z > 0, z, xp.full_like(z, float("nan")))
    return points[..., :2] / safe[..., None] * intrinsics[..., :2] + intrinsics[..., 2:], z


def unproject(pixels: Array, depth: Array | float, intrinsics: Array) -> Array:
    """Camera-space points [..., 3] at pixels [..., 2] with depth z [...]; depth 1 gives the rays."""
    xp, pixels, z, intrinsics = doubles(pixels, depth, intrinsics)
    plane = (pixels - intrinsics[..., 2:]) / intrinsics[..., :2]
    rays = xp.concat([plane, xp.ones_like(plane[..., :1])], axis=-1)
    return rays * z[..., None]
