"""Keypoints as pictures, the pose input of the model: body, face and hands each on black, in X-Pose's colours.

As the published code draws them with matplotlib: body links 13/1344 of the shorter side in points at 100 dpi (so that
times 100/72 in pixels), round-capped; face and hand links white, 2 pixels, with coloured dots of 4 pixels diameter in
a picture of 768², which is what its 2 and 4 points become when a 1080² video reaches that size. Links are drawn in
order, later ones on top, and anti-aliased.
"""

from itertools import pairwise

import cv2
import numpy as np
from pydantic import Field

from schemas.config import FrozenConfig

BODY_WIDTH = 13 / 1344 * 100 / 72  # of the shorter side
LINE_WIDTH, DOT_SIZE = 2 / 768, 4 / 768  # of the shorter side

_YELLOW, _ORANGE, _RED, _PURPLE, _GREEN, _BLUE = (
    *((255, 255, 100), (255, 128, 0), (255, 0, 0)),
    *((160, 32, 240), (0, 255, 0), (51, 153, 255)),
)
BODY_LINKS: tuple[tuple[int, int, tuple[int, int, int]], ...] = (
    *((15, 13, _GREEN), (13, 11, _GREEN), (16, 14, _BLUE), (14, 12, _BLUE)),
    *((11, 12, _ORANGE), (5, 11, _ORANGE), (6, 12, _ORANGE), (5, 6, _ORANGE)),
    *((5, 7, _RED), (6, 8, _PURPLE), (7, 9, _RED), (8, 10, _PURPLE)),
    *((1, 2, _YELLOW), (0, 1, _YELLOW), (0, 2, _YELLOW), (1, 3, _YELLOW), (2, 4, _YELLOW)),
    *((3, 5, _YELLOW), (4, 6, _YELLOW)),
)
"""(from, to, RGB) over COCO's 17 joints, in drawing order."""


def _chain(*points: int) -> tuple[tuple[int, int], ...]:
    return tuple(pairwise(points))


FACE_LINKS = (
    *(_chain(0, 1) + _chain(*range(2, 7)) + _chain(*range(7, 10)) + _chain(*range(10, 15)) + _chain(15, 16)),  # jaw
    *(_chain(*range(17, 22)) + _chain(*range(22, 27))),  # brows
    *(_chain(*range(27, 32)) + _chain(30, 35)),  # nose
    *(_chain(*range(36, 42), 36) + _chain(*range(42, 48), 42)),  # eyes
    *(_chain(*range(48, 60), 48) + _chain(48, *range(60, 64), 54, *range(64, 68), 48)),  # lips
)
HAND_LINKS = tuple(link for root in range(1, 21, 4) for link in _chain(0, *range(root, root + 4)))

FACE_DOTS = (
    *((((255, 255, 255),) * 2 + ((0, 255, 255),) * 5) + ((255, 0, 255),) * 3),  # right cheekbone, cheek; chin
    *(((0, 255, 255),) * 5 + ((255, 255, 255),) * 2),  # left cheek, cheekbone
    *(((255, 255, 0),) * 10 + ((255, 0, 0),) * 9 + ((0, 255, 0),) * 12),  # brows, nose, eyes
    *(((255, 255, 255),) + ((0, 0, 255),) * 5 + ((255, 255, 255),) + ((0, 0, 255),) * 13),  # mouth's corners, lips
)
HAND_DOTS = (
    *(((0, 255, 255),) + ((0, 0, 255),) * 4 + ((0, 255, 0),) * 4),  # wrist, thumb, forefinger
    *(((255, 0, 0),) * 4 + ((255, 255, 0),) * 4 + ((255, 0, 255),) * 4),  # middle, ring, little finger
)

_SHIFT = 4  # cv2 takes coordinates in 1/16 pixel
_GROWTH = 0.72  # pixels by which cv2's anti-aliased polygons reach beyond their outline, measured
_FARTHEST = 1e6  # pixels; beyond, a coordinate is an error that would overflow cv2's integers
_ARC = np.linspace(-np.pi / 2, np.pi / 2, 7)  # a round cap in six segments: off by 0.2 px at a radius of 5
_CAP = np.stack([np.cos(_ARC), np.sin(_ARC)], -1)


class DrawingConfig(FrozenConfig):
    """What of the keypoints is drawn."""

    single_face: bool = Field(
        True, description="Leave the face picture black where more than one face is found, as the published code does."
    )
    min_score: float = Field(0.0, ge=0, lt=1, description="Points with this score or less are not drawn.")


DEFAULT = DrawingConfig()


def draw_pose(
    body: np.ndarray,
    face: np.ndarray,
    hand: np.ndarray,
    size: tuple[int, int],
    config: DrawingConfig = DEFAULT,
    out: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The three pose pictures of one frame, uint8 RGB [H, W, 3] each: body, face, hands.

    body: [I, 17, 3], face: [I, 68, 3], hand: [I, 21, 3]: x, y in pixels of the picture (0 is the centre of the first
    pixel) and score. size: (W, H). Points that are NaN or whose score is not above `min_score` are not drawn, nor are
    the links that end in them. out: uint8 [3, H, W, 3], contiguous, to draw into, whatever it holds; else new memory.
    """
    shorter = min(size)
    pictures = np.empty((3, size[1], size[0], 3), np.uint8) if out is None else out
    pictures.fill(0)
    for person in body:
        seen = _seen(person, config.min_score)
        links = [link for link in BODY_LINKS if seen[link[0]] and seen[link[1]]]
        ends = np.array([link[:2] for link in links], int).reshape(-1, 2)
        _draw(pictures[0], person[ends[:, 0]], person[ends[:, 1]], BODY_WIDTH * shorter, [link[2] for link in links])
    faces = [f for f in face if _seen(f, config.min_score).any()]
    if len(faces) > 1 and config.single_face:
        faces = []
    for picture, instances, pairs, dots in (
        (pictures[1], faces, FACE_LINKS, FACE_DOTS),
        (pictures[2], list(hand), HAND_LINKS, HAND_DOTS),
    ):
        for points in instances:
            _draw_dotted(picture, points, _seen(points, config.min_score), np.array(pairs), dots, shorter)
    return pictures[0], pictures[1], pictures[2]


def _draw_dotted(
    picture: np.ndarray,
    points: np.ndarray,
    seen: np.ndarray,
    pairs: np.ndarray,
    dots: tuple[tuple[int, int, int], ...],
    shorter: int,
) -> None:
    pairs = pairs[seen[pairs].all(1)]
    _draw(picture, points[pairs[:, 0]], points[pairs[:, 1]], LINE_WIDTH * shorter, [(255, 255, 255)] * len(pairs))
    shown = np.flatnonzero(seen)
    _draw(picture, points[shown], points[shown], DOT_SIZE * shorter, [dots[i] for i in shown])


def _seen(points: np.ndarray, min_score: float) -> np.ndarray:
    """Bool [K]: the points to draw."""
    with np.errstate(invalid="ignore"):
        return (np.abs(points[:, :2]) < _FARTHEST).all(1) & (points[:, 2] > min_score)


def _draw(
    picture: np.ndarray, start: np.ndarray, end: np.ndarray, width: float, colours: list[tuple[int, int, int]]
) -> None:
    """Round-capped lines from start [N, ≥2] to end [N, ≥2], each one convex polygon; equal ends make a dot."""
    if not len(start):
        return
    start, end = start[:, :2].astype(np.float64), end[:, :2].astype(np.float64)
    along = end - start
    length = np.hypot(along[:, 0], along[:, 1])[:, None]
    along = np.where(length > 0, along / np.where(length > 0, length, 1.0), [1.0, 0.0])
    across = np.stack([-along[:, 1], along[:, 0]], -1)
    radius = max(0.5 * width - _GROWTH, 0.0)
    cap = radius * (_CAP[:, :1] * along[:, None] + _CAP[:, 1:] * across[:, None])
    outline = np.concatenate([end[:, None] + cap, start[:, None] - cap], 1)
    for polygon, colour in zip(np.round(outline * 2**_SHIFT).astype(np.int32), colours, strict=True):
        cv2.fillConvexPoly(picture, polygon, colour, cv2.LINE_AA, _SHIFT)
