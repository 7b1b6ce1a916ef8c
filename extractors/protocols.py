"""What the stages ask of an extractor. A backend's `build()` returns an object that fits one of these.

Images are uint8 RGB [height, width, 3], clips [L, height, width, 3]. Extractors are deterministic in their arguments.
`quality` are plain measurements, finite numbers only; thresholds live in the dataset's configuration.
"""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from schemas.artifacts.camera import CameraArtifact
from schemas.artifacts.depth import DepthArtifact
from schemas.artifacts.pose import PoseArtifact


class ExtractionError(RuntimeError):
    """A clip from which the signal cannot be had; the message is one sentence that a person understands."""


@dataclass(frozen=True)
class PoseResult:
    """Keypoints and mask; status "ok" or "no_person"."""

    pose: PoseArtifact
    status: str = "ok"
    quality: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class CameraResult:
    """Cameras; their status is `camera.status`."""

    camera: CameraArtifact
    quality: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class DepthResult:
    """Inverse depth of the reference frames; status "ok", or "plane" where a constant stands for an unknown depth."""

    depth: DepthArtifact
    status: str = "ok"
    quality: dict[str, float] = field(default_factory=dict)


class PoseExtractor(Protocol):
    def __call__(self, frames: np.ndarray, *, fps: float, seed: int) -> PoseResult:
        """Keypoints of every frame of a clip [L, H, W, 3]."""


class CameraExtractor(Protocol):
    def __call__(
        self,
        frames: np.ndarray,
        mask: np.ndarray,
        *,
        fps: float,
        focal: float | None,
        principal: tuple[float, float] | None = None,
        seed: int,
    ) -> CameraResult:
        """Cameras of every frame. mask: bool [L, h, w], True where the picture is not the static scene (any
        resolution). focal: known focal length over frame width, or None. principal: where the lens's axis meets the
        frames, (x, y) in their pixels; None: in the middle.
        """


class DepthExtractor(Protocol):
    def __call__(
        self,
        frames: np.ndarray,
        references: tuple[int, ...],
        mask: np.ndarray,
        camera: CameraArtifact | None,
        *,
        seed: int,
    ) -> DepthResult:
        """Inverse depth of the reference frames. camera: given to backends whose configuration says `needs_camera`."""


class Stylizer(Protocol):
    def __call__(self, pair: np.ndarray, *, seed: int) -> tuple[np.ndarray, str]:
        """A picture [H, 2·W, 3] (reference and target side by side) in another style of the same size, and the name of
        that style (or its prompt).
        """
