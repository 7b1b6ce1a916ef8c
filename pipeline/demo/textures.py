"""Procedural textures that repeat nowhere, and the atlas that holds them with all their mip levels."""

from dataclasses import dataclass

import cv2
import numpy as np

MIP_LEVELS = 6


@dataclass(frozen=True)
class Atlas:
    """Textures side by side in one picture, and the same picture at 1/2, 1/4 … in its right third.

    mips: uint8 RGB [H, 1.5·W, 3]; level n of a point (x, y) of the full size lies at (x, y) / 2^n + offsets[n].
    origins: int [N, 2], (x, y) of each texture's corner. offsets: float32 [levels, 2].
    """

    mips: np.ndarray
    origins: np.ndarray
    offsets: np.ndarray


def make_atlas(textures: list[np.ndarray], width: int = 2048) -> Atlas:
    """Packs textures uint8 [h, w, 3] in rows, tallest first."""
    origins = np.zeros((len(textures), 2), int)
    x = y = row = 0
    for i in sorted(range(len(textures)), key=lambda n: (-textures[n].shape[0], n)):
        h, w = textures[i].shape[:2]
        if x + w > width:
            x, y, row = 0, y + row, 0
        origins[i] = x, y
        x, row = x + w, max(row, h)
    unit = 2**MIP_LEVELS
    height = -(-(y + row) // unit) * unit
    mips = np.zeros((height, width + width // 2, 3), np.uint8)
    for (left, top), texture in zip(origins, textures, strict=True):
        mips[top : top + texture.shape[0], left : left + texture.shape[1]] = texture
    offsets = np.zeros((MIP_LEVELS, 2), np.float32)
    level = mips[:, :width]
    top = 0
    for n in range(1, MIP_LEVELS):
        level = cv2.resize(level, (width >> n, height >> n), interpolation=cv2.INTER_AREA)
        mips[top : top + level.shape[0], width : width + level.shape[1]] = level
        offsets[n] = width, top
        top += level.shape[0]
    return Atlas(mips, origins, offsets)


def noise(rng: np.random.Generator, height: int, width: int, coarsest: int = 4) -> np.ndarray:
    """Cloudy noise, float32 [height, width], about −1 to 1: blobs from 1/coarsest of the picture down to 2 pixels."""
    total = np.zeros((height, width), np.float32)
    cells, weight = coarsest, 1.0
    while cells < max(height, width) / 2:
        grid = rng.standard_normal((max(2, cells * height // width), cells)).astype(np.float32)
        total += weight * cv2.resize(grid, (width, height), interpolation=cv2.INTER_LINEAR)
        cells, weight = cells * 2, weight * 0.72
    return total / 2.5


def bricks(rng: np.random.Generator, height: int, width: int, tint: tuple[int, int, int], rows: int) -> np.ndarray:
    """A wall of bricks or tiles, each of its own tone, with stains, uint8 [height, width, 3]."""
    image = np.empty((height, width, 3), np.float32)
    image[:] = np.array(tint) * 0.55
    course = height / rows
    for row in range(rows):
        x = -rng.uniform(0, 2 * course)
        while x < width:
            length = course * rng.uniform(1.4, 3.0)
            tone = np.array(tint) * rng.uniform(0.7, 1.25) + rng.normal(0, 14, 3)
            cv2.rectangle(image, (round(x) + 2, round(row * course) + 2),
                          (round(x + length) - 2, round((row + 1) * course) - 2), tone.tolist(), -1)  # fmt: skip
            x += length
    return _weathered(image, rng)


def planks(rng: np.random.Generator, height: int, width: int, tint: tuple[int, int, int], count: int) -> np.ndarray:
    """A wooden floor of `count` boards with knots, grain and painted marks, uint8 [height, width, 3]."""
    image = np.empty((height, width, 3), np.float32)
    image[:] = np.array(tint) * 0.35
    board = width / count
    for n in range(count):
        y = -rng.uniform(0, height / 3)
        while y < height:
            length = height * rng.uniform(0.12, 0.4)
            tone = np.array(tint) * rng.uniform(0.7, 1.2) + rng.normal(0, 6, 3)
            corner = (round((n + 1) * board) - 2, round(y + length) - 2)
            cv2.rectangle(image, (round(n * board), round(y)), corner, tone.tolist(), -1)
            y += length
    for _ in range(count * 3):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        cv2.ellipse(image, centre, (int(rng.integers(2, 9)), int(rng.integers(4, 16))), 0, 0, 360,
                    (np.array(tint) * 0.45).tolist(), -1)  # fmt: skip
    _shapes(image, rng, count=14, largest=width // 14)
    return _weathered(image, rng)


def poster(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A poster of random shapes and letters in bright colours with a border, uint8 [height, width, 3]."""
    image = np.empty((height, width, 3), np.uint8)
    image[:] = rng.integers(90, 240, 3)
    _shapes(image, rng, count=26, largest=width // 3)
    for _ in range(5):
        text = "".join(chr(rng.integers(65, 91)) for _ in range(rng.integers(3, 7)))
        place = (int(rng.integers(0, width // 2)), int(rng.integers(height // 8, height)))
        cv2.putText(image, text, place, cv2.FONT_HERSHEY_DUPLEX, width / 190 * rng.uniform(0.6, 1.6),
                    rng.uniform(0, 255, 3).tolist(), max(1, width // 70), cv2.LINE_AA)  # fmt: skip
    cv2.rectangle(image, (0, 0), (width - 1, height - 1), rng.uniform(0, 90, 3).tolist(), max(3, width // 24))
    return image


def crate(rng: np.random.Generator, height: int, width: int, tint: tuple[int, int, int]) -> np.ndarray:
    """A painted box side: boards, a frame and a label, uint8 [height, width, 3]."""
    image = bricks(rng, height, width, tint, 5).astype(np.float32)
    _shapes(image, rng, count=7, largest=width // 4)
    cv2.rectangle(image, (0, 0), (width - 1, height - 1), (np.array(tint) * 0.5).tolist(), max(3, width // 16))
    return np.clip(image, 0, 255).astype(np.uint8)


def sky(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Sky from zenith (first row) to below the horizon with clouds; left and right edge meet, uint8 [h, w, 3]."""
    cloud = noise(rng, height, width, 6)
    ramp = np.linspace(0, 1, width // 8, dtype=np.float32)
    cloud[:, -len(ramp) :] = cloud[:, -len(ramp) :] * (1 - ramp) + cloud[:, :1] * ramp
    blend = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    blue = np.array([96, 156, 226], np.float32) * (1 - blend) + np.array([214, 230, 240], np.float32) * blend
    white = np.clip(cloud * 1.4 - 0.1, 0, 1)[..., None]
    return np.clip(blue * (1 - white) + 250 * white, 0, 255).astype(np.uint8)


def _shapes(image: np.ndarray, rng: np.random.Generator, count: int, largest: int) -> None:
    """Draws random discs, rings, triangles and bars into the picture."""
    height, width = image.shape[:2]
    for number in range(count):
        colour = rng.uniform(20, 250, 3).tolist()
        centre = rng.integers((width, height))
        radius = int(rng.integers(max(3, largest // 5), max(5, largest)))
        if number % 3 == 0:
            cv2.circle(image, centre.tolist(), radius, colour, -1 if number % 2 else max(2, radius // 5))
        elif number % 3 == 1:
            corners = centre + rng.integers(-radius, radius + 1, (3, 2))
            cv2.fillConvexPoly(image, corners.astype(np.int32), colour)
        else:
            other = centre + rng.integers(-radius, radius + 1, 2)
            cv2.line(image, centre.tolist(), other.tolist(), colour, max(2, radius // 6))


def _weathered(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    height, width = image.shape[:2]
    image *= 1 + 0.16 * noise(rng, height, width)[..., None]
    image += rng.normal(0, 5, (height, width, 1)).astype(np.float32)
    return np.clip(image, 0, 255).astype(np.uint8)
