"""Plane-sweep stereo between posed frames: dense inverse depth of one frame, from frames around it.

Every frontal plane of a stack (evenly spaced in inverse depth, the first at infinity) carries the neighbours' pictures
into the reference by a homography; where the plane has the scene's depth, they agree (Collins, CVPR 1996). Agreement is
the normalised cross-correlation of small windows, averaged over the better half of the neighbours, because a point is
hidden in some. Semi-global matching (Hirschmüller, TPAMI 2008) then trades agreement against smoothness.
"""

from dataclasses import dataclass

import cv2
import numpy as np

NO_MATCH = 0.5
"""Cost of a pixel that a neighbour does not see, between a match (0) and a clash (1)."""
_WINDOW = (5, 5)
_NOISE = 4.0**2
"""Grey-value variance of compression noise; texture below it does not count as agreement."""


@dataclass(frozen=True)
class PosedView:
    """A frame with its camera. grey: float32 [h, w], 0–255. K: float64 [3, 3], pixels of this picture.
    world_to_cam: float64 [4, 4]. free: float32 [h, w], 1 where the static scene shows, 0 on characters.
    """

    grey: np.ndarray
    K: np.ndarray
    world_to_cam: np.ndarray
    free: np.ndarray


def choose_sources(
    cam_to_world: np.ndarray, K: np.ndarray, reference: int, inverse_depth: float, size: tuple[int, int], count: int
) -> list[int]:
    """Frames to match the reference with: those whose parallax is spread between 0.5 % and 10 % of the width.

    Parallax is how far the point in the middle of the picture at the scene's median depth moves beyond what the
    camera's turn explains. Frames that see less than half of that plane are left out. size: (width, height) of the
    pictures that K float64 [L, 3, 3] speaks of. Empty without parallax.
    """
    here = np.linalg.inv(K[reference])
    width, height = size
    corners = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]])
    marks = np.concatenate([corners * 0.5 + corners.mean(0) * 0.5, corners.mean(0)[None]])
    rays = np.concatenate([marks, np.ones((5, 1))], 1) @ here.T
    found = []
    for frame in range(len(cam_to_world)):
        relative = np.linalg.inv(cam_to_world[frame]) @ cam_to_world[reference]
        far = rays @ (K[frame] @ relative[:3, :3]).T
        near = far + inverse_depth * (K[frame] @ relative[:3, 3])
        if frame == reference or (far[:, 2] <= 0).any() or (near[:, 2] <= 0).any():
            continue
        at = near[:, :2] / near[:, 2:]
        if ((at < 0) | (at > np.array(size) - 1)).any(1).sum() > 2:
            continue
        parallax = np.median(np.linalg.norm(at - far[:, :2] / far[:, 2:], axis=1)) / width
        if 0.005 <= parallax <= 0.10:
            found.append((parallax, frame))
    found.sort()
    wanted = np.linspace(0, len(found) - 1, min(count, len(found)))
    return [found[round(place)][1] for place in wanted]


def matching_costs(reference: PosedView, sources: list[PosedView], planes: np.ndarray) -> np.ndarray:
    """Costs float32 [D, h, w], 0 (agrees) to 1, of inverse depths `planes` float64 [D]."""
    h, w = reference.grey.shape
    mean = cv2.blur(reference.grey, _WINDOW)
    deviation = cv2.blur(reference.grey * reference.grey, _WINDOW) - mean * mean + _NOISE
    pixels_to_rays = np.linalg.inv(reference.K)
    relatives = [source.world_to_cam @ np.linalg.inv(reference.world_to_cam) for source in sources]
    costs = np.empty((len(planes), h, w), np.float32)
    for number, plane in enumerate(planes):
        each = np.empty((len(sources), h, w), np.float32)
        for index, (source, relative) in enumerate(zip(sources, relatives, strict=True)):
            turn = relative[:3, :3] + plane * np.outer(relative[:3, 3], [0.0, 0.0, 1.0])
            homography = source.K @ turn @ pixels_to_rays
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            there = cv2.warpPerspective(source.grey, homography, (w, h), flags=flags, borderMode=cv2.BORDER_REPLICATE)
            seen = cv2.warpPerspective(source.free, homography, (w, h), flags=flags)
            there_mean = cv2.blur(there, _WINDOW)
            there_deviation = cv2.blur(there * there, _WINDOW) - there_mean * there_mean + _NOISE
            covariance = cv2.blur(reference.grey * there, _WINDOW) - mean * there_mean
            match = np.clip(0.5 - 0.5 * covariance / np.sqrt(deviation * there_deviation), 0, 1)
            each[index] = np.where(cv2.erode(seen, np.ones((3, 3))) > 0.99, match, np.inf)
        costs[number] = _better_half(each)
    return costs


def _better_half(each: np.ndarray) -> np.ndarray:
    """Mean of the lower half of the finite values along the first axis [S, h, w]; NO_MATCH where there is none."""
    each.sort(axis=0)
    seen = np.isfinite(each).sum(0)
    taken = np.arange(len(each))[:, None, None] < (seen + 1) // 2
    mean = np.where(taken, each, 0).sum(0) / np.maximum((seen + 1) // 2, 1)
    return np.where(seen > 0, mean, NO_MATCH)


def semi_global(costs: np.ndarray, grey: np.ndarray, *, small: float, large: float) -> np.ndarray:
    """Costs summed along paths from four sides, float32 [D, h, w].

    small: price of a step to the next plane, large: of a jump (less across picture edges: divided by 1 + gradient/8).
    """
    total = np.zeros_like(costs)
    by_row = np.ascontiguousarray(costs.transpose(1, 2, 0))  # [h, w, D]
    by_column = np.ascontiguousarray(costs.transpose(2, 1, 0))  # [w, h, D]
    for volume, picture, transposed in ((by_row, grey, False), (by_column, grey.T, True)):
        jump = large / (1 + np.abs(np.diff(picture, axis=0, prepend=picture[:1])) / 8)
        for backwards in (False, True):
            paths = _scan(volume[::-1], np.roll(jump, -1, 0)[::-1], small) if backwards else _scan(volume, jump, small)
            paths = paths[::-1] if backwards else paths
            total += paths.transpose(2, 1, 0) if transposed else paths.transpose(2, 0, 1)
    return total


def _scan(volume: np.ndarray, jump: np.ndarray, small: float) -> np.ndarray:
    """Path costs [n, m, D] from the first line to the last; jump [n, m] is the price of leaving the line before."""
    paths = np.empty_like(volume)
    paths[0] = volume[0]
    for line in range(1, len(volume)):
        before = paths[line - 1]
        least = before.min(1, keepdims=True)
        best = np.minimum(before, least + np.maximum(jump[line], small)[:, None])
        np.minimum(best[:, 1:], before[:, :-1] + small, out=best[:, 1:])
        np.minimum(best[:, :-1], before[:, 1:] + small, out=best[:, :-1])
        paths[line] = volume[line] + best - least
    return paths


def best_planes(costs: np.ndarray, planes: np.ndarray) -> np.ndarray:
    """Inverse depth float32 [h, w] of the lowest cost, between planes by a parabola. planes: evenly spaced."""
    lowest = costs.argmin(0)
    inner = np.clip(lowest, 1, len(planes) - 2)[None]
    left, middle, right = (np.take_along_axis(costs, inner + step, 0)[0] for step in (-1, 0, 1))
    bend = left - 2 * middle + right
    offset = np.where(bend > 1e-9, (left - right) / np.maximum(2 * bend, 1e-9), 0).clip(-0.5, 0.5)
    place = np.where(lowest == inner[0], lowest + offset, lowest)
    return (planes[0] + place * (planes[1] - planes[0])).astype(np.float32)
