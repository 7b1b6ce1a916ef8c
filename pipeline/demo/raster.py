"""The z-buffer: which surface each viewing ray meets first, and at what depth. Exact: by intersection, not meshes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.demo.character import Solid
from pipeline.demo.scene import Scene

NEAR = 0.05
"""Metres; nothing nearer is seen."""
Box = tuple[slice, slice]


@dataclass(frozen=True)
class View:
    """A camera and the pixel positions of the rays: `us` float64 [w] of the columns, `vs` float64 [h] of the rows."""

    cam_to_world: np.ndarray
    K: np.ndarray
    us: np.ndarray
    vs: np.ndarray

    def rays(self) -> np.ndarray:
        """Matrix [3, 3] from (u, v, 1) to the ray's direction in the world; z along the camera's axis is 1."""
        return self.cam_to_world[:3, :3] @ np.linalg.inv(self.K)


@dataclass(frozen=True)
class Hits:
    """The first surface along each ray. inverse_depth: float32 [h, w], 1/z, 0 for the sky.

    surface: int16 [h, w], −1 sky, 0 … N−1 the scene's rectangles, N + i solid i. texel_x, texel_y: float32 [h, w], the
    place in the atlas times inverse_depth (rectangles only). boxes: the part of the picture in which solid i may be.
    """

    inverse_depth: np.ndarray
    surface: np.ndarray
    texel_x: np.ndarray
    texel_y: np.ndarray
    boxes: list[Box | None]


class Body:
    """Solids with what every cast needs of them.

    to_own: float64 [S, 4, 4], world to the solid's axes. corners: float64 [S, 8, 3], of a box around it, world axes.
    """

    def __init__(self, solids: Sequence[Solid]) -> None:
        self.solids = tuple(solids)
        to_world = np.stack([solid.to_world for solid in solids])
        bounds = np.stack([solid.bounds for solid in solids])
        pick = np.indices((2, 2, 2)).reshape(3, 8).T
        self.to_own = np.linalg.inv(to_world)
        self.corners = bounds[:, pick, np.arange(3)] @ to_world[:, :3, :3].swapaxes(1, 2) + to_world[:, None, :3, 3]


def cast(view: View, scene: Scene, body: Body | None = None) -> Hits:
    """The first surface along each ray of the view."""
    shape = (len(view.vs), len(view.us))
    hits = Hits(np.zeros(shape, np.float32), np.full(shape, -1, np.int16), np.zeros(shape, np.float32),
                np.zeros(shape, np.float32), [])  # fmt: skip
    eye, rays = view.cam_to_world[:3, 3], view.rays()
    to_origin = scene.origin - eye
    steps = np.stack([0 * scene.edge_u, scene.edge_u, scene.edge_u + scene.edge_v, scene.edge_v], 1)
    boxes = picture_boxes(view, to_origin[:, None] + steps, polygons=True)
    facing = np.einsum("nc,nc->n", scene.normal, to_origin) < -1e-9
    for number, box in enumerate(boxes):
        if facing[number] and box is not None:
            _rectangle(hits, view, scene, number, box, rays)
    if body is not None:
        hits.boxes.extend(picture_boxes(view, body.corners - eye, polygons=False))
        starts = body.to_own[:, :3, :3] @ eye + body.to_own[:, :3, 3]
        matrices = body.to_own[:, :3, :3] @ rays
        for index, place in enumerate(hits.boxes):
            if place is not None:
                surface = len(scene.origin) + index
                _solid(hits, view, body.solids[index], surface, place, starts[index], matrices[index])
    return hits


def _rectangle(hits: Hits, view: View, scene: Scene, number: int, box: Box, rays: np.ndarray) -> None:
    """A point o + a·u + b·v seen by ray d at depth z fulfils (a/z, b/z, 1/z) = [u v o−eye]⁻¹ d: affine in the pixel."""
    to_origin = scene.origin[number] - view.cam_to_world[:3, 3]
    matrix = np.linalg.inv(np.stack([scene.edge_u[number], scene.edge_v[number], to_origin], 1)) @ rays
    us, vs = view.us[box[1]], view.vs[box[0]]
    a, b, w = (
        np.add.outer((row[1] * vs + row[2]).astype(np.float32), (row[0] * us).astype(np.float32)) for row in matrix
    )
    seen = (w > hits.inverse_depth[box]) & (a >= 0) & (a <= w) & (b >= 0) & (b <= w) & (w < 1 / NEAR)
    if not seen.any():
        return
    np.copyto(hits.inverse_depth[box], w, where=seen)
    np.copyto(hits.surface[box], np.int16(number), where=seen)
    (width, height), (left, top) = scene.texture_size[number], scene.atlas.origins[number]
    # The last texel is the last sampled: its neighbour in the atlas belongs to another texture.
    for texels, length, start, place in ((hits.texel_x, width, left, a), (hits.texel_y, height, top, b)):
        np.copyto(texels[box], place * np.float32(length - 1) + w * np.float32(start), where=seen)


def _solid(hits: Hits, view: View, solid: Solid, number: int, box: Box, start: np.ndarray, matrix: np.ndarray) -> None:
    """On the ray start + t·d (own axes) the quadric is a·t² + 2·b·t + c; t is the depth z, because d has z = 1."""
    us, vs = view.us[box[1]], view.vs[box[0]]
    dx, dy, dz = (np.add.outer(row[1] * vs + row[2], row[0] * us) for row in matrix)
    square, linear, constant = solid.quadric
    a = dx * dx + dz * dz + square * (dy * dy)
    b = start[0] * dx + start[2] * dz + (square * start[1] + linear) * dy
    c = start[0] ** 2 + start[2] ** 2 + square * start[1] ** 2 + 2 * linear * start[1] + constant
    discriminant = b * b - a * c
    meets = discriminant > 0
    if not meets.any():
        return
    root = np.sqrt(np.maximum(discriminant, 0))
    shown, surface = hits.inverse_depth[box], hits.surface[box]
    with np.errstate(divide="ignore", invalid="ignore"):
        for t in ((-b - root) / a, (-b + root) / a):
            y = start[1] + t * dy
            nearer = meets & (t > NEAR) & (y >= solid.low) & (y <= solid.high) & (t * shown < 1)
            np.copyto(shown, (1 / t).astype(np.float32), where=nearer)
            np.copyto(surface, np.int16(number), where=nearer)
            if solid.closed:
                return


def picture_boxes(view: View, points: np.ndarray, *, polygons: bool) -> list[Box | None]:
    """The rows and columns that may show each hull of points [N, P, 3] (world axes, relative to the eye), or None.

    What reaches behind the camera is cut at the near plane if it is a polygon, else taken as filling the picture.
    """
    seen = points @ view.cam_to_world[:3, :3]
    ahead = seen[..., 2] > NEAR
    low, high = _pixel_bounds(view, np.where(ahead[..., None], seen, np.float64(1)))
    some, every = ahead.any(1), ahead.all(1)
    for number in np.flatnonzero(some & ~every):
        if polygons:
            low[number], high[number] = _pixel_bounds(view, _cut_near(seen[number], ahead[number]))
        else:
            low[number], high[number] = -np.inf, np.inf
    left, right = np.searchsorted(view.us, low[:, 0]).tolist(), np.searchsorted(view.us, high[:, 0], "right").tolist()
    top, bottom = np.searchsorted(view.vs, low[:, 1]).tolist(), np.searchsorted(view.vs, high[:, 1], "right").tolist()
    return [
        (slice(y0, y1), slice(x0, x1)) if shown and x0 < x1 and y0 < y1 else None
        for shown, x0, x1, y0, y1 in zip(some.tolist(), left, right, top, bottom, strict=True)
    ]


def _pixel_bounds(view: View, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest pixel position [..., 2] of points [..., P, 3] in camera axes."""
    pixels = seen[..., :2] / seen[..., 2:] * (view.K[0, 0], view.K[1, 1]) + view.K[:2, 2]
    return pixels.min(-2), pixels.max(-2)


def _cut_near(polygon: np.ndarray, ahead: np.ndarray) -> np.ndarray:
    kept = []
    for here, there, here_ahead, there_ahead in zip(
        polygon, np.roll(polygon, -1, 0), ahead, np.roll(ahead, -1), strict=True
    ):
        if here_ahead:
            kept.append(here)
        if here_ahead != there_ahead:
            kept.append(here + (there - here) * ((NEAR - here[2]) / (there[2] - here[2])))
    return np.stack(kept)
