"""Sources and clips as the stages see them."""

from dataclasses import dataclass
from typing import Literal

from schemas.ids import seed_from

Kind = Literal["character", "camera"]


@dataclass(frozen=True)
class Clip:
    """A run of frames of one source, between two cuts.

    fps: output frames a second as (numerator, denominator), the source's own rate where that is below the wanted one.
    first_frame, frame_count: on the source's constant-rate timeline, frame n being shown at `start_s + n / fps`
    (seconds of presentation time; `start_s` is the time of the source's first frame).
    video: path of the source file for the worker that decodes it. camera_track: path of its MMD camera track (.vmd) or
    None. focal: focal length over frame width from the manifest (no unit), or None where it is not known. video_stat:
    size (bytes) and time of change (ns) of the source file when it was registered, or None.
    """

    clip_id: str
    source_id: str
    kind: Kind
    split: str
    first_frame: int
    frame_count: int
    fps: tuple[int, int]
    start_s: float
    video: str
    camera_track: str | None = None
    camera_track_offset_s: float = 0.0
    focal: float | None = None
    video_stat: tuple[int, int] | None = None

    def seed(self, *names: str | int) -> int:
        """The seed of a random choice about this clip; a function of the clip's identity and the names alone."""
        return seed_from(self.clip_id, *names)
