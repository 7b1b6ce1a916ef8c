"""Videos and folders of frames as sequences of pictures. Videos are decoded here, directly: each stored frame once."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from schemas.containers import MAX_PIXELS, open_options

VIDEOS = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi"})
PICTURES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp"})
FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
MIN_SIDE = 16


class MediaError(ValueError):
    """Videos or pictures that cannot be compared; the message names the file, the cause and the next step."""


@dataclass(frozen=True)
class Sequence:
    """A video file or a folder of frames."""

    name: str
    path: Path

    def frames(self, limit: int | None = None, size: tuple[int, int] | None = None) -> Iterator[np.ndarray]:
        """Pictures uint8 RGB [H, W, 3], all of one size; the first `limit` of them. size: (W, H) to resize to.

        Raises MediaError for what does not decode, or gives fewer frames than it declares or than `limit`.
        """
        decoded = _folder_frames(self.path) if self.path.is_dir() else _video_frames(self.path, limit)
        count, shape = 0, None
        for picture in islice(decoded, limit):
            shape = shape or picture.shape
            if picture.shape != shape:
                raise MediaError(f"{self.path}: frame {count} is {_words(picture)}, the first is not; they must agree")
            if min(shape[:2]) < MIN_SIDE:
                raise MediaError(f"{self.path} is {_words(picture)}; {MIN_SIDE} is the least side")
            count += 1
            yield picture if size is None else _resized(picture, size)
        if count == 0 or (limit is not None and count < limit):
            wanted = f"{limit} are wanted" if limit else "there is nothing to score"
            raise MediaError(f"{self.path} has {count} frames, {wanted}")

    def rate(self) -> float | None:
        """Frames a second of a video file, None for a folder, which has no rate. Raises MediaError."""
        if self.path.is_dir():
            return None
        with _opened(self.path) as container:
            rate = _video_stream(container, self.path).average_rate
            return float(rate) if rate else None


def sequences(folder: Path) -> dict[str, Sequence]:
    """What a folder holds, by name: video files and folders of frames; a folder of pictures is one sequence, "frames".

    Raises MediaError where there is nothing, or two files have one name.
    """
    if not folder.is_dir():
        raise MediaError(f"{folder} is no folder; give the folder that holds the videos or the folders of frames")
    found: dict[str, Sequence] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() == ".gif":
            raise MediaError(f"{path}: a GIF holds 256 colours and cannot be scored; write mp4 or png frames")
        if not (path.suffix.lower() in VIDEOS if path.is_file() else _pictures(path)):
            continue
        name = path.stem if path.is_file() else path.name
        if name in found:
            raise MediaError(f"{folder} holds {found[name].path.name} and {path.name}: keep one of them")
        found[name] = Sequence(name, path)
    if _pictures(folder):
        if found:
            raise MediaError(f"{folder} holds both pictures and videos or folders; keep one kind")
        return {"frames": Sequence("frames", folder)}
    if not found:
        raise MediaError(f"{folder} holds no video ({', '.join(sorted(VIDEOS))}) and no folder of frames")
    return found


def matched(real: dict[str, Sequence], made: dict[str, Sequence], method: str) -> list[tuple[Sequence, Sequence]]:
    """Pairs by name, in order. Raises MediaError where the method lacks some: scores over fewer videos would not
    compare.
    """
    absent = sorted(real.keys() - made.keys())
    if absent:
        raise MediaError(
            f"method {method} lacks {len(absent)} of {len(real)} videos: {', '.join(absent[:5])}"
            f"{' …' if len(absent) > 5 else ''}; names must be those of the real videos"
        )
    return [(real[name], made[name]) for name in sorted(real)]


def _pictures(path: Path) -> list[Path]:
    if not path.is_dir():
        return []
    return sorted((p for p in path.iterdir() if p.suffix.lower() in PICTURES), key=lambda p: _natural(p.name))


def _natural(name: str) -> list[tuple[int, str]]:
    """frame_2 before frame_10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"([0-9]+)", name)]


def _folder_frames(folder: Path) -> Iterator[np.ndarray]:
    for path in _pictures(folder):
        _check_picture(path)
        picture = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
        if picture is None:
            raise MediaError(f"{path} is not a picture that can be read; write it again")
        yield cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def _check_picture(path: Path) -> None:
    """Raises MediaError for a file whose header promises no picture, or one too large; decodes nothing."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # its limit is not this one
            with Image.open(path, formats=FORMATS) as opened:
                width, height = opened.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise MediaError(f"{path} is not a picture that can be read ({error}); write it again") from error
    if width * height > MAX_PIXELS:
        raise MediaError(f"{path} has {width} × {height} pixels, more than {MAX_PIXELS}; make it smaller")


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A video as a PyAV container. Raises MediaError for what cannot be opened, and for errors inside the block."""
    import av

    try:
        with av.open("file:" + str(path.absolute()), options=open_options()) as container:
            yield container
    except av.error.FFmpegError as error:
        raise MediaError(f"{path} cannot be decoded: {error}") from error


def _video_stream(container: Any, path: Path) -> Any:
    if not container.streams.video:
        raise MediaError(f"{path} holds no video stream")
    return container.streams.video[0]


def _video_frames(path: Path, limit: int | None) -> Iterator[np.ndarray]:
    count = hidden = 0
    with _opened(path) as container:
        stream = _video_stream(container, path)
        declared = _declared(container, stream)
        for packet in container.demux(stream):
            hidden += bool(packet.is_discard)
            for frame in packet.decode():
                if frame.rotation:
                    raise MediaError(f"{path} is stored turned by {frame.rotation}°; re-encode it upright")
                yield _rgb(frame)
                count += 1
    if count < declared - hidden and (limit is None or count < limit):
        raise MediaError(f"{path} declares {declared - hidden} frames and gives {count}: it is damaged; make it again")


def _declared(container: Any, stream: Any) -> int:
    """Frames that a header declares, 0 for none. An mp4 cut without encoding anew keeps frames outside its edit list:
    those after it are in the header's count and not in the index; those before it are read and thrown away.
    """
    if container.format.name.startswith("mov") and stream.frames:
        return min(int(stream.frames), len(stream.index_entries))
    return int(stream.frames)


def _rgb(frame: Any) -> np.ndarray:
    """A decoded frame as RGB. Without a colour tag, players take BT.709 from 720 lines up and BT.601 below."""
    from av.video.reformatter import Colorspace

    tagged = int(frame.colorspace)
    untagged = Colorspace.ITU709 if frame.height >= 720 else Colorspace.ITU601
    source = Colorspace.ITU709 if tagged == 1 else Colorspace.ITU601 if tagged in (5, 6) else untagged
    return frame.to_ndarray(format="rgb24", src_colorspace=source)


def _resized(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    shrinks = size[0] <= picture.shape[1] and size[1] <= picture.shape[0]
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


def _words(picture: np.ndarray) -> str:
    return f"{picture.shape[1]} × {picture.shape[0]}"
