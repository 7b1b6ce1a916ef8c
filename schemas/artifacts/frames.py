"""Decode: the frames of a clip at constant rate, as high-quality JPEG."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from schemas.artifacts.header import Header, check_schema, make_table, read_header

STAGE = "decode"
STATUSES = ("ok",)
SCHEMA = pa.schema(
    [
        pa.field("index", pa.int32(), nullable=False),
        pa.field("timestamp", pa.float64(), nullable=False),
        pa.field("repeated", pa.bool_(), nullable=False),
        pa.field("jpeg", pa.binary(), nullable=False),
    ]
)


@dataclass(frozen=True)
class FramesArtifact:
    """L encoded frames of one size.

    jpegs: RGB JPEG bytes, one a frame. timestamps: float64 [L], seconds in the source (presentation time).
    repeated: bool [L], the frame shows what the one before shows. fps: frames a second. size: (width, height), pixels.
    crop: (x, y, width, height) of the part of the displayed source picture that fills the frame, in source pixels;
    it may reach outside the picture (padding).
    """

    jpegs: tuple[bytes, ...]
    timestamps: np.ndarray
    repeated: np.ndarray
    fps: float
    size: tuple[int, int]
    crop: tuple[float, float, float, float]

    def to_table(self, header: Header) -> pa.Table:
        extra = header.extra | {"fps": self.fps, "size": list(self.size), "crop": list(self.crop)}
        columns = {
            "index": np.arange(len(self.jpegs), dtype=np.int32),
            "timestamp": self.timestamps.astype(np.float64),
            "repeated": self.repeated.astype(bool),
            "jpeg": pa.array(self.jpegs, pa.binary()),
        }
        return make_table(columns, SCHEMA, Header(STAGE, header.clip_id, header.status, header.quality, extra))

    @classmethod
    def from_table(cls, table: pa.Table) -> "FramesArtifact":
        check_schema(table, SCHEMA)
        extra = read_header(table, STAGE).extra
        return cls(
            jpegs=tuple(table.column("jpeg").to_pylist()),
            timestamps=table.column("timestamp").to_numpy(),
            repeated=table.column("repeated").to_numpy(),
            fps=float(extra["fps"]),
            size=(int(extra["size"][0]), int(extra["size"][1])),
            crop=tuple(extra["crop"]),
        )
