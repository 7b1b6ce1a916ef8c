"""Ingest: what a source is, and the shots it consists of."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from schemas.artifacts.header import Header, check_schema, make_table, read_header

STAGE = "ingest"
SCHEMA = pa.schema(
    [
        pa.field("first_frame", pa.int32(), nullable=False),
        pa.field("frame_count", pa.int32(), nullable=False),
        pa.field("repeated", pa.int32(), nullable=False),
        pa.field("cut_score", pa.float32(), nullable=False),
    ]
)


@dataclass(frozen=True)
class Shot:
    """Frames between two cuts or gaps, on the source's constant-rate timeline.

    repeated: how many of them show what the one before shows. cut_score: how far the cut that starts the shot stands
    out (ratio to its surroundings); 0 for the first shot and after a gap.
    """

    first_frame: int
    frame_count: int
    repeated: int = 0
    cut_score: float = 0.0


@dataclass(frozen=True)
class IngestArtifact:
    """The shots of one source, in order, and its probe record. Frames between two shots, which repeat one picture
    through a long gap in the source's times, belong to none.

    fps: (numerator, denominator) of the constant-rate timeline, frame n of which is shown at start_s + n / fps
    (seconds of presentation time). probe: the record of `stages.video.probe.Probe`, plain JSON values.
    """

    shots: tuple[Shot, ...]
    fps: tuple[int, int]
    start_s: float
    probe: dict[str, Any] = field(default_factory=dict)

    @property
    def frame_count(self) -> int:
        """Frames of the timeline up to the end of the last shot."""
        return self.shots[-1].first_frame + self.shots[-1].frame_count

    def to_table(self, header: Header) -> pa.Table:
        columns = {
            "first_frame": np.array([s.first_frame for s in self.shots], np.int32),
            "frame_count": np.array([s.frame_count for s in self.shots], np.int32),
            "repeated": np.array([s.repeated for s in self.shots], np.int32),
            "cut_score": np.array([s.cut_score for s in self.shots], np.float32),
        }
        extra = header.extra | {"fps": list(self.fps), "start_s": self.start_s, "probe": self.probe}
        return make_table(columns, SCHEMA, Header(STAGE, header.clip_id, header.status, header.quality, extra))

    @classmethod
    def from_table(cls, table: pa.Table) -> "IngestArtifact":
        check_schema(table, SCHEMA)
        extra = read_header(table, STAGE).extra
        return cls(
            shots=tuple(Shot(**row) for row in table.to_pylist()),
            fps=(int(extra["fps"][0]), int(extra["fps"][1])),
            start_s=float(extra["start_s"]),
            probe=dict(extra["probe"]),
        )
