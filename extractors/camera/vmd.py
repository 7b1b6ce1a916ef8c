"""Exact cameras from the camera track of a MikuMikuDance motion file (.vmd).

The file: 30 bytes signature, 20 bytes model name (Shift-JIS), then counted blocks of bone (111 bytes a key), morph
(23), camera (61), light (28) and self-shadow keys (9), all little-endian. A camera key: frame (uint32, 30 a second),
distance (float32, negative before the target), centre x y z (float32), rotation x y z (float32, radians), 24 bytes of
Bézier control points (x1 x2 y1 y2, 0–127, for centre x, centre y, centre z, rotation, distance and view angle: the
curve from the key before to this one), view angle (uint32, vertical, whole degrees) and a byte, 0 for perspective.

The pose, in MMD's left-handed axes (x right, y up, z away from the viewer), as babylon-mmd and mmd_tools read it:

    R = Ry(−ry) · Rx(−rx) · Rz(−rz)        eye = centre + R · (0, 0, distance)

The camera looks along R · (0, 0, 1). Turning y round on both sides gives OpenCV's right-handed axes.
"""

import struct
from dataclasses import dataclass

import numpy as np

from extractors.geometry.cameras import intrinsics_from_fov, window_intrinsics
from extractors.geometry.rigid import pose, relative_to_first, rotation_from_vector
from extractors.protocols import ExtractionError
from schemas.artifacts.camera import CameraArtifact, SparseDepth

FPS = 30.0
MAX_BYTES = 256 * 2**20
SIGNATURE = b"Vocaloid Motion Data 0002"
_KEY = np.dtype(
    [
        ("frame", "<u4"),
        ("distance", "<f4"),
        ("centre", "<f4", 3),
        ("rotation", "<f4", 3),
        ("curves", "u1", (6, 4)),
        ("angle", "<u4"),
        ("orthographic", "u1"),
    ]
)
_BLOCKS_BEFORE = (("bone", 111), ("morph", 23))
_BLOCKS_AFTER = (("light", 28), ("self-shadow", 9))
_STILL = 1e-6  # of the distance to the target: float32 keys of a resting eye differ by less


class VmdError(ExtractionError):
    """A file without a usable camera track; the message names the file, the cause and the next step."""


@dataclass(frozen=True)
class CameraTrack:
    """Camera keys in ascending frames, in MMD's units and axes.

    frames: int64 [N]. distance: [N]. centre, rotation: [N, 3], units and radians. fov: [N], vertical, degrees. curves:
    [N, 6, 4], x1 x2 y1 y2 in 0 … 1 for centre x, y, z, rotation, distance and fov; of the segment that ends in the key.
    orthographic: bool [N].
    """

    name: str
    frames: np.ndarray
    distance: np.ndarray
    centre: np.ndarray
    rotation: np.ndarray
    fov: np.ndarray
    curves: np.ndarray
    orthographic: np.ndarray


@dataclass(frozen=True)
class TrackSample:
    """The track at Q frame times: centre, rotation [Q, 3], distance, fov [Q] (degrees), orthographic bool [Q]."""

    centre: np.ndarray
    rotation: np.ndarray
    distance: np.ndarray
    fov: np.ndarray
    orthographic: np.ndarray


def parse_camera_track(data: bytes, name: str) -> CameraTrack:
    """The camera track of a .vmd file's bytes; `name` is the file's, for messages.

    Of several keys at one frame the last in the file counts. Raises VmdError for another format, a truncated file, a
    count that overruns it, a file without camera keys, and values that no camera has.
    """
    if len(data) > MAX_BYTES:
        raise VmdError(f"{name}: {len(data)} bytes, more than the {MAX_BYTES} that a motion file may have")
    if data[:30].split(b"\0")[0] != SIGNATURE:
        raise VmdError(
            f"{name}: not a motion file of MikuMikuDance 3 or later (it begins with {data[:25]!r}, not {SIGNATURE!r}): "
            "save the camera track again from MikuMikuDance"
        )
    if len(data) < 50:
        raise VmdError(f"{name}: truncated in the header ({len(data)} of 50 bytes): copy the file again")
    model = data[30:50].split(b"\0")[0].decode("shift_jis", errors="replace")
    at = 50
    for block, size in _BLOCKS_BEFORE:
        at += 4 + size * _count(data, at, block, size, name)
    count = _count(data, at, "camera", _KEY.itemsize, name) if at < len(data) else 0
    if count == 0:
        raise VmdError(
            f"{name}: holds no camera key (a motion of {model!r}): camera tracks are saved apart from motions, give "
            "the file that was saved with the camera selected, or take the file away to estimate the camera"
        )
    keys = np.frombuffer(data, _KEY, count, at + 4)
    at += 4 + _KEY.itemsize * count
    for block, size in _BLOCKS_AFTER:
        if at < len(data):
            at += 4 + size * _count(data, at, block, size, name)
    _check_values(keys, name)
    keys = keys[np.argsort(keys["frame"], kind="stable")]
    keys = keys[np.append(keys["frame"][1:] != keys["frame"][:-1], True)]
    return CameraTrack(
        name=name,
        frames=keys["frame"].astype(np.int64),
        distance=keys["distance"].astype(np.float64),
        centre=keys["centre"].astype(np.float64),
        rotation=keys["rotation"].astype(np.float64),
        fov=keys["angle"].astype(np.float64),
        curves=keys["curves"] / 127.0,
        orthographic=keys["orthographic"] != 0,
    )


def _count(data: bytes, at: int, block: str, size: int, name: str) -> int:
    """The number of keys of the block at byte `at`, which must lie inside the file with all of them."""
    if at + 4 > len(data):
        raise VmdError(f"{name}: truncated before the {block} keys (byte {at} of {len(data)}): copy the file again")
    count = int(struct.unpack_from("<I", data, at)[0])
    if at + 4 + count * size > len(data):
        raise VmdError(
            f"{name}: says {count} {block} keys at byte {at}, which need {count * size} bytes, but "
            f"{len(data) - at - 4} are left: the file is truncated or damaged, copy it again"
        )
    return count


def _check_values(keys: np.ndarray, name: str) -> None:
    numbers = np.column_stack([keys["distance"], keys["centre"], keys["rotation"]])
    for wrong, complaint in (
        (~np.isfinite(numbers).all(1), "a number that is not finite"),
        ((keys["angle"] < 1) | (keys["angle"] > 179), "a view angle outside of 1 to 179 degrees"),
        ((keys["curves"] > 127).any((1, 2)), "an interpolation byte above 127"),
    ):
        if wrong.any():
            frame = int(keys["frame"][wrong.argmax()])
            raise VmdError(f"{name}: the camera key at frame {frame} has {complaint}: the file is damaged")


def sample_track(track: CameraTrack, frames: np.ndarray) -> TrackSample:
    """The track at frame times [Q] (fractions allowed; 30 a second), held before the first and after the last key.

    Each channel moves along its own Bézier curve. Keys of neighbouring frames are a cut: the earlier one is held until
    the later one's frame.
    """
    frames = np.asarray(frames, np.float64)
    last = len(track.frames) - 1
    left = np.clip(np.searchsorted(track.frames, frames, side="right") - 1, 0, last)
    right = np.minimum(left + 1, last)
    gap = track.frames[right] - track.frames[left]
    share = np.where(gap > 1, (frames - track.frames[left]) / np.maximum(gap, 1), 0.0).clip(0.0, 1.0)
    weight = bezier(track.curves[right], share[:, None])

    def between(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return values[left] + weights * (values[right] - values[left])

    return TrackSample(
        centre=between(track.centre, weight[:, :3]),
        rotation=between(track.rotation, weight[:, 3:4]),
        distance=between(track.distance, weight[:, 4]),
        fov=between(track.fov, weight[:, 5]),
        orthographic=track.orthographic[left],
    )


def bezier(curves: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Height y [...] at x = share [...] of Bézier curves [..., 4] (x1 x2 y1 y2 in 0 … 1) from (0, 0) to (1, 1)."""
    x1, x2, y1, y2 = np.moveaxis(np.asarray(curves, np.float64), -1, 0)
    share = np.broadcast_to(share, x1.shape)
    low, high = np.zeros_like(x1), np.ones_like(x1)
    # x grows with t, but its slope may be 0: bisection needs no slope, and 60 halvings reach float64's limit
    for _ in range(60):
        t = 0.5 * (low + high)
        below = _cubic(x1, x2, t) < share
        low, high = np.where(below, t, low), np.where(below, high, t)
    y = _cubic(y1, y2, 0.5 * (low + high))
    return np.where(share <= 0, 0.0, np.where(share >= 1, 1.0, y))


def _cubic(first: np.ndarray, second: np.ndarray, t: np.ndarray) -> np.ndarray:
    rest = 1.0 - t
    return 3 * rest * rest * t * first + 3 * rest * t * t * second + t**3


def track_poses(sample: TrackSample) -> np.ndarray:
    """cam_to_world [Q, 4, 4] in OpenCV axes; the world is MMD's with y turned down, in MMD's units."""
    about = np.eye(3)
    x, y, z = (rotation_from_vector(-sample.rotation[:, i : i + 1] * about[i]) for i in range(3))
    turn = y @ x @ z
    eye = sample.centre + sample.distance[:, None] * turn[:, :, 2]
    flip = np.diag([1.0, -1.0, 1.0])
    return pose(flip @ turn @ flip, eye @ flip)


def track_cameras(
    track: CameraTrack,
    times: np.ndarray,
    *,
    size: tuple[int, int],
    source_size: tuple[int, int],
    crop: tuple[float, float, float, float],
    offset_s: float = 0.0,
) -> CameraArtifact:
    """The cameras of a clip whose frames show the video at `times` [L] (seconds).

    size: (W, H) of the frames, pixels. source_size: (W, H) of the displayed source picture, over whose height the
    view angle spans; crop: (x, y, width, height) of the part that fills the frame, source pixels. offset_s: video time
    of the track's frame 0. Unit of translation: MMD's. Raises VmdError where the track is orthographic.
    """
    frames = (np.asarray(times, np.float64) - offset_s) * FPS
    # Times n / 30 carry rounding errors, which must not move a frame to the wrong side of a cut.
    nearest = np.round(frames)
    sample = sample_track(track, np.where(np.abs(frames - nearest) < 1e-3, nearest, frames))
    if sample.orthographic.any():
        first = float(times[int(sample.orthographic.argmax())])
        raise VmdError(
            f"{track.name}: the camera is orthographic at {first:.2f} s, which has no focal length: leave this part of "
            "the video out, or take the file away to estimate the camera"
        )
    lenses = intrinsics_from_fov(np.radians(sample.fov), source_size)
    lenses = window_intrinsics(lenses, crop, size)
    cams = relative_to_first(track_poses(sample))
    still = np.abs(cams[:, :3, 3]).max() <= _STILL * max(1.0, float(np.abs(sample.distance).max()))
    status = "moving"
    if still:
        cams[:, :3, 3] = 0.0
        resting = np.abs(cams - np.eye(4)).max() < _STILL and np.ptp(lenses, axis=0).max() == 0
        status = "static" if resting else "rotation"
        cams = np.tile(np.eye(4), (len(cams), 1, 1)) if resting else cams
    empty = SparseDepth(np.zeros((0, 2), np.float32), np.zeros(0, np.float32))
    return CameraArtifact(status, cams, lenses, (empty,) * len(cams), "track")
