"""Square regions of interest, turned with the person: cutting them out and carrying points and maps back."""

from dataclasses import dataclass
from math import atan2, cos, hypot, pi, sin

import cv2
import numpy as np


@dataclass(frozen=True)
class Roi:
    """A square region: centre (x, y) and side in frame pixels, angle in radians, clockwise as seen in the picture.

    Continuous coordinates inside it run from (0, 0) at its top-left corner to (1, 1).
    """

    x: float
    y: float
    side: float
    angle: float = 0.0

    def scaled(self, factor: float) -> "Roi":
        return Roi(self.x, self.y, self.side * factor, self.angle)

    def turned(self, angle: float) -> "Roi":
        return Roi(self.x, self.y, self.side, self.angle + angle)

    def shifted(self, right: float, down: float) -> "Roi":
        """Moved along its own axes by fractions of its side."""
        c, s = cos(self.angle), sin(self.angle)
        return Roi(
            self.x + self.side * (c * right - s * down),
            self.y + self.side * (s * right + c * down),
            self.side,
            self.angle,
        )

    def matrix(self) -> np.ndarray:
        """float64 [2, 3]: inside coordinates (0–1) to frame pixels (0 is the centre of the first pixel)."""
        c, s = self.side * cos(self.angle), self.side * sin(self.angle)
        return np.array([[c, -s, self.x - (c - s) / 2], [s, c, self.y - (s + c) / 2]])

    def to_frame(self, points: np.ndarray) -> np.ndarray:
        """Points [..., 2] inside (0–1) to frame pixels."""
        matrix = self.matrix()
        return points @ matrix[:, :2].T + matrix[:, 2]

    def to_inside(self, points: np.ndarray) -> np.ndarray:
        """Frame pixels [..., 2] to inside coordinates (0–1)."""
        matrix = self.matrix()
        return (points - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T

    def crop(self, image: np.ndarray, size: int, *, mirrored: bool = False, padded: bool = False) -> np.ndarray:
        """The region as [size, size, channels] of the image's dtype; outside the frame, the picture's edge goes on, or
        it is black (padded).

        A strong reduction averages (a box reduction comes first), because bilinear sampling alone would alias.
        """
        half = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]])
        to_frame = np.vstack([self.matrix(), [0.0, 0.0, 1.0]]) @ np.diag([1 / size, 1 / size, 1.0]) @ half
        if mirrored:
            to_frame = to_frame @ np.array([[-1.0, 0.0, size - 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
        shrink = int(self.side / size)
        if shrink >= 2:
            height, width = image.shape[0] // shrink * shrink, image.shape[1] // shrink * shrink
            image = cv2.resize(
                image[:height, :width], (width // shrink, height // shrink), interpolation=cv2.INTER_AREA
            )
            to_frame = np.diag([1 / shrink, 1 / shrink, 1.0]) @ half @ to_frame
            to_frame[:2, 2] -= 0.5
        return cv2.warpAffine(
            image,
            to_frame[:2],
            (size, size),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT if padded else cv2.BORDER_REPLICATE,
        )

    def paste(self, values: np.ndarray, size: tuple[int, int], frame_size: tuple[int, int]) -> np.ndarray:
        """A map [n, n] over the region as float32 [height, width] over the frame; 0 outside the region.

        size: (width, height) of the result; frame_size: (width, height) of the frame in pixels.
        """
        width, height = size
        scale = np.array([frame_size[0] / width, frame_size[1] / height])
        inverse = np.linalg.inv(np.vstack([self.matrix(), [0.0, 0.0, 1.0]]))
        to_frame = np.array([[scale[0], 0, 0.5 * scale[0] - 0.5], [0, scale[1], 0.5 * scale[1] - 0.5], [0, 0, 1.0]])
        n = values.shape[0]
        to_values = np.array([[n, 0, -0.5], [0, n, -0.5], [0, 0, 1.0]]) @ inverse @ to_frame
        return cv2.warpAffine(
            values.astype(np.float32),
            to_values[:2],
            (width, height),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderValue=0,
        )


def wrap_angle(angle: float) -> float:
    """The angle in [−π, π)."""
    return (angle + pi) % (2 * pi) - pi


def from_alignment(centre: np.ndarray, edge: np.ndarray, target: float, scale: float) -> Roi:
    """A region around `centre` whose half side is the distance to `edge`, times `scale`, turned so that `edge` lies at
    angle `target` (radians, anticlockwise from the picture's x axis) of the centre. Points are frame pixels.
    """
    dx, dy = float(edge[0] - centre[0]), float(edge[1] - centre[1])
    return Roi(float(centre[0]), float(centre[1]), 2 * scale * hypot(dx, dy), wrap_angle(target - atan2(-dy, dx)))


def from_box(points: np.ndarray, start: np.ndarray, end: np.ndarray, target: float, scale: float) -> Roi:
    """A region around the bounding box of points [N, 2] (its longer side, times `scale`), turned so that the direction
    from `start` to `end` lies at angle `target`. The box is measured along the turned axes.
    """
    angle = wrap_angle(target - atan2(-float(end[1] - start[1]), float(end[0] - start[0])))
    c, s = cos(angle), sin(angle)
    turned = points @ np.array([[c, -s], [s, c]])
    low, high = turned.min(0), turned.max(0)
    middle = np.array([[c, -s], [s, c]]) @ ((low + high) / 2)
    return Roi(float(middle[0]), float(middle[1]), float((high - low).max()) * scale, angle)
