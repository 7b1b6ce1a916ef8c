"""Camera: a pose and intrinsics for every frame, with the sparse depths the solver saw."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from schemas.artifacts.header import Header, check_schema, list_array, list_column, make_table, read_header

STAGE = "camera"
STATUSES = ("static", "rotation", "moving", "unsolved")
SCHEMA = pa.schema(
    [
        pa.field("index", pa.int32(), nullable=False),
        pa.field("cam_to_world", pa.list_(pa.float64()), nullable=False),
        pa.field("intrinsics", pa.list_(pa.float64()), nullable=False),
        pa.field("point_x", pa.list_(pa.float32()), nullable=False),
        pa.field("point_y", pa.list_(pa.float32()), nullable=False),
        pa.field("point_inverse_depth", pa.list_(pa.float32()), nullable=False),
    ]
)


@dataclass(frozen=True)
class SparseDepth:
    """Points of known depth in one frame: xy float32 [N, 2] in frame pixels, inverse_depth float32 [N], 1/z in the
    camera's own units.
    """

    xy: np.ndarray
    inverse_depth: np.ndarray


@dataclass(frozen=True)
class CameraArtifact:
    """Cameras of every frame, OpenCV axes (x right, y down, z forward), pixel (0, 0) the centre of the first pixel.

    status: "static" (cam_to_world is exactly the identity and the intrinsics are constant), "rotation" (rotation or
    zoom about a fixed centre: translation is exactly zero), "moving", or "unsolved" (poses are the identity, and are
    not to be believed). cam_to_world: float64 [L, 4, 4], frame 0 is the identity; the unit of translation is arbitrary
    unless `metric`. intrinsics: float64 [L, 4], fx fy cx cy in frame pixels. sparse: one SparseDepth a frame, empty
    where the solver has none. focal_source: "manifest", "reconstruction", "rotation", "track" (an MMD camera track),
    "imported" or "assumed" (from an assumed field of view: not to be believed).
    """

    status: str
    cam_to_world: np.ndarray
    intrinsics: np.ndarray
    sparse: tuple[SparseDepth, ...]
    focal_source: str
    metric: bool = False

    def to_table(self, header: Header) -> pa.Table:
        columns = {
            "index": np.arange(len(self.cam_to_world), dtype=np.int32),
            "cam_to_world": list_column(self.cam_to_world.astype(np.float64), pa.float64()),
            "intrinsics": list_column(self.intrinsics.astype(np.float64), pa.float64()),
            "point_x": pa.array([s.xy[:, 0].astype(np.float32) for s in self.sparse], pa.list_(pa.float32())),
            "point_y": pa.array([s.xy[:, 1].astype(np.float32) for s in self.sparse], pa.list_(pa.float32())),
            "point_inverse_depth": pa.array(
                [s.inverse_depth.astype(np.float32) for s in self.sparse], pa.list_(pa.float32())
            ),
        }
        extra = header.extra | {"focal_source": self.focal_source, "metric": self.metric}
        return make_table(columns, SCHEMA, Header(STAGE, header.clip_id, self.status, header.quality, extra))

    @classmethod
    def from_table(cls, table: pa.Table) -> "CameraArtifact":
        check_schema(table, SCHEMA)
        header = read_header(table, STAGE)
        xs, ys, ds = (table.column(f"point_{name}").to_pylist() for name in ("x", "y", "inverse_depth"))
        sparse = tuple(
            SparseDepth(np.stack([np.float32(x), np.float32(y)], -1).reshape(-1, 2), np.float32(d).reshape(-1))
            for x, y, d in zip(xs, ys, ds, strict=True)
        )
        return cls(
            status=header.status,
            cam_to_world=list_array(table, "cam_to_world", (4, 4), np.float64),
            intrinsics=list_array(table, "intrinsics", (4,), np.float64),
            sparse=sparse,
            focal_source=str(header.extra["focal_source"]),
            metric=bool(header.extra["metric"]),
        )
