"""The demo's character: smooth solids (ellipsoids and cone stumps) on a skeleton, with a drawn face."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import cv2
import numpy as np

from pipeline.demo.skeleton import HEAD_SIZE, Limb, Skeleton, dance

Pattern = Literal["plain", "face", "pleats", "hair", "bands"]
Colour = tuple[int, int, int]
_UP = np.array([0.0, 1.0, 0.0])
_BANGS = (
    (-0.088, 0.026, -0.03), (-0.052, 0.026, 0.035), (-0.016, 0.024, 0.022), (0.02, 0.025, 0.038), (0.056, 0.026, 0.03),
    (0.09, 0.025, -0.035),
)  # fmt: skip
"""Strands of hair over the forehead: place of the tip across, half width, height of the tip; metres, head's axes."""


@dataclass(frozen=True)
class Solid:
    """A piece of the quadric x² + z² + A·y² + 2·B·y + C = 0 with low ≤ y ≤ high, in its own axes.

    to_world: float64 [4, 4], with scale. bounds: float64 [2, 3], opposite corners of a box around it, own axes.
    `group`: solids of one group have no outline between them.
    """

    to_world: np.ndarray
    quadric: tuple[float, float, float]
    low: float
    high: float
    bounds: np.ndarray
    colour: Colour
    group: int
    pattern: Pattern = "plain"

    @property
    def closed(self) -> bool:
        """Nothing is cut off, so that only the outer side is ever seen."""
        return self.quadric[2] == -1.0 and self.low < -1.0 and self.high > 1.0


@dataclass(frozen=True)
class Character:
    """Who dances, and where: place (x, z) on the floor in metres, turn in radians about the vertical axis."""

    place: tuple[float, float] = (0.0, 0.0)
    turn: float = 0.0
    seed: int = 0
    start_s: float = 0.0

    def at(self, time_s: float) -> Skeleton:
        return dance(self.start_s + time_s, place=self.place, turn=self.turn, seed=self.seed)

    @property
    def palette(self) -> dict[str, Colour]:
        """Colours of skin, hair, cloth and trim; hair and cloth follow the seed."""
        hair = ((64, 186, 186), (236, 196, 92), (226, 120, 150), (92, 80, 150))[self.seed % 4]
        cloth = ((70, 78, 96), (176, 60, 70), (60, 92, 160), (64, 120, 84))[self.seed // 4 % 4]
        return {"skin": (250, 220, 198), "hair": hair, "cloth": cloth, "trim": (236, 236, 240), "shoe": (52, 44, 48)}


def build_solids(skeleton: Skeleton, palette: dict[str, Colour]) -> list[Solid]:
    """The solids of a posture, about 130."""
    skin, hair, cloth, trim, shoe = (palette[name] for name in ("skin", "hair", "cloth", "trim", "shoe"))
    pelvis, chest, head = skeleton.pelvis, skeleton.chest, skeleton.head
    belly, top = _at(pelvis, 0, 0.03, 0), _at(chest, 0, 0.14, 0)
    solids = [
        _ellipsoid(pelvis, (0, 0, 0), (0.135, 0.11, 0.105), cloth, 1),
        _stump(belly, _at(chest, 0, -0.02, 0), (0.115, 0.088), (0.125, 0.095), pelvis, trim, 1),
        _ellipsoid(chest, (0, 0.03, 0.01), (0.140, 0.135, 0.105), trim, 1),
        _stump(_at(chest, 0, 0.05, 0), _at(chest, 0, 0.135, 0), (0.142, 0.098), (0.11, 0.07), chest, trim, 1),
        _stump(_at(pelvis, 0, 0.085, 0), _at(pelvis, 0, 0.0, 0), (0.119, 0.1), (0.172, 0.145), pelvis, cloth, 2),
        _stump(
            _at(pelvis, 0, 0.0, 0),
            _at(pelvis, 0, -0.24, 0.01),
            (0.172, 0.145),
            (0.275, 0.25),
            pelvis,
            cloth,
            2,
            "pleats",
        ),
        _ellipsoid(chest, (0, 0.085, 0.095), (0.045, 0.03, 0.02), cloth, 3),
        _stump(
            _at(chest, 0, 0.075, 0.108), _at(chest, 0, -0.12, 0.112), (0.018, 0.012), (0.034, 0.012), chest, cloth, 3
        ),
        *_tube(top, _at(head, 0, -0.08, -0.01), 0.046, 0.042, skin, 4),
    ]
    for side, arm, leg, foot_turn in zip((1, -1), skeleton.arms, skeleton.legs, skeleton.foot_turns, strict=True):
        group = 10 if side > 0 else 20
        sleeve = arm.root + 0.45 * (arm.middle - arm.root)
        solids += _tube(arm.root, arm.middle, 0.048, 0.038, skin, group)
        solids += _tube(arm.root, sleeve, 0.062, 0.066, trim, group + 1)
        solids += _tube(arm.middle, arm.end, 0.038, 0.028, skin, group)
        cuff = arm.middle + 0.25 * (arm.end - arm.middle)
        solids += [_stump(cuff, arm.end, (0.044, 0.044), (0.062, 0.062), chest, cloth, group + 2, "bands")]
        solids += _hand(arm, side, skin, group + 3)
        solids += _tube(leg.root, leg.middle, 0.083, 0.055, skin, group + 4)
        sock = leg.root + 0.62 * (leg.middle - leg.root)
        solids += [_stump(sock, leg.middle, (0.0725, 0.0725), (0.058, 0.058), pelvis, cloth, group + 5, "bands")]
        solids += _tube(leg.middle, leg.end, 0.058, 0.039, cloth, group + 5)
        foot = np.eye(4)
        foot[:3, 0], foot[:3, 2] = (np.cos(foot_turn), 0, -np.sin(foot_turn)), (np.sin(foot_turn), 0, np.cos(foot_turn))
        foot[:3, 3] = leg.end
        solids += [_ellipsoid(foot, (0, -0.03, 0.055), (0.045, 0.044, 0.115), shoe, group + 6),
                   _ellipsoid(foot, (0, 0, 0), (0.046, 0.055, 0.05), shoe, group + 6)]  # fmt: skip
    return solids + _head(head, skin, hair, cloth)


def _head(head: np.ndarray, skin: Colour, hair: Colour, cloth: Colour) -> list[Solid]:
    x, y, z = HEAD_SIZE
    solids = [
        _ellipsoid(head, (0, 0, 0), (x, y, z), skin, 5, "face"),
        _ellipsoid(head, (0, -0.062, 0.022), (0.078, 0.082, 0.086), skin, 5),
        _ellipsoid(head, (0, 0.03, -0.022), (x + 0.02, y + 0.012, z + 0.014), hair, 6, "hair"),
    ]
    for side in (1, -1):
        solids.append(_ellipsoid(head, (side * 0.116, -0.015, 0.005), (0.014, 0.028, 0.02), skin, 5))
        knot = np.array([side * 0.15, 0.075, -0.03])
        solids.append(_ellipsoid(head, tuple(knot), (0.03, 0.034, 0.03), cloth, 8))
        # A tail of hair hangs straight down in the world, whatever the head does, and widens in its middle.
        points = [_at(head, *knot)]
        for out, drop in ((0.075, 0.10), (0.055, 0.17), (0.005, 0.19), (-0.025, 0.17)):
            points.append(points[-1] + head[:3, 0] * side * out - _UP * drop - head[:3, 2] * 0.012)
        for a, b, r0, r1 in zip(
            points, points[1:], (0.035, 0.062, 0.066, 0.048), (0.062, 0.066, 0.048, 0.012), strict=False
        ):
            solids += _tube(a, b, r0, r1, hair, 7, "hair")
    for x_at, width, low in _BANGS:
        bow = np.sqrt(max(1 - (x_at / 0.135) ** 2, 0))
        root = _at(head, x_at * 0.9, 0.115 * bow + 0.012, 0.055 + 0.03 * bow)
        tip = _at(head, x_at, low, 0.055 + 0.078 * bow)
        solids.append(_stump(root, tip, (width * 1.35, 0.035), (0.006, 0.008), head, hair, 6, "hair"))
    return solids


def _hand(arm: Limb, side: int, skin: Colour, group: int) -> list[Solid]:
    """A palm, four fingers and a thumb of two segments each."""
    along = (arm.end - arm.middle) / np.linalg.norm(arm.end - arm.middle)
    flat = np.cross(along, arm.bend)
    across = np.cross(flat, along) * side
    frame = np.eye(4)
    frame[:3, 0], frame[:3, 1], frame[:3, 2], frame[:3, 3] = across, along, np.cross(across, along), arm.end
    solids = [_ellipsoid(frame, (0, 0.038, 0), (0.034, 0.046, 0.017), skin, group)]
    for x, length in ((-0.027, 0.052), (-0.009, 0.066), (0.009, 0.062), (0.026, 0.050)):
        knuckle, middle = _at(frame, x, 0.07, 0), _at(frame, x * 1.35, 0.07 + length * 0.55, 0.004)
        solids += _tube(knuckle, middle, 0.0105, 0.0095, skin, group)
        solids += _tube(middle, _at(frame, x * 1.6, 0.07 + length, 0.012), 0.0095, 0.008, skin, group)
    base, middle = _at(frame, -0.028, 0.025, 0.004), _at(frame, -0.055, 0.052, 0.012)
    solids += _tube(base, middle, 0.013, 0.011, skin, group)
    return solids + _tube(middle, _at(frame, -0.066, 0.08, 0.018), 0.011, 0.009, skin, group)


def _at(frame: np.ndarray, x: float, y: float, z: float) -> np.ndarray:
    return frame[:3, :3] @ np.array([x, y, z]) + frame[:3, 3]


def _ellipsoid(frame: np.ndarray, centre: tuple[float, ...], axes: tuple[float, ...], colour: Colour, group: int,
               pattern: Pattern = "plain") -> Solid:  # fmt: skip
    to_world = np.eye(4)
    to_world[:3, :3] = frame[:3, :3] * np.array(axes)
    to_world[:3, 3] = _at(frame, *centre)
    return Solid(to_world, (1.0, 0.0, -1.0), -2.0, 2.0, np.array([[-1.0] * 3, [1.0] * 3]), colour, group, pattern)


def _stump(start: np.ndarray, end: np.ndarray, first: tuple[float, float], last: tuple[float, float], frame: np.ndarray,
           colour: Colour, group: int, pattern: Pattern = "plain") -> Solid:  # fmt: skip
    """A cone stump with open ends; first and last: radii (sideways, forwards in the axes of `frame`) at its ends.

    Both ends have the ratio of the mean radii, since the quadric knows one.
    """
    wide, deep = (first[0] + last[0]) / 2, (first[1] + last[1]) / 2
    axis = end - start
    side = frame[:3, 0] - (frame[:3, 0] @ axis) / (axis @ axis) * axis
    side /= np.linalg.norm(side)
    front = np.cross(side, axis) / np.linalg.norm(axis)
    to_world = np.eye(4)
    to_world[:3, 0], to_world[:3, 1], to_world[:3, 2], to_world[:3, 3] = side * wide, axis, front * deep, start
    r0, r1 = first[0] / wide, last[0] / wide
    slope, largest = r1 - r0, max(r0, r1)
    bounds = np.array([[-largest, 0, -largest], [largest, 1, largest]])
    return Solid(to_world, (-(slope**2), -slope * r0, -(r0**2)), 0.0, 1.0, bounds, colour, group, pattern)


def _tube(start: np.ndarray, end: np.ndarray, first: float, last: float, colour: Colour, group: int,
          pattern: Pattern = "plain") -> list[Solid]:  # fmt: skip
    """A limb: two balls and the cone that touches both, so that the surface has no edge."""
    length = float(np.linalg.norm(end - start))
    axis = (end - start) / length
    tilt = float(np.clip((first - last) / length, -0.99, 0.99))
    across = np.sqrt(1 - tilt**2)
    helper = np.eye(3)[np.argmin(np.abs(axis))]
    frame = np.eye(4)
    frame[:3, 0] = helper
    a, b = start + axis * first * tilt, end + axis * last * tilt
    cone = _stump(a, b, (first * across, first * across), (last * across, last * across), frame, colour, group, pattern)
    world = np.eye(4)
    return [
        cone,
        *(_ellipsoid(world, tuple(p), (r, r, r), colour, group, pattern) for p, r in ((start, first), (end, last))),
    ]


@lru_cache(maxsize=1)
def face_decal() -> np.ndarray:
    """The drawn face, float32 RGBA 0–255 / 0–1 [256, 256, 4]: x and y of the head's ellipsoid from −1 to 1, y up."""
    size = 256
    rgba = np.zeros((size, size, 4), np.uint8)
    for sign in (-1, 1):
        x, y = size // 2 + sign * 48, 124
        cv2.ellipse(rgba, (x, y), (27, 33), 0, 0, 360, (252, 252, 255, 255), -1, cv2.LINE_AA)
        cv2.ellipse(rgba, (x - sign * 2, y + 3), (18, 27), 0, 0, 360, (46, 92, 158, 255), -1, cv2.LINE_AA)
        cv2.ellipse(rgba, (x - sign * 2, y + 12), (13, 15), 0, 0, 360, (96, 160, 220, 255), -1, cv2.LINE_AA)
        cv2.ellipse(rgba, (x - sign * 2, y + 2), (9, 14), 0, 0, 360, (18, 24, 52, 255), -1, cv2.LINE_AA)
        cv2.circle(rgba, (x + 6, y - 10), 7, (255, 255, 255, 255), -1, cv2.LINE_AA)
        cv2.ellipse(rgba, (x, y), (28, 34), 0, 195, 345, (34, 22, 30, 255), 7, cv2.LINE_AA)
        cv2.ellipse(rgba, (x, y - 24), (26, 18), 0, 205, 335, (96, 66, 58, 255), 5, cv2.LINE_AA)
        cv2.ellipse(rgba, (x + sign * 16, y + 46), (17, 8), 0, 0, 360, (250, 164, 156, 255), -1, cv2.LINE_AA)
    cv2.line(rgba, (size // 2 - 3, 166), (size // 2 + 4, 168), (206, 146, 128, 255), 4, cv2.LINE_AA)
    cv2.ellipse(rgba, (size // 2, 190), (17, 10), 0, 10, 170, (176, 66, 70, 255), 5, cv2.LINE_AA)
    decal = rgba.astype(np.float32)
    decal[..., 3] /= 255
    return decal
