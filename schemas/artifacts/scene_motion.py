"""Scene motion: where the reference picture's points move on screen, and the depth that was used for it."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from schemas.artifacts.header import Header, check_schema, make_table, npy_array, npy_bytes, read_header

STAGE = "scene_motion"
STATUSES = ("static", "rotation", "ok", "unaligned", "no_camera")
SCHEMA = pa.schema(
    [
        pa.field("index", pa.int32(), nullable=False),
        pa.field("motion", pa.binary(), nullable=False),
        pa.field("valid", pa.binary(), nullable=False),
        pa.field("inverse_depth", pa.binary(), nullable=True),
    ]
)


@dataclass(frozen=True)
class SceneMotionArtifact:
    """Scene motion of R references over L frames on the latent grid (frame size / 8).

    references: R frame indices. frame_step: frames between the two cameras of a map. motion: float16 [R, L, 2, h, w],
    (dx, dy) in frame pixels, arriving at frame l from l − frame_step; zero for l < frame_step; finite everywhere.
    valid: bool [R, L, h, w], the point lies before both cameras and inside the frame. inverse_depth: float16 [R, h, w],
    aligned to the camera's scale.
    """

    references: tuple[int, ...]
    frame_step: int
    motion: np.ndarray
    valid: np.ndarray
    inverse_depth: np.ndarray

    def to_table(self, header: Header) -> pa.Table:
        place = {frame: number for number, frame in enumerate(self.references)}
        length = self.motion.shape[1]
        columns = {
            "index": np.arange(length, dtype=np.int32),
            "motion": pa.array([npy_bytes(self.motion[:, i].astype(np.float16)) for i in range(length)], pa.binary()),
            "valid": pa.array([npy_bytes(self.valid[:, i].astype(np.uint8)) for i in range(length)], pa.binary()),
            "inverse_depth": pa.array(
                [
                    npy_bytes(self.inverse_depth[place[i]].astype(np.float16)) if i in place else None
                    for i in range(length)
                ],
                pa.binary(),
            ),
        }
        extra = header.extra | {"references": list(self.references), "frame_step": self.frame_step}
        return make_table(columns, SCHEMA, Header(STAGE, header.clip_id, header.status, header.quality, extra))

    @classmethod
    def from_table(cls, table: pa.Table) -> "SceneMotionArtifact":
        check_schema(table, SCHEMA)
        extra = read_header(table, STAGE).extra
        references = tuple(int(i) for i in extra["references"])
        depths = table.column("inverse_depth").to_pylist()
        return cls(
            references=references,
            frame_step=int(extra["frame_step"]),
            motion=np.stack([npy_array(m) for m in table.column("motion").to_pylist()], axis=1),
            valid=np.stack([npy_array(v) for v in table.column("valid").to_pylist()], axis=1).astype(bool),
            inverse_depth=np.stack([npy_array(depths[i]) for i in references]),
        )
