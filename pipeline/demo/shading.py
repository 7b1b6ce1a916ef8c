"""Colours of the surfaces that the z-buffer found: textures with mip levels, cel shading, outlines, sky."""

import cv2
import numpy as np

from pipeline.demo.character import Solid, face_decal
from pipeline.demo.raster import Body, Box, Hits, View, picture_boxes
from pipeline.demo.scene import Scene
from pipeline.demo.textures import MIP_LEVELS

_LIGHT = np.array([0.42, 0.70, 0.58])
_SHADOW_RADIUS_M = 0.42


def shade(view: View, scene: Scene, body: Body | None, hits: Hits, feet: np.ndarray | None) -> np.ndarray:
    """The picture, uint8 RGB [h, w, 3]. feet: world position [3] above the middle of a soft shadow on the floor."""
    image = _textured(view, scene, hits)
    open_sky = hits.surface < 0
    if open_sky.any():
        image[open_sky] = _sky(view, scene, open_sky)
    if feet is not None:
        _shadow(image, view, hits, feet)
    if body is None:
        return image
    shown = set(np.flatnonzero(np.bincount(hits.surface.ravel() + 1)) - 1)
    for index, (solid, box) in enumerate(zip(body.solids, hits.boxes, strict=True)):
        number = len(scene.origin) + index
        if box is not None and number in shown:
            _paint(image, view, solid, body.to_own[index], hits, box, number)
    _outline(image, hits, np.array([0] * (len(scene.origin) + 1) + [solid.group for solid in body.solids]))
    return image


def _textured(view: View, scene: Scene, hits: Hits) -> np.ndarray:
    """Rectangles' colours. A texture is sampled where one texel is about one ray wide: the ratio of areas between
    picture and texture of a plane is det H / w³, H the map from (u, v, 1) to (texel·w, w).
    """
    rays, eye = view.rays(), view.cam_to_world[:3, 3]
    step = float(view.us[1] - view.us[0]) if len(view.us) > 1 else 1.0
    volume = np.abs(np.einsum("nc,nc->n", np.cross(scene.edge_u, scene.edge_v), scene.origin - eye))
    area = abs(np.linalg.det(rays)) / np.maximum(volume, 1e-9) * scene.texture_size.prod(1) * step**2
    surface = np.maximum(hits.surface, 0)
    surface = np.where(surface < len(area), surface, 0)
    w = np.maximum(hits.inverse_depth, 1e-6)
    level = (0.5 * np.log2(area)).astype(np.float32)[surface] - np.float32(1.5) * np.log2(w)
    level = np.clip(level + 0.5, 0, MIP_LEVELS - 1).astype(np.intp)
    shrink = np.float32(0.5) ** np.arange(MIP_LEVELS, dtype=np.float32)
    factor = shrink[level]
    x = (hits.texel_x / w + 0.5) * factor - 0.5 + scene.atlas.offsets[:, 0][level]
    y = (hits.texel_y / w + 0.5) * factor - 0.5 + scene.atlas.offsets[:, 1][level]
    image = cv2.remap(scene.atlas.mips, x, y, cv2.INTER_LINEAR)
    light = (scene.brightness * 256).astype(np.uint16)[surface][..., None]
    return np.minimum((image * light) >> 8, 255).astype(np.uint8)


def _sky(view: View, scene: Scene, where: np.ndarray) -> np.ndarray:
    rows, columns = np.nonzero(where)
    direction = np.stack([view.us[columns], view.vs[rows], np.ones(len(rows))], -1) @ view.rays().T
    height, width = scene.sky.shape[:2]
    azimuth = np.arctan2(direction[:, 0], direction[:, 2]) / (2 * np.pi) + 0.5
    elevation = np.arctan2(direction[:, 1], np.hypot(direction[:, 0], direction[:, 2])) / (np.pi / 2)
    x = (azimuth * (width - 1)).astype(np.float32)
    y = ((1 - elevation).clip(0, 1) * (height - 1)).astype(np.float32)
    # A remap takes at most 32767 columns, so that the list of rays is folded into rows.
    fold = -len(x) % 1024
    x, y = (np.pad(a, (0, fold)).reshape(-1, 1024) for a in (x, y))
    return cv2.remap(scene.sky, x, y, cv2.INTER_LINEAR).reshape(-1, 3)[: len(rows)]


def _shadow(image: np.ndarray, view: View, hits: Hits, feet: np.ndarray) -> None:
    """Darkens the floor, which is the first rectangle of every scene, around the place under the character."""
    reach = 2 * _SHADOW_RADIUS_M
    square = np.array([[-1, 0, -1], [1, 0, -1], [1, 0, 1], [-1, 0, 1]]) * reach + feet * (1, 0, 1)
    box = picture_boxes(view, (square - view.cam_to_world[:3, 3])[None], polygons=True)[0]
    if box is None:
        return
    rows, columns = np.nonzero(hits.surface[box] == 0)
    rows, columns = rows + box[0].start, columns + box[1].start
    direction = np.stack([view.us[columns], view.vs[rows], np.ones(len(rows))], -1) @ view.rays().T
    place = view.cam_to_world[:3, 3] + direction / hits.inverse_depth[rows, columns][:, None]
    distance = ((place[:, [0, 2]] - feet[[0, 2]]) ** 2).sum(1) / _SHADOW_RADIUS_M**2
    near = distance < 4
    rows, columns = rows[near], columns[near]
    dark = 1 - 0.5 * np.exp(-1.6 * distance[near])[:, None]
    image[rows, columns] = (image[rows, columns] * dark).astype(np.uint8)


def _paint(image: np.ndarray, view: View, solid: Solid, to_own: np.ndarray, hits: Hits, box: Box, number: int) -> None:
    rows, columns = np.nonzero(hits.surface[box] == number)
    depth = 1 / hits.inverse_depth[box][rows, columns].astype(np.float64)
    pixels = np.stack([view.us[box[1]][columns], view.vs[box[0]][rows], np.ones(len(rows))], -1)
    direction = pixels @ view.rays().T
    eye = view.cam_to_world[:3, 3]
    own = (eye + direction * depth[:, None]) @ to_own[:3, :3].T + to_own[:3, 3]
    square, linear, _ = solid.quadric
    normal = (own * (1, square, 1) + (0, linear, 0)) @ to_own[:3, :3]
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    normal *= np.where((normal * direction).sum(1, keepdims=True) > 0, -1, 1)
    lit = normal @ (_LIGHT / np.linalg.norm(_LIGHT))
    # Two tones with a narrow soft border, as in drawn animation, and a faint third one.
    tone = 0.76 + 0.24 * np.clip((lit - 0.02) / 0.14, 0, 1) - 0.10 * np.clip((-lit - 0.35) / 0.1, 0, 1)
    colour = np.array(solid.colour, float) * tone[:, None] * (1, 0.985 + 0.015 * tone.min(), 1)
    if solid.pattern == "face":
        decal = face_decal()
        x, y = ((v * 0.5 + 0.5) * (len(decal) - 1) for v in (own[:, 0], -own[:, 1]))
        drawn = decal[np.clip(np.rint(y), 0, 255).astype(int), np.clip(np.rint(x), 0, 255).astype(int)]
        alpha = np.where(own[:, 2] > 0, drawn[:, 3], 0)[:, None]
        colour = colour * (1 - alpha) + drawn[:, :3] * alpha
    elif solid.pattern == "pleats":
        angle = np.arctan2(own[:, 2], own[:, 0])
        colour *= (0.80 + 0.20 * (np.cos(angle * 14) > -0.2))[:, None]
        colour[(own[:, 1] > 0.84) & (own[:, 1] < 0.92)] = (232, 232, 236)
    elif solid.pattern == "bands":
        colour[own[:, 1] > 0.9] = (110, 210, 210)
    elif solid.pattern == "hair":
        colour *= (
            1 + 0.16 * ((np.abs(lit - 0.80) < 0.07)[:, None]) - 0.07 * (np.sin(own[:, :1] * 9 + own[:, 2:] * 7) > 0.6)
        )
    image[box][rows, columns] = np.clip(colour, 0, 255).astype(np.uint8)


def _outline(image: np.ndarray, hits: Hits, groups: np.ndarray) -> None:
    """Dark lines where one group of solids ends before another or before the scene."""
    group = groups[hits.surface + 1]
    rows, columns = np.nonzero(group)
    if not len(rows):
        return
    box = slice(max(rows.min() - 1, 0), rows.max() + 2), slice(max(columns.min() - 1, 0), columns.max() + 2)
    inside = group[box]
    line = np.zeros(inside.shape, bool)
    across, down = inside[:, 1:] != inside[:, :-1], inside[1:] != inside[:-1]
    line[:, 1:] |= across
    line[:, :-1] |= across
    line[1:] |= down
    line[:-1] |= down
    line &= inside > 0
    image[box][line] = (image[box][line] * 0.42).astype(np.uint8)
