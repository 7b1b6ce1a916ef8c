"""The demo's scenes: textured rectangles in space, and a sky. World: x right, y up, z towards the viewer, metres."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from pipeline.demo import textures
from pipeline.demo.textures import Atlas, make_atlas

_SUN = np.array([0.45, 0.8, 0.4])


@dataclass(frozen=True)
class Scene:
    """N textured rectangles. A point of rectangle n is origin + a·edge_u + b·edge_v with a and b in 0–1.

    origin, edge_u, edge_v, normal: float64 [N, 3]; a rectangle is seen from the side that its normal points to.
    texture_size: int [N, 2], (width, height) in texels. brightness: float32 [N]. sky: uint8 [h, w, 3] by direction.
    """

    origin: np.ndarray
    edge_u: np.ndarray
    edge_v: np.ndarray
    normal: np.ndarray
    texture_size: np.ndarray
    brightness: np.ndarray
    atlas: Atlas
    sky: np.ndarray


class _Builder:
    """Collects rectangles."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.parts: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []

    def rectangle(
        self, origin: ArrayLike, edge_u: ArrayLike, edge_v: ArrayLike, texture: np.ndarray, front: ArrayLike
    ) -> None:
        """front: any point on the side from which it is seen."""
        o, u, v = (np.asarray(a, float) for a in (origin, edge_u, edge_v))
        normal = np.cross(u, v)
        normal /= np.linalg.norm(normal)
        if normal @ (np.asarray(front, float) - o) < 0:
            normal = -normal
        self.parts.append((o, u, v, normal, texture))

    def colour(self, low: int, high: int) -> tuple[int, int, int]:
        red, green, blue = self.rng.integers(low, high, 3).tolist()
        return red, green, blue

    def box(self, centre: tuple[float, float], size: tuple[float, float, float], turn: float,
            tint: tuple[int, int, int], base: float = 0.0, texels: int = 128) -> None:  # fmt: skip
        """An upright box on the floor (or at height `base`), turned by `turn` radians; four sides and a top."""
        x, y, z = size
        right = np.array([np.cos(turn), 0, -np.sin(turn)]) * x
        depth = np.array([np.sin(turn), 0, np.cos(turn)]) * z
        up = np.array([0, y, 0])
        middle = np.array([centre[0], base + y / 2, centre[1]])
        tall = int(np.clip(texels * y / max(x, z), 64, 512))
        for a, b, c in ((right, up, depth), (-right, up, -depth), (depth, up, -right), (-depth, up, right)):
            texture = textures.crate(self.rng, tall, texels, tint)
            self._face(middle, a, -b, c, texture)
        self._face(middle, right, depth, up, textures.crate(self.rng, texels, texels, tint))

    def _face(self, middle: np.ndarray, u: np.ndarray, v: np.ndarray, out: np.ndarray, texture: np.ndarray) -> None:
        centre = middle + out / 2
        self.rectangle(centre - u / 2 - v / 2, u, v, texture, centre + out)

    def scene(self) -> Scene:
        origin, edge_u, edge_v, normal = (np.stack([part[i] for part in self.parts]) for i in range(4))
        images = [part[4] for part in self.parts]
        return Scene(
            origin, edge_u, edge_v, normal,
            texture_size=np.array([[i.shape[1], i.shape[0]] for i in images]),
            brightness=(0.72 + 0.3 * normal @ _SUN).clip(0.5, 1.05).astype(np.float32),
            atlas=make_atlas(images),
            sky=textures.sky(self.rng, 256, 1024),
        )  # fmt: skip


@lru_cache(maxsize=4)
def hall(seed: int = 0) -> Scene:
    """A closed hall of 11 × 4.2 × 12 m with boards, four brick walls, columns, crates and posters."""
    build = _Builder(seed)
    rng = build.rng
    x, top, near, far, inside = 5.5, 4.2, 7.0, -5.0, (0.0, 1.0, 0.0)
    build.rectangle(
        (-x, 0, far), (2 * x, 0, 0), (0, 0, near - far), textures.planks(rng, 960, 896, (176, 128, 84), 36), inside
    )
    build.rectangle(
        (-x, top, far), (2 * x, 0, 0), (0, 0, near - far), textures.bricks(rng, 512, 512, (206, 200, 190), 12), inside
    )
    build.rectangle(
        (-x, top, far), (2 * x, 0, 0), (0, -top, 0), textures.bricks(rng, 384, 960, (190, 120, 98), 20), inside
    )
    build.rectangle(
        (-x, top, near), (2 * x, 0, 0), (0, -top, 0), textures.bricks(rng, 256, 640, (160, 150, 120), 16), inside
    )
    build.rectangle(
        (-x, top, near), (0, 0, far - near), (0, -top, 0), textures.bricks(rng, 384, 960, (128, 152, 170), 18), inside
    )
    build.rectangle(
        (x, top, near), (0, 0, far - near), (0, -top, 0), textures.bricks(rng, 384, 960, (150, 168, 120), 18), inside
    )
    for left, height, width, tall in (
        (-4.9, 3.5, 1.3, 1.7),
        (-2.9, 3.2, 1.0, 1.4),
        (0.5, 3.7, 1.9, 1.3),
        (3.4, 3.4, 1.4, 1.9),
    ):
        image = textures.poster(rng, int(150 * tall), int(150 * width))
        build.rectangle((left, height, far + 0.03), (width, 0, 0), (0, -tall, 0), image, inside)
    for side in (-1, 1):
        for start, width in ((-3.6, 1.6), (-0.6, 2.0), (2.6, 1.5)):
            image = textures.poster(rng, 220, int(130 * width))
            build.rectangle((side * (x - 0.03), 3.3, start), (0, 0, width), (0, -1.7, 0), image, inside)
    for place in ((-3.2, -2.6), (3.1, -3.0), (-4.3, 2.2), (4.2, 1.6)):
        build.box(place, (0.55, top, 0.55), rng.uniform(0, 1.5), (214, 206, 188), texels=96)
    crates = (
        ((-2.0, -3.7), 0.9),
        ((-1.2, -4.1), 0.7),
        ((2.0, -3.8), 1.1),
        ((-3.9, -0.4), 0.8),
        ((3.7, -0.9), 0.95),
        ((1.1, -4.2), 0.6),
    )
    for centre, length in crates:
        tint = build.colour(90, 220)
        build.box(centre, (length, length * rng.uniform(0.6, 1.5), length), rng.uniform(0, 1.5), tint)
    build.box((2.0, -3.8), (0.5, 0.5, 0.5), 0.4, (80, 130, 190), base=1.3)
    return build.scene()


@lru_cache(maxsize=4)
def terrace(seed: int = 1) -> Scene:
    """An open terrace of 16 × 16 m under the sky, with houses around it, planters, pillars and billboards."""
    build = _Builder(seed)
    rng = build.rng
    build.rectangle(
        (-8, 0, -8), (16, 0, 0), (0, 0, 16), textures.bricks(rng, 1024, 1024, (186, 176, 160), 26), (0.0, 1.0, 0.0)
    )
    build.rectangle(
        (-60, -0.4, -60), (120, 0, 0), (0, 0, 120), textures.bricks(rng, 512, 512, (120, 150, 96), 40), (0.0, 1.0, 0.0)
    )
    for angle in np.linspace(0, 2 * np.pi, 11, endpoint=False):
        distance, tint = rng.uniform(13, 24), build.colour(110, 225)
        size = (rng.uniform(3, 5.5), rng.uniform(3, 9), rng.uniform(3, 5))
        build.box(
            (distance * np.sin(angle), distance * np.cos(angle)), size, rng.uniform(0, 1.5), tint, base=-0.4, texels=192
        )
    for angle in np.linspace(0.3, 2 * np.pi + 0.3, 8, endpoint=False):
        place = (5.6 * np.sin(angle) + rng.normal(0, 0.5), 5.6 * np.cos(angle) + rng.normal(0, 0.5))
        size = (0.5, rng.uniform(1.6, 3.4), 0.5) if rng.uniform() < 0.5 else (1.5, rng.uniform(0.6, 1.0), 0.7)
        build.box(place, size, rng.uniform(0, 1.5), build.colour(100, 220))
    for x, z, turn in ((-3.4, -4.6, 0.3), (3.6, -4.2, -0.4), (0.4, -6.2, 0.0)):
        u = np.array([np.cos(turn), 0, -np.sin(turn)]) * 2.0
        image = textures.poster(rng, 256, 320)
        build.rectangle(np.array([x, 2.6, z]) - u / 2, u, (0, -1.6, 0), image, (0.0, 1.5, 4.0))
    return build.scene()
