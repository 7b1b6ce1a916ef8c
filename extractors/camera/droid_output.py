"""What DROID-SLAM takes and gives, in this project's conventions. Arrays only: nothing of upstream is imported.

Upstream's layouts: poses `[tx ty tz qx qy qz qw]`, scalar last; `terminate()` returns camera-to-world for every frame,
`video.poses` are world-to-camera of the keyframes; `video.disps` is 1/z of a keyframe at an eighth of the picture's
resolution, cell i at picture pixel 8·i (where the convolutions of stride 2 are centred); units are arbitrary.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from extractors.geometry.cameras import rescale_intrinsics
from extractors.geometry.rigid import pose, relative_to_first, rotation_from_xyzw
from schemas.artifacts.camera import SparseDepth

CELL = 8
NOTHING = SparseDepth(np.zeros((0, 2), np.float32), np.zeros(0, np.float32))


PACKAGES = ("droid_backends", "lietorch", "torch_scatter")


@dataclass(frozen=True)
class Thresholds:
    """Upstream's options, by its names; the defaults are those of its demo."""

    beta: float = 0.3
    filter_thresh: float = 2.4
    warmup: int = 8
    keyframe_thresh: float = 4.0
    frontend_thresh: float = 16.0
    frontend_window: int = 25
    frontend_radius: int = 2
    frontend_nms: int = 1
    backend_thresh: float = 22.0
    backend_radius: int = 2
    backend_nms: int = 3


@dataclass(frozen=True)
class TrackerRun:
    """Arrays in upstream's own layout.

    poses: [L, 7], camera-to-world of every frame, as `terminate()` returns them; None where the tracker never got the
    keyframes to start with. keyframes: int [K], frame numbers; keyframe_poses: [K, 7], world-to-camera; disparity:
    [K, h / 8, w / 8].
    """

    poses: np.ndarray | None
    keyframes: np.ndarray
    keyframe_poses: np.ndarray
    disparity: np.ndarray


class Tracker(Protocol):
    def __call__(
        self, pictures: np.ndarray, blanked: np.ndarray, intrinsics: np.ndarray, thresholds: Thresholds
    ) -> TrackerRun:
        """pictures: uint8 RGB [L, h, w, 3], sides multiples of 8, blanked where they are not the scene; blanked: bool
        [L, h / 8, w / 8]; intrinsics: [4] of the pictures.
        """


@dataclass(frozen=True)
class WorkingSize:
    """How a frame becomes the picture that the tracker sees: scaled to `scaled`, then cut to `cut` at right and bottom.

    Sizes are (width, height) in pixels. The scale is the same along both axes to within rounding; cutting takes less
    than one cell of eight pixels, so that the aspect ratio is kept and nothing is squashed.
    """

    frame: tuple[int, int]
    scaled: tuple[int, int]
    cut: tuple[int, int]

    @classmethod
    def of(cls, frame: tuple[int, int], pixels: int) -> "WorkingSize":
        """The size of about `pixels` pixels for frames of a size (width, height)."""
        factor = float(np.sqrt(pixels / (frame[0] * frame[1])))
        width, height = (max(CELL, round(side * factor)) for side in frame)
        return cls(frame=frame, scaled=(width, height), cut=(width - width % CELL, height - height % CELL))

    def intrinsics(self, intrinsics: np.ndarray) -> np.ndarray:
        """Intrinsics [..., 4] of the frame as those of the working picture; cutting at right and bottom moves none."""
        return rescale_intrinsics(intrinsics, self.frame, self.scaled)

    def frame_pixels(self, xy: np.ndarray) -> np.ndarray:
        """Working pixels [N, 2] as frame pixels."""
        scale = np.array(self.frame) / np.array(self.scaled)
        return (np.asarray(xy, np.float64) + 0.5) * scale - 0.5


def transforms(poses: np.ndarray) -> np.ndarray:
    """float64 [N, 4, 4] of upstream's poses [N, 7], in whichever direction those are."""
    poses = np.asarray(poses, np.float64)
    return pose(rotation_from_xyzw(poses[:, 3:]), poses[:, :3])


def cameras_from_poses(poses: np.ndarray) -> np.ndarray:
    """cam_to_world float64 [L, 4, 4], the first one the identity, of camera-to-world poses [L, 7] as `terminate()`
    returns them.
    """
    return relative_to_first(transforms(poses))


@dataclass(frozen=True)
class Keyframes:
    """The keyframes of a finished run. frames: int [K], their numbers in the clip, ascending; disparity: float32
    [K, h, w], 1/z; intrinsics: float64 [4], of the working picture.
    """

    frames: np.ndarray
    disparity: np.ndarray
    intrinsics: np.ndarray


def sparse_depths(
    cam_to_world: np.ndarray,
    keyframes: Keyframes,
    blanked: np.ndarray,
    size: WorkingSize,
    *,
    stride: int,
    reach: float = 0.05,
) -> tuple[SparseDepth, ...]:
    """Points of known depth for every frame: the nearest keyframe's disparities, moved into the frame's camera.

    cam_to_world: [L, 4, 4] in the disparities' unit. blanked: bool [L, h, w] on the disparity grid, True where the
    picture was masked. stride: cells between points. Points that land outside the frame, behind its camera or on its
    own mask are left out, and so are cells whose disparity differs from a neighbour's by more than `reach` of itself
    (edges, where a point may belong to either side).
    """
    height, width = keyframes.disparity.shape[1:]
    rows, columns = np.mgrid[0:height:stride, 0:width:stride]
    cells = np.stack([columns.ravel(), rows.ravel()], -1)
    rays = np.concatenate(
        [(cells * CELL - keyframes.intrinsics[2:]) / keyframes.intrinsics[:2], np.ones((len(cells), 1))], -1
    )
    out = []
    for number, camera in enumerate(cam_to_world):
        key = int(np.abs(keyframes.frames - number).argmin())
        frame = int(keyframes.frames[key])
        disparity = keyframes.disparity[key]
        inverse = disparity[cells[:, 1], cells[:, 0]].astype(np.float64)
        step = _steps(disparity)[cells[:, 1], cells[:, 0]]
        good = (inverse > 0) & ~blanked[frame][cells[:, 1], cells[:, 0]] & (step <= reach * inverse)
        moved = np.linalg.inv(camera) @ cam_to_world[frame]
        # homogeneous in the inverse depth, which may be tiny: (R ray + t · 1/z), with 1/z′ = (1/z) / third entry
        there = rays[good] @ moved[:3, :3].T + moved[:3, 3] * inverse[good, None]
        front = there[:, 2] > 1e-6
        there, inverse = there[front], inverse[good][front]
        pixels = there[:, :2] / there[:, 2:] * keyframes.intrinsics[:2] + keyframes.intrinsics[2:]
        inside = ((pixels >= -0.5) & (pixels < np.array([width, height]) * CELL - 0.5)).all(-1)
        landed = np.clip(np.rint(pixels / CELL), 0, [width - 1, height - 1]).astype(int)
        free = inside.copy()
        free[inside] = ~blanked[number][landed[inside, 1], landed[inside, 0]]
        xy = size.frame_pixels(pixels[free])
        free_depth = inverse[free] / there[free, 2]
        out.append(SparseDepth(xy.astype(np.float32), free_depth.astype(np.float32)))
    return tuple(out)


def _steps(disparity: np.ndarray) -> np.ndarray:
    """Largest difference [h, w] of each cell to its four neighbours."""
    padded = np.pad(disparity, 1, mode="edge")
    centre = padded[1:-1, 1:-1]
    around = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    return np.max([np.abs(centre - other) for other in around], axis=0)
