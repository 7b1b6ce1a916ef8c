"""Pose: keypoints in X-Pose's layout, and the character mask."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from schemas.artifacts.header import (
    Header,
    check_schema,
    list_array,
    list_column,
    make_table,
    npy_array,
    npy_bytes,
    read_header,
)

STAGE = "pose"
STATUSES = ("ok", "no_keypoints", "no_person")
BODY, FACE, HAND = 17, 68, 21
SCHEMA = pa.schema(
    [
        pa.field("index", pa.int32(), nullable=False),
        pa.field("body", pa.list_(pa.float32()), nullable=False),
        pa.field("face", pa.list_(pa.float32()), nullable=False),
        pa.field("hand", pa.list_(pa.float32()), nullable=False),
        pa.field("mask", pa.binary(), nullable=False),
    ]
)


@dataclass(frozen=True)
class PoseArtifact:
    """Keypoints of every frame and instance, in frame pixels; instance 0 of `body` is the main character.

    body: float32 [L, instances, 17, 3] (COCO order), face: float32 [L, instances, 68, 3], hand: float32
    [L, instances, 21, 3]; the last axis is x, y (pixels, 0 is the centre of the first) and score (0–1). What is
    missing is NaN, NaN, 0. Hand instances are single hands: person i's left hand is 2·i, the right one 2·i + 1.
    mask: bool [L, h, w], True on characters, at the resolution the backend gives (usually below the frame's; the grid
    cell centre convention of the geometry applies). Where no one was found, what moves otherwise than the camera does.
    """

    body: np.ndarray
    face: np.ndarray
    hand: np.ndarray
    mask: np.ndarray

    def to_table(self, header: Header) -> pa.Table:
        columns = {
            "index": np.arange(len(self.body), dtype=np.int32),
            "body": list_column(self.body.astype(np.float32), pa.float32()),
            "face": list_column(self.face.astype(np.float32), pa.float32()),
            "hand": list_column(self.hand.astype(np.float32), pa.float32()),
            "mask": pa.array([npy_bytes(np.packbits(m, axis=-1)) for m in self.mask], pa.binary()),
        }
        extra = header.extra | {"mask_size": [int(self.mask.shape[2]), int(self.mask.shape[1])]}
        return make_table(columns, SCHEMA, Header(STAGE, header.clip_id, header.status, header.quality, extra))

    @classmethod
    def from_table(cls, table: pa.Table) -> "PoseArtifact":
        check_schema(table, SCHEMA)
        width = int(read_header(table, STAGE).extra["mask_size"][0])
        masks = [
            np.unpackbits(npy_array(m), axis=-1, count=width).astype(bool) for m in table.column("mask").to_pylist()
        ]
        return cls(
            body=list_array(table, "body", (-1, BODY, 3), np.float32),
            face=list_array(table, "face", (-1, FACE, 3), np.float32),
            hand=list_array(table, "hand", (-1, HAND, 3), np.float32),
            mask=np.stack(masks),
        )
