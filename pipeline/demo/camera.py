"""Camera paths of the demo shots. World axes: x right, y up, z towards the viewer, metres, right-handed."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class CameraPath:
    """Cameras of consecutive frames.

    cam_to_world: float64 [L, 4, 4], OpenCV axes (x right, y down, z forward). focal: float64 [L], focal length over
    frame width. shot_starts: frames at which a shot starts, the first is 0.
    """

    cam_to_world: np.ndarray
    focal: np.ndarray
    shot_starts: tuple[int, ...] = (0,)

    def __len__(self) -> int:
        return len(self.cam_to_world)

    def intrinsics(self, size: tuple[int, int]) -> np.ndarray:
        """K float64 [L, 3, 3] in pixels of a frame of `size` (width, height); the centre of the first pixel is 0."""
        width, height = size
        matrices = np.zeros((len(self), 3, 3))
        matrices[:, 0, 0] = matrices[:, 1, 1] = self.focal * width
        matrices[:, :, 2] = (width - 1) / 2, (height - 1) / 2, 1
        return matrices


def look_at(eye: np.ndarray, target: np.ndarray, roll: float = 0.0) -> np.ndarray:
    """cam_to_world [4, 4] of a camera at `eye` that looks at `target`, turned by `roll` radians about its axis."""
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    matrix = np.eye(4)
    matrix[:3, 0] = np.cos(roll) * right + np.sin(roll) * down
    matrix[:3, 1] = -np.sin(roll) * right + np.cos(roll) * down
    matrix[:3, 2] = forward
    matrix[:3, 3] = eye
    return matrix


def keyed_path(
    frames: int,
    *,
    eye: list[tuple[float, float, float]],
    target: list[tuple[float, float, float]],
    roll: tuple[float, ...] = (0.0,),
    focal: tuple[float, ...] = (1.1,),
) -> CameraPath:
    """A smooth path through evenly spaced keys: positions in metres, roll in radians, focal length in frame widths."""
    time = np.linspace(0, 1, frames)
    eyes, targets = _smooth(np.array(eye), time), _smooth(np.array(target), time)
    rolls, focals = _smooth(np.array(roll)[:, None], time)[:, 0], _smooth(np.array(focal)[:, None], time)[:, 0]
    poses = [look_at(e, t, r) for e, t, r in zip(eyes, targets, rolls, strict=True)]
    return CameraPath(np.stack(poses), focals)


def orbit(frames: int, *, centre: tuple[float, float, float], radius: float, height: float, degrees: float,
          start: float = 0.0, focal: float = 1.1) -> CameraPath:  # fmt: skip
    """A circle about `centre` at `height` metres, from the angle `start` (0 is in front) through `degrees`."""
    angles = np.radians(start + degrees * _ease(np.linspace(0, 1, frames)))
    middle = np.array(centre)
    eyes = np.stack([middle[0] + radius * np.sin(angles), np.full(frames, height), middle[2] + radius * np.cos(angles)])
    return CameraPath(np.stack([look_at(eye, middle) for eye in eyes.T]), np.full(frames, focal))


def pan(frames: int, *, eye: tuple[float, float, float], start: tuple[float, float], end: tuple[float, float],
        roll: tuple[float, float] = (0.0, 0.0), focal: tuple[float, float] = (1.1, 1.1)) -> CameraPath:  # fmt: skip
    """Rotation and zoom about a fixed point. start, end: (yaw, pitch) in degrees, yaw 0 looks along −z, pitch up."""
    blend = _ease(np.linspace(0, 1, frames))
    poses = []
    for w in blend:
        yaw, pitch = np.radians(np.array(start) * (1 - w) + np.array(end) * w)
        forward = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), -np.cos(yaw) * np.cos(pitch)])
        pose = look_at(np.zeros(3), forward, roll[0] * (1 - w) + roll[1] * w)
        pose[:3, 3] = eye
        poses.append(pose)
    return CameraPath(np.stack(poses), focal[0] * (1 - blend) + focal[1] * blend)


def static(frames: int, *, eye: tuple[float, float, float], target: tuple[float, float, float],
           focal: float = 1.1) -> CameraPath:  # fmt: skip
    """A camera that does not move: every pose is the same to the last bit."""
    return CameraPath(np.repeat(look_at(np.array(eye), np.array(target))[None], frames, 0), np.full(frames, focal))


def cut(*shots: CameraPath) -> CameraPath:
    """Shots one after the other, with a cut between each two."""
    starts = np.cumsum([0, *(len(shot) for shot in shots[:-1])])
    poses, focals = (np.concatenate([getattr(s, name) for s in shots]) for name in ("cam_to_world", "focal"))
    return CameraPath(poses, focals, tuple(int(start) for start in starts))


def _ease(time: np.ndarray) -> np.ndarray:
    """Starts and stops softly, with a constant part so that no two frames are equal."""
    return 0.7 * time + 0.3 * time * time * (3 - 2 * time)


def _smooth(keys: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Catmull–Rom through evenly spaced keys [N, C] at time [L] in 0–1 (a constant for one key)."""
    if len(keys) == 1:
        return np.repeat(keys, len(time), 0)
    padded = np.concatenate([2 * keys[:1] - keys[1:2], keys, 2 * keys[-1:] - keys[-2:-1]])
    position = _ease(time) * (len(keys) - 1)
    first = np.minimum(position.astype(int), len(keys) - 2)
    s = (position - first)[:, None]
    a, b, c, d = (padded[first + i] for i in range(4))
    return 0.5 * (2 * b + (c - a) * s + (2 * a - 5 * b + 4 * c - d) * s**2 + (3 * b - a - 3 * c + d) * s**3)
