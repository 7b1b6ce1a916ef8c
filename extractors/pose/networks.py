"""MediaPipe's networks, run by LiteRT on the CPU: pictures in, decoded geometry in frame pixels out.

One thread each and no GPU: the same picture gives the same bytes. Constants are those of MediaPipe's own graphs
(`mediapipe/modules/*/*.pbtxt`, release 0.10.21).
"""

from dataclasses import dataclass
from math import pi
from pathlib import Path

import numpy as np

from extractors.pose.layout import POSE_MIRROR
from extractors.pose.roi import Roi, from_alignment, from_box
from extractors.pose.ssd import Detection, SsdLayout, anchors, decode

POSE_DETECTOR = SsdLayout(size=224, strides=(8, 16, 32, 32, 32), keypoints=4)
FACE_DETECTOR = SsdLayout(size=128, strides=(8, 16, 16, 16), keypoints=6)


class Network:
    """One LiteRT model with one float32 image input."""

    def __init__(self, path: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(model_path=str(path), num_threads=1)
        self._interpreter.allocate_tensors()
        self._input = int(self._interpreter.get_input_details()[0]["index"])
        self._outputs = [int(detail["index"]) for detail in self._interpreter.get_output_details()]
        self.size = int(self._interpreter.get_input_details()[0]["shape"][1])

    def __call__(self, image: np.ndarray, low: float = 0.0) -> list[np.ndarray]:
        """Outputs for uint8 [size, size, 3]; its values 0–255 are mapped to `low`–1."""
        values = image.astype(np.float32) * np.float32((1 - low) / 255) + np.float32(low)
        self._interpreter.set_tensor(self._input, values[None])
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._outputs]


class Detector:
    """An SSD detector of people or faces."""

    def __init__(self, path: Path, layout: SsdLayout) -> None:
        self._network, self._layout, self._anchors = Network(path), layout, anchors(layout)

    def __call__(self, image: np.ndarray, roi: Roi, min_score: float) -> list[Detection]:
        """Detections inside a region, boxes and points in frame pixels (boxes along the region's axes), best first."""
        boxes, scores = self._network(roi.crop(image, self._network.size, padded=True), low=-1.0)
        found = decode(self._layout, self._anchors, boxes[0], scores[0, :, 0], min_score)
        return [Detection(_box_to_frame(d.box, roi), roi.to_frame(d.points), d.score) for d in found]


def _box_to_frame(box: tuple[float, float, float, float], roi: Roi) -> tuple[float, float, float, float]:
    x, y = roi.to_frame(np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]))
    half_width, half_height = (box[2] - box[0]) * roi.side / 2, (box[3] - box[1]) * roi.side / 2
    return (float(x - half_width), float(y - half_height), float(x + half_width), float(y + half_height))


@dataclass(frozen=True)
class PoseLandmarks:
    """MediaPipe's reading of one region.

    points: float64 [39, 2] frame pixels (33 landmarks, then auxiliary points: 33 and 34 align the next region).
    visibility, presence, peak: float64 [39], 0–1; peak is the highest heatmap value near the landmark.
    score: 0–1, that the region holds a person. mask: float32 [256, 256] over the region, probability of the person.
    """

    points: np.ndarray
    visibility: np.ndarray
    presence: np.ndarray
    peak: np.ndarray
    score: float
    mask: np.ndarray
    roi: Roi


class PoseLandmarker:
    """The landmark network for one person in a region."""

    def __init__(self, path: Path) -> None:
        self._network = Network(path)

    def __call__(self, image: np.ndarray, roi: Roi, *, mirrored: bool = False, padded: bool = False) -> PoseLandmarks:
        """mirrored: the network sees the region mirrored; the answer is mirrored back. padded: see `Roi.crop`."""
        size = self._network.size
        landmarks, flag, mask, heatmap, _ = self._network(roi.crop(image, size, mirrored=mirrored, padded=padded))
        raw = landmarks.reshape(39, 5).astype(np.float64)
        points, peak = refine(raw[:, :2] / size, heatmap[0])
        visibility, presence = _sigmoid(raw[:, 3]), _sigmoid(raw[:, 4])
        area = _sigmoid(mask[0, :, :, 0].astype(np.float64)).astype(np.float32)
        if mirrored:
            points = np.stack([1 - points[:, 0], points[:, 1]], axis=-1)[POSE_MIRROR]
            visibility, presence, peak = visibility[POSE_MIRROR], presence[POSE_MIRROR], peak[POSE_MIRROR]
            area = area[:, ::-1]
        return PoseLandmarks(roi.to_frame(points), visibility, presence, peak, float(flag.item()), area, roi)


def refine(points: np.ndarray, heatmap: np.ndarray, kernel: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks moved to the heatmap's centre of mass around them where it peaks at 0.5 or more.

    points: float64 [K, 2] in 0–1; heatmap: logits [h, w, K]. Returns the points and each one's peak [K] (0 where the
    landmark lies outside), as `RefineLandmarksFromHeatmapCalculator` does.
    """
    height, width, _ = heatmap.shape
    points, peaks, reach = points.copy(), np.zeros(len(points)), (kernel - 1) // 2
    for k, (x, y) in enumerate(points):
        column, row = int(x * width), int(y * height)
        if not (0 <= column < width and 0 <= row < height):
            continue
        left, top = max(0, column - reach), max(0, row - reach)
        window = _sigmoid(heatmap[top : row + reach + 1, left : column + reach + 1, k].astype(np.float64))
        peaks[k] = window.max()
        if peaks[k] >= 0.5:
            rows, columns = np.arange(top, top + window.shape[0]), np.arange(left, left + window.shape[1])
            points[k] = (
                (window.sum(0) @ columns) / (width * window.sum()),
                (window.sum(1) @ rows) / (height * window.sum()),
            )
    return points, peaks


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(values, -80, 80)))


class FaceMesher:
    """The face mesh network (the one with attention needs operators that LiteRT does not have)."""

    def __init__(self, path: Path) -> None:
        self._network = Network(path)

    def __call__(self, image: np.ndarray, roi: Roi) -> tuple[np.ndarray, float]:
        """Mesh points float64 [468, 2] in frame pixels, and the score (0–1) that the region holds a face."""
        mesh, flag = self._network(roi.crop(image, self._network.size))
        points = mesh.reshape(468, 3)[:, :2].astype(np.float64) / self._network.size
        return roi.to_frame(points), float(_sigmoid(flag.reshape(1).astype(np.float64))[0])


def roi_from_mesh(points: np.ndarray) -> Roi:
    """The region for the face mesh network, from mesh points [468, 2] of the frame before."""
    return from_box(points, points[33], points[263], 0.0, 1.5)


def roi_from_face(detection: Detection) -> Roi:
    """The region for the face mesh network, from a face detection (points 0 and 1 are the eyes)."""
    return from_box(detection.points, detection.points[0], detection.points[1], 0.0, 1.0).shifted(0.0, -0.1).scaled(2.0)


class HandLandmarker:
    """The re-crop network, which centres a region on the hand, and the hand landmark network."""

    def __init__(self, recrop: Path, landmarks: Path) -> None:
        self._recrop, self._landmarks = Network(recrop), Network(landmarks)

    def recrop(self, image: np.ndarray, roi: Roi) -> Roi:
        """A region centred on the hand that is somewhere inside `roi`."""
        (values,) = self._recrop(roi.crop(image, self._recrop.size))
        centre, edge = roi.to_frame(values.reshape(2, 2).astype(np.float64) / self._recrop.size)
        return from_alignment(centre, edge, -pi / 2, 1.0).shifted(0.0, -0.1)

    def __call__(self, image: np.ndarray, roi: Roi) -> tuple[np.ndarray, float, float]:
        """Hand points float64 [21, 2] in frame pixels, the score that the region holds a hand, and the score that it is
        a right hand in a mirrored picture (both 0–1).
        """
        points, flag, side, _ = self._landmarks(roi.crop(image, self._landmarks.size))
        inside = points.reshape(21, 3)[:, :2].astype(np.float64) / self._landmarks.size
        return roi.to_frame(inside), float(flag.item()), float(side.item())


def roi_from_arm(points: np.ndarray) -> Roi:
    """The region in which the re-crop network looks for the hand, from pose landmarks [3, 2]: wrist, little finger's
    and index finger's knuckle.
    """
    wrist, little, index = points
    middle = (2 * index + little) / 3
    return from_alignment(middle, 2 * middle - wrist, pi / 2, 1.0).shifted(0.0, -0.1).scaled(2.7)
