"""Pose backend "rtmw": whole-body networks RTMW (arXiv 2407.08634) and DWPose (arXiv 2307.15880), run by `rtmlib`.

For those whom X-Pose's licence keeps out: both are Apache-2.0. A detector finds people, the pose network reads 133
points of each (COCO-WholeBody), which are this project's own: 0–16 body, 17–22 feet (not kept), 23–90 face, 91–111 left
hand, 112–132 right hand, each in the same order.
"""

import io
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from extractors.devices import package_problem
from extractors.pose.assemble import finished, missing
from extractors.pose.people import Found, follow_people
from extractors.protocols import ExtractionError, PoseResult
from extractors.weights.store import located, missing_weights
from schemas.artifacts.pose import BODY, FACE, HAND
from schemas.config import BackendConfig, Problem

POINTS = 133
FACE_FROM, LEFT_FROM, RIGHT_FROM = 23, 91, 112
PERSON = 0
"""Number of the person among the 80 classes of a COCO detector."""
DETECTOR_SIZE = (640, 640)


class RtmwConfig(BackendConfig):
    """Detector and pose network as ONNX files `detector.onnx` and `pose.onnx` in one folder."""

    keyless: ClassVar[frozenset[str]] = BackendConfig.keyless | {"folder", "model"}

    backend: Literal["rtmw"] = "rtmw"
    model: Literal["rtmw-l-384", "dwpose-l-384"] = Field("rtmw-l-384", description="Name in the weights catalog.")
    folder: Path | None = Field(None, description="Folder with the two files; None: the weights folder.")
    detector_score: float = Field(0.5, ge=0, le=1, description="Lowest score of a person (detectors without own NMS).")
    min_score: float = Field(0.3, ge=0, le=1, description="Points below it are missing.")
    people: int = Field(1, ge=1, le=8, description="People kept, the most prominent first.")
    candidates: int = Field(4, ge=1, le=32, description="People read in a frame, the largest first.")
    mask_side: int = Field(192, ge=16, description="Longer side of the character mask, in cells.")
    device: Literal["cpu", "cuda"] = Field("cpu", description="Where onnxruntime runs the networks.")

    def weights(self) -> tuple[Path, ...]:
        folder = located(self.folder, self.model)
        return folder / "detector.onnx", folder / "pose.onnx"

    def problem(self) -> Problem | None:
        from importlib.util import find_spec

        if problem := package_problem("onnxruntime", extra="pipeline"):
            return problem
        if find_spec("rtmlib") is None:
            return Problem(
                cause="the package rtmlib is not installed",
                remedy="pip install --no-deps rtmlib (its dependencies would bring a second OpenCV)",
            )
        if self.device == "cuda":
            import onnxruntime

            if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
                return Problem(
                    cause="this onnxruntime has no CUDA provider",
                    remedy="pip install onnxruntime-gpu in place of onnxruntime, or set device: cpu",
                )
        return missing_weights(self.weights(), self.model)

    def build(self) -> "Rtmw":
        """Raises ExtractionError where `problem()` names one or the files are not such networks."""
        if problem := self.problem():
            raise ExtractionError(f"{problem.cause}: {problem.remedy}")
        from rtmlib import YOLOX, RTMPose

        detector, pose = self.weights()
        try:
            with redirect_stdout(io.StringIO()):  # rtmlib announces each model it loads
                find = YOLOX(
                    str(detector), model_input_size=DETECTOR_SIZE, score_thr=self.detector_score, device=self.device
                )
                read = RTMPose(str(pose), model_input_size=_input_size(pose), device=self.device)
        except Exception as error:  # onnxruntime has exceptions of its own for each fault of a file
            raise ExtractionError(f"{detector} or {pose} does not load ({error}): fetch {self.model} again") from error
        return Rtmw(detector=find, pose=read, config=self)


def _input_size(path: Path) -> tuple[int, int]:
    """(width, height) of the pose network's input. Raises ExtractionError for a network of another layout."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    shapes = [list(tensor.shape) for tensor in (*session.get_inputs(), *session.get_outputs())]
    if len(shapes) != 3 or len(shapes[0]) != 4 or shapes[1][1] != POINTS or not isinstance(shapes[0][3], int):
        raise ExtractionError(
            f"{path} is no whole-body network: its shapes are {shapes}, expected one picture in and the two coordinate "
            f"distributions of {POINTS} points out"
        )
    return shapes[0][3], shapes[0][2]


class Rtmw:
    """Fits `extractors.protocols.PoseExtractor`."""

    def __init__(self, *, detector: Any, pose: Any, config: RtmwConfig) -> None:
        self._detector, self._pose, self._config = detector, pose, config
        if detector.session.get_outputs()[0].shape[-1] != 5:
            detector.det_mode = "multiclass"  # without NMS inside it answers with all of COCO's classes

    def __call__(self, frames: np.ndarray, *, fps: float, seed: int) -> PoseResult:
        """The most prominent people of the clip; points below `min_score` are missing."""
        config = self._config
        found = [self._read(frame) for frame in frames]
        length, count = len(frames), config.people
        body, face, hand = missing(length, count, BODY), missing(length, count, FACE), missing(length, 2 * count, HAND)
        for number, chosen in enumerate(follow_people(found, count)):
            for frame, index in enumerate(chosen):
                if index is None:
                    continue
                points = found[frame][index].points
                body[frame, number] = points[:BODY]
                face[frame, number] = points[FACE_FROM : FACE_FROM + FACE]
                hand[frame, 2 * number] = points[LEFT_FROM : LEFT_FROM + HAND]
                hand[frame, 2 * number + 1] = points[RIGHT_FROM : RIGHT_FROM + HAND]
        size = (frames.shape[2], frames.shape[1])
        return finished(body, face, hand, found, size=size, mask_side=config.mask_side)

    def _read(self, frame: np.ndarray) -> list[Found]:
        """Everyone in one frame, the largest first."""
        # The detector was trained on BGR pictures, the pose network on RGB ones with ImageNet's means.
        answer = self._detector(np.ascontiguousarray(frame[..., ::-1]))
        boxes = answer[0][answer[1] == PERSON] if isinstance(answer, tuple) else answer
        boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
        boxes = boxes[np.argsort(-np.prod(boxes[:, 2:] - boxes[:, :2], axis=-1), kind="stable")]
        found = []
        for box in boxes[: self._config.candidates]:
            places, scores = self._pose(frame, bboxes=[box])
            points = np.concatenate([places[0], np.clip(scores[0], 0, 1)[:, None]], -1).astype(np.float32)
            points[points[:, 2] < self._config.min_score] = [np.nan, np.nan, 0]
            if (points[:BODY, 2] > 0).any():
                found.append(Found(box=box, score=float(points[:BODY, 2].mean()), points=points))
        return found
