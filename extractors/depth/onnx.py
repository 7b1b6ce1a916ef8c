"""Depth backend "onnx": any network of inverse depth (or depth) in ONNX format, one frame at a time, on the CPU."""

from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from pydantic import Field

from extractors.protocols import DepthResult, ExtractionError
from schemas.artifacts.camera import CameraArtifact
from schemas.artifacts.depth import DepthArtifact
from schemas.artifacts.header import finite_quality
from schemas.config import BackendConfig, Problem

Triple = tuple[float, float, float]


class OnnxDepthConfig(BackendConfig):
    """How to feed the network and read its answer. The defaults fit TCMonoDepth exported at 320 × 192."""

    backend: Literal["onnx"] = "onnx"
    path: Path = Field(description="The .onnx file.")
    width: int = Field(320, ge=16, description="Width of the network's input, pixels.")
    height: int = Field(192, ge=16, description="Height of the network's input, pixels.")
    value_scale: float = Field(1.0, gt=0, description="Pixel values 0–255 are multiplied by this first (1/255: 0–1).")
    mean: Triple = Field((0.0, 0.0, 0.0), description="Then subtracted, red green blue.")
    deviation: Triple = Field((1.0, 1.0, 1.0), description="Then divided by, red green blue.")
    channels: Literal["rgb", "bgr"] = Field("rgb", description="Order of the colours.")
    layout: Literal["nchw", "nhwc"] = Field("nchw", description="Order of the input's axes.")
    fit: Literal["stretch", "pad"] = Field(
        "stretch", description="stretch: the frame fills the input; pad: its proportions are kept, with a border."
    )
    output: Literal["inverse_depth", "depth"] = Field("inverse_depth", description="What the network gives.")
    threads: int = Field(1, ge=1, description="CPU threads; the result's last bits may depend on it.")

    def weights(self) -> tuple[Path, ...]:
        return (self.path,)

    def problem(self) -> Problem | None:
        if not self.path.is_file():
            return Problem(cause=f"there is no file {self.path}", remedy="set depth.backend.path to the .onnx file")
        return None

    def build(self) -> "OnnxDepth":
        return OnnxDepth(self)


class OnnxDepth:
    """Fits `extractors.protocols.DepthExtractor`: relative inverse depth at the network's own resolution."""

    def __init__(self, config: OnnxDepthConfig) -> None:
        import onnxruntime

        if problem := config.problem():
            raise ExtractionError(f"{problem.cause}: {problem.remedy}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = config.threads
        options.inter_op_num_threads = 1
        try:
            self._session: Any = onnxruntime.InferenceSession(
                str(config.path), sess_options=options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            # onnxruntime's exceptions share no base class but Exception.
            raise ExtractionError(f"{config.path} does not load as an ONNX network: {error}") from error
        self.config = config
        self._input = self._session.get_inputs()[0]
        wanted = (3, config.height, config.width) if config.layout == "nchw" else (config.height, config.width, 3)
        given = list(self._input.shape[1:])
        if len(given) != 3 or any(isinstance(g, int) and g != w for g, w in zip(given, wanted, strict=True)):
            raise ExtractionError(
                f"{config.path} takes input {self._input.shape}, the settings say {(1, *wanted)}: "
                "set depth.backend width, height and layout"
            )

    def __call__(
        self,
        frames: np.ndarray,
        references: tuple[int, ...],
        mask: np.ndarray,
        camera: CameraArtifact | None,
        *,
        seed: int,
    ) -> DepthResult:
        """Raises ExtractionError where the network's answer is not one finite map. Not a function of mask or seed."""
        maps = np.stack([self._infer(frames[i]) for i in references])
        low, high = np.percentile(maps, [5, 95])
        artifact = DepthArtifact(references, maps, np.zeros(maps.shape, bool), "relative")
        return DepthResult(depth=artifact, quality=finite_quality(depth_p05=low, depth_p95=high))

    def _infer(self, frame: np.ndarray) -> np.ndarray:
        """Inverse depth float32 [h, w] of one frame uint8 [H, W, 3]; the map covers the whole frame."""
        config = self.config
        height, width = frame.shape[:2]
        across, down = config.width / width, config.height / height
        if config.fit == "pad":
            across = down = min(across, down)
        inner = (min(config.width, round(width * across)), min(config.height, round(height * down)))
        shrinks = across < 1 or down < 1
        image = cv2.resize(frame, inner, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        left, top = (config.width - inner[0]) // 2, (config.height - inner[1]) // 2
        image = cv2.copyMakeBorder(
            image, top, config.height - inner[1] - top, left, config.width - inner[0] - left, cv2.BORDER_REPLICATE
        )
        mean, deviation = np.array(config.mean, np.float32), np.array(config.deviation, np.float32)
        values = (image.astype(np.float32) * np.float32(config.value_scale) - mean) / deviation
        values = values[..., ::-1] if config.channels == "bgr" else values
        batch = values.transpose(2, 0, 1) if config.layout == "nchw" else values
        answer = np.asarray(self._session.run(None, {self._input.name: np.ascontiguousarray(batch[None])})[0])
        depth: np.ndarray = np.squeeze(answer).astype(np.float32)
        if depth.ndim != 2 or not np.isfinite(depth).all():
            raise ExtractionError(f"{config.path} answered {answer.shape}, not one finite map: is it a depth network?")
        # Borders are cut off in the answer's own resolution, which need not be the input's.
        rows, columns = depth.shape[0] / config.height, depth.shape[1] / config.width
        depth = depth[
            round(top * rows) : round((top + inner[1]) * rows),
            round(left * columns) : round((left + inner[0]) * columns),
        ]
        if config.output == "depth":
            depth = 1 / np.maximum(depth, np.float32(1e-3 * max(float(np.median(depth)), 1e-6)))
        return depth
