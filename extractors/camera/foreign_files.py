"""Camera files of other programs, read strictly: TUM trajectories, ViPE's results, COLMAP models (text and binary).

Every reader checks sizes before it reads and ends in ForeignFileError, which names the file and what is wrong with it.
"""

import re
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from extractors.geometry.rigid import invert, pose, rotation_from_xyzw
from extractors.protocols import ExtractionError

MAX_BYTES = 1 << 30
MAX_FRAMES = 1_000_000
_PINHOLES = {"SIMPLE_PINHOLE": (0, 0, 1, 2), "PINHOLE": (0, 1, 2, 3), "SIMPLE_RADIAL": (0, 0, 1, 2)}
"""Places of fx, fy, cx, cy among a model's parameters."""
_MODELS = {0: ("SIMPLE_PINHOLE", 3), 1: ("PINHOLE", 4), 2: ("SIMPLE_RADIAL", 4)}
"""Name and number of parameters by the number that binary files hold."""


class ForeignFileError(ExtractionError):
    """A file that another program wrote and that does not follow its format."""


@dataclass(frozen=True)
class Trajectory:
    """Cameras by time (TUM) or by frame number (the others).

    at: float64 [N], ascending, seconds or frame numbers. cam_to_world: float64 [N, 4, 4], OpenCV axes. intrinsics:
    float64 [N, 4], or None where the file has none, in pixels of a picture of `size` (W, H), pixel (0, 0) the centre of
    the first one; size None: the source's own. points: for each camera float64 [P, 3] of the world, or empty.
    """

    at: np.ndarray
    cam_to_world: np.ndarray
    intrinsics: np.ndarray | None = None
    size: tuple[int, int] | None = None
    points: tuple[np.ndarray, ...] = ()


def read_tum(path: Path) -> Trajectory:
    """`timestamp tx ty tz qx qy qz qw` a line (camera-to-world, scalar last); `#` begins a comment."""
    rows = []
    for number, line in enumerate(_text(path).splitlines(), 1):
        if not (line := line.partition("#")[0].strip()):
            continue
        rows.append(_numbers(path, number, line.replace(",", " ").split(), 8))
    table = _finite(path, np.array(rows).reshape(-1, 8))
    if (np.linalg.norm(table[:, 4:], axis=1) < 1e-6).any():
        raise ForeignFileError(f"{path}: a quaternion is zero")
    return _ordered(path, Trajectory(table[:, 0], pose(rotation_from_xyzw(table[:, 4:]), table[:, 1:4])))


def read_vipe(pose_path: Path, intrinsics_path: Path) -> Trajectory:
    """ViPE's `pose/NAME.npz` (data [N, 4, 4], inds [N]) and `intrinsics/NAME.npz` (data [N, 4])."""
    poses, frames = _npz(pose_path, (4, 4))
    values, value_frames = _npz(intrinsics_path, (4,))
    if not np.array_equal(frames, value_frames):
        raise ForeignFileError(f"{intrinsics_path}: its frames are not those of {pose_path}")
    if np.abs(poses[:, 3] - [0, 0, 0, 1]).max() > 1e-4:
        raise ForeignFileError(f"{pose_path}: the last row of a pose is not 0 0 0 1")
    return _ordered(pose_path, Trajectory(frames.astype(np.float64), poses, values))


def read_colmap(folder: Path, max_distortion: float) -> Trajectory:
    """A COLMAP model folder; the last number in an image's name is its frame number. Poses are world-to-camera in the
    file, and its pixel centres lie at 0.5, of which half a pixel is taken off.

    max_distortion: largest radial coefficient that is passed over; beyond it the pictures must be undistorted first.
    """
    binary = (folder / "images.bin").is_file()
    if not binary and not (folder / "images.txt").is_file():
        raise ForeignFileError(f"{folder}: holds neither images.bin nor images.txt, so it is no COLMAP model")
    cameras, images, points = _read_binary(folder) if binary else _read_text(folder)
    if not images:
        raise ForeignFileError(f"{folder}: the model has no images")
    at, transforms, intrinsics, sizes, seen = [], [], [], set(), []
    for name, (wxyz, translation, camera_id, ids) in images.items():
        digits = re.findall(r"\d+", Path(name).stem)
        if not digits:
            raise ForeignFileError(f"{folder}: the image name {name!r} holds no frame number")
        if camera_id not in cameras:
            raise ForeignFileError(f"{folder}: image {name!r} names camera {camera_id}, which does not exist")
        model, size, parameters = cameras[camera_id]
        if model == "SIMPLE_RADIAL" and abs(parameters[3]) > max_distortion:
            raise ForeignFileError(
                f"{folder}: camera {camera_id} has radial distortion {parameters[3]:.3g}: undistort the images first "
                "(colmap image_undistorter), or raise max_distortion"
            )
        at.append(float(digits[-1]))
        transforms.append(pose(rotation_from_xyzw(np.array([*wxyz[1:], wxyz[0]])), np.array(translation)))
        intrinsics.append(np.array(parameters)[list(_PINHOLES[model])] - [0, 0, 0.5, 0.5])
        sizes.add(size)
        seen.append(np.array([points[i] for i in ids if i in points], np.float64).reshape(-1, 3))
    if len(sizes) > 1:
        raise ForeignFileError(f"{folder}: its cameras have pictures of different sizes: {sorted(sizes)}")
    cam_to_world = _finite(folder, invert(np.stack(transforms)))
    found = Trajectory(np.array(at), cam_to_world, _finite(folder, np.stack(intrinsics)), sizes.pop(), tuple(seen))
    return _ordered(folder, found)


Cameras = dict[int, tuple[str, tuple[int, int], tuple[float, ...]]]
Images = dict[str, tuple[tuple[float, ...], tuple[float, ...], int, tuple[int, ...]]]
Points = dict[int, tuple[float, ...]]


def _read_text(folder: Path) -> tuple[Cameras, Images, Points]:
    cameras: Cameras = {}
    for number, words in _lines(folder / "cameras.txt"):
        if len(words) < 5 or words[1] not in _PINHOLES:
            raise ForeignFileError(
                f"{folder / 'cameras.txt'}, line {number}: camera model {words[1:2]} is not one of {list(_PINHOLES)}: "
                "undistort the images first (colmap image_undistorter)"
            )
        values = _numbers(folder, number, [words[0], *words[2:]], None)
        cameras[int(values[0])] = (words[1], (int(values[1]), int(values[2])), tuple(values[3:]))
    images: Images = {}
    path = folder / "images.txt"
    lines = [line for line in _text(path).splitlines() if not line.startswith("#")]
    for number in range(0, len(lines) - 1, 2):
        words = lines[number].split(maxsplit=9)
        if not words:
            continue
        if len(words) != 10:
            raise ForeignFileError(f"{path}: image {number // 2 + 1} has {len(words)} fields of 10")
        values = _numbers(path, number + 1, words[:9], 9)
        observed = _numbers(path, number + 2, lines[number + 1].split(), None)
        ids = tuple(int(i) for i in observed[2::3] if i >= 0)
        images[words[9]] = (tuple(values[1:5]), tuple(values[5:8]), int(values[8]), ids)
    points: Points = {}
    if (folder / "points3D.txt").is_file():
        for number, words in _lines(folder / "points3D.txt"):
            values = _numbers(folder / "points3D.txt", number, words[:4], 4)
            points[int(values[0])] = tuple(values[1:4])
    return cameras, images, points


def _read_binary(folder: Path) -> tuple[Cameras, Images, Points]:
    cameras: Cameras = {}
    reader = _Binary(folder / "cameras.bin")
    for _ in range(reader.count()):
        camera_id, model, width, height = reader.take("<IiQQ")
        if model not in _MODELS:
            raise ForeignFileError(
                f"{folder / 'cameras.bin'}: camera model number {model} is not one of {list(_PINHOLES)}: undistort the "
                "images first (colmap image_undistorter)"
            )
        name, parameters = _MODELS[model]
        cameras[camera_id] = (name, (width, height), reader.take(f"<{parameters}d"))
    images: Images = {}
    reader = _Binary(folder / "images.bin")
    for _ in range(reader.count()):
        _, *numbers, camera_id = reader.take("<I7dI")
        name = reader.name()
        observed = reader.array(reader.count(), np.dtype([("xy", "<f8", 2), ("id", "<i8")]))
        ids = tuple(int(i) for i in observed["id"] if i >= 0)
        images[name] = (tuple(numbers[:4]), tuple(numbers[4:]), camera_id, ids)
    points: Points = {}
    if (folder / "points3D.bin").is_file():
        reader = _Binary(folder / "points3D.bin")
        for _ in range(reader.count()):
            identity, *xyz = reader.take("<Q3d")
            reader.take("<3Bd")
            reader.array(reader.count(), np.dtype("<u8"))
            points[identity] = tuple(xyz)
    return cameras, images, points


class _Binary:
    """Little-endian records of a file, each read checked against its length."""

    def __init__(self, path: Path) -> None:
        self._path, self._data, self._at = path, _bytes(path), 0

    def take(self, layout: str) -> tuple:
        size = struct.calcsize(layout)
        self._need(size)
        values = struct.unpack_from(layout, self._data, self._at)
        self._at += size
        return values

    def count(self) -> int:
        """A number of records to come, each of which takes at least a byte."""
        (number,) = self.take("<Q")
        self._need(number)
        return int(number)

    def array(self, count: int, dtype: np.dtype) -> np.ndarray:
        self._need(count * dtype.itemsize)
        values = np.frombuffer(self._data, dtype, count, self._at)
        self._at += count * dtype.itemsize
        return values

    def name(self) -> str:
        end = self._data.find(b"\0", self._at, self._at + 4096)
        if end < 0:
            raise ForeignFileError(f"{self._path}: an image name does not end")
        text = self._data[self._at : end].decode(errors="replace")
        self._at = end + 1
        return text

    def _need(self, size: int) -> None:
        if self._at + size > len(self._data):
            raise ForeignFileError(f"{self._path}: ends after {len(self._data)} bytes in the middle of a record")


def _bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ForeignFileError(f"{path}: larger than {MAX_BYTES} bytes: this is no camera file")
        return path.read_bytes()
    except OSError as error:
        raise ForeignFileError(f"{path}: {error.strerror}") from error


def _text(path: Path) -> str:
    return _bytes(path).decode(errors="replace")


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """Numbered lines in words, without comments and empty ones."""
    rows = ((number, line.split()) for number, line in enumerate(_text(path).splitlines(), 1))
    return [(number, words) for number, words in rows if words and not words[0].startswith("#")]


def _numbers(path: Path, line: int, words: list[str], count: int | None) -> list[float]:
    try:
        values = [float(word) for word in words]
    except ValueError as error:
        raise ForeignFileError(f"{path}, line {line}: {error}") from error
    if count is not None and len(values) != count:
        raise ForeignFileError(f"{path}, line {line}: {len(values)} numbers, expected {count}")
    return values


def _npz(path: Path, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Members `data` [N, *shape] as float64 and `inds` [N]; never unpickles."""
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(info.file_size for info in archive.infolist()) > MAX_BYTES:
                raise ForeignFileError(f"{path}: unpacks to more than {MAX_BYTES} bytes")
        with np.load(path, allow_pickle=False) as members:
            data, frames = members["data"], members["inds"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ForeignFileError(f"{path}: is not an .npz with `data` and `inds` ({error})") from error
    if data.shape[1:] != shape or frames.shape != data.shape[:1] or data.dtype.kind not in "fiu":
        raise ForeignFileError(f"{path}: data {list(data.shape)} and inds {list(frames.shape)} are not [N, *{shape}]")
    return _finite(path, data.astype(np.float64)), frames


def _finite(path: Path, values: np.ndarray) -> np.ndarray:
    if not np.isfinite(values).all():
        raise ForeignFileError(f"{path}: holds values that are not finite")
    return values


def _ordered(path: Path, found: Trajectory) -> Trajectory:
    """In ascending order. Raises ForeignFileError for none, too many, or two at one time."""
    if not 0 < len(found.at) <= MAX_FRAMES:
        raise ForeignFileError(f"{path}: holds {len(found.at)} cameras")
    order = np.argsort(found.at, kind="stable")
    if (np.diff(found.at[order]) <= 0).any():
        raise ForeignFileError(f"{path}: two cameras have the same time or frame number")
    return Trajectory(
        at=found.at[order],
        cam_to_world=found.cam_to_world[order],
        intrinsics=None if found.intrinsics is None else found.intrinsics[order],
        size=found.size,
        points=tuple(found.points[i] for i in order) if found.points else (),
    )
