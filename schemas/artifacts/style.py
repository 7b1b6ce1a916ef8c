"""Stylise: pairs of frames of a clip in one other style."""

from dataclasses import dataclass

import pyarrow as pa

from schemas.artifacts.header import Header, check_schema, make_table, read_header

STAGE = "stylize"
STATUSES = ("ok", "none")
SCHEMA = pa.schema(
    [
        pa.field("reference_index", pa.int32(), nullable=False),
        pa.field("target_index", pa.int32(), nullable=False),
        pa.field("style", pa.string(), nullable=False),
        pa.field("seed", pa.int64(), nullable=False),
        pa.field("reference_jpeg", pa.binary(), nullable=False),
        pa.field("target_jpeg", pa.binary(), nullable=False),
    ]
)


@dataclass(frozen=True)
class StylePair:
    """Two frames of a clip (indices) styled together, as RGB JPEG bytes of the frame's size.

    style: its name or prompt.
    """

    reference_index: int
    target_index: int
    style: str
    seed: int
    reference_jpeg: bytes
    target_jpeg: bytes


@dataclass(frozen=True)
class StyleArtifact:
    """The stylised pairs of one clip, possibly none."""

    pairs: tuple[StylePair, ...]

    def to_table(self, header: Header) -> pa.Table:
        columns = {name: [getattr(pair, name) for pair in self.pairs] for name in SCHEMA.names}
        return make_table(columns, SCHEMA, Header(STAGE, header.clip_id, header.status, header.quality, header.extra))

    @classmethod
    def from_table(cls, table: pa.Table) -> "StyleArtifact":
        check_schema(table, SCHEMA)
        read_header(table, STAGE)
        return cls(tuple(StylePair(**row) for row in table.to_pylist()))
