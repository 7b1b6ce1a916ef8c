"""Face and hands of the person whose body is known."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from extractors.pose.layout import FACE_FROM_POSE, LEFT_HAND_FROM_POSE, RIGHT_HAND_FROM_POSE, face_from_mesh
from extractors.pose.networks import (
    FACE_DETECTOR,
    Detector,
    FaceMesher,
    HandLandmarker,
    roi_from_arm,
    roi_from_face,
    roi_from_mesh,
)
from extractors.pose.roi import Roi, from_box

FACE_POINTS, HAND_POINTS = 68, 21


@dataclass
class FaceReader:
    """Reads the face; holds the mesh of the frame before, from which the next region comes."""

    detector: Detector
    mesher: FaceMesher
    last: np.ndarray | None = None

    @classmethod
    def load(cls, files: dict[str, Path]) -> "FaceReader":
        detector = Detector(files["face_detection_short_range"], FACE_DETECTOR)
        return cls(detector, FaceMesher(files["face_landmark"]))

    def __call__(self, image: np.ndarray, points: np.ndarray, min_score: float) -> np.ndarray:
        """[68, 3] x, y in pixels and score (one for the face); NaN, NaN, 0 where there is no face.

        points: the body's 33 landmarks [33, 2] in pixels.
        """
        for roi in self._regions(image, points):
            mesh, score = self.mesher(image, roi)
            if score >= min_score and _near(mesh, points):
                self.last = mesh
                return np.column_stack([face_from_mesh(mesh), np.full(FACE_POINTS, score)])
        self.last = None
        return missing(FACE_POINTS)

    def _regions(self, image: np.ndarray, points: np.ndarray) -> list[Roi]:
        """Where the face may be, likeliest first."""
        face = points[list(FACE_FROM_POSE)]
        around = from_box(face, points[5], points[2], 0.0, 3.0)
        if self.last is not None and _near(self.last, points):
            return [roi_from_mesh(self.last)]
        found = self.detector(image, around, 0.5)
        return [roi_from_face(found[0])] if found else [around.scaled(0.75)]


def _near(mesh: np.ndarray, points: np.ndarray) -> bool:
    """Whether a face mesh lies where the body has its face: nose tips no farther apart than half the mesh's size."""
    return bool(np.linalg.norm(mesh[4] - points[0]) < 0.5 * np.linalg.norm(np.ptp(mesh, axis=0)))


def read_hands(
    landmarker: HandLandmarker, image: np.ndarray, points: np.ndarray, confidence: np.ndarray, min_score: float
) -> np.ndarray:
    """[2, 21, 3] left and right hand: x, y in pixels and score (one a hand); NaN, NaN, 0 where there is none.

    points, confidence: the body's 33 landmarks [33, 2] in pixels and [33].
    """
    hands = np.stack([missing(HAND_POINTS), missing(HAND_POINTS)])
    for side, sources in enumerate((LEFT_HAND_FROM_POSE, RIGHT_HAND_FROM_POSE)):
        arm = points[list(sources)]
        if confidence[sources[0]] < 0.35 or np.linalg.norm(arm[0] - arm[1:].mean(0)) < 2.0:
            continue
        found, score, _ = landmarker(image, landmarker.recrop(image, roi_from_arm(arm)))
        reach = 2.5 * float(np.linalg.norm(arm[0] - arm[1:].mean(0)))
        if score >= min_score and np.linalg.norm(found[0] - arm[0]) < reach:
            hands[side] = np.column_stack([found, np.full(HAND_POINTS, score)])
    return hands


def missing(count: int) -> np.ndarray:
    """[count, 3] points that are not there."""
    return np.tile(np.array([np.nan, np.nan, 0.0]), (count, 1))
