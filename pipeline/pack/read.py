"""Reads single samples back out of published shards through their offset indexes."""

import io
import json
from collections.abc import Collection
from typing import Any

import pyarrow.parquet as pq

from pipeline.dataset import Dataset
from schemas.artifacts.header import npy_array
from schemas.release import ShardEntry


def read_sample(
    dataset: Dataset, entry: ShardEntry, clip_id: str, *, only: Collection[str] | None = None
) -> dict[str, Any]:
    """Members of one sample: `json` as a dict, arrays as ndarray, pictures as JPEG bytes. Raises KeyError if absent.

    only: names of the members to read; all without it.
    """
    index = pq.read_table(io.BytesIO(dataset.storage.read(entry.index_path)), filters=[("sample", "==", clip_id)])
    if not len(index):
        raise KeyError(f"{clip_id} is not in {entry.path}")
    members: dict[str, Any] = {}
    with dataset.storage.open(entry.path) as file:
        for row in index.to_pylist():
            if only is not None and row["member"] not in only:
                continue
            file.seek(row["offset"])
            data = file.read(row["size"])
            name = row["member"]
            if name.endswith(".npy"):
                members[name] = npy_array(data)
            else:
                members[name] = json.loads(data) if name == "json" else data
    return members
