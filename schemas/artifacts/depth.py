"""Depth: inverse depth of the reference frames."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from schemas.artifacts.header import Header, check_schema, make_table, npy_array, npy_bytes, read_header

STAGE = "depth"
STATUSES = ("ok", "plane")
SCHEMA = pa.schema(
    [
        pa.field("index", pa.int32(), nullable=False),
        pa.field("inverse_depth", pa.binary(), nullable=False),
        pa.field("filled", pa.binary(), nullable=False),
    ]
)


@dataclass(frozen=True)
class DepthArtifact:
    """Inverse depth (larger is nearer) of R reference frames.

    references: frame indices, ascending. inverse_depth: float32 [R, h, w], 1/z; the grid covers the whole frame, the
    centre of cell i lies at frame pixel (i + 0.5)·W/w − 0.5. filled: bool [R, h, w], True where the value was filled in
    and not measured. kind: "relative" (up to scale and shift), "camera" (in the camera artifact's own units) or
    "metric" (1/metres).
    """

    references: tuple[int, ...]
    inverse_depth: np.ndarray
    filled: np.ndarray
    kind: str

    def to_table(self, header: Header) -> pa.Table:
        columns = {
            "index": np.asarray(self.references, np.int32),
            "inverse_depth": pa.array([npy_bytes(d.astype(np.float32)) for d in self.inverse_depth], pa.binary()),
            "filled": pa.array([npy_bytes(f.astype(np.uint8)) for f in self.filled], pa.binary()),
        }
        extra = header.extra | {"kind": self.kind}
        return make_table(columns, SCHEMA, Header(STAGE, header.clip_id, header.status, header.quality, extra))

    @classmethod
    def from_table(cls, table: pa.Table) -> "DepthArtifact":
        check_schema(table, SCHEMA)
        return cls(
            references=tuple(table.column("index").to_pylist()),
            inverse_depth=np.stack([npy_array(d) for d in table.column("inverse_depth").to_pylist()]),
            filled=np.stack([npy_array(f) for f in table.column("filled").to_pylist()]).astype(bool),
            kind=str(read_header(table, STAGE).extra["kind"]),
        )
