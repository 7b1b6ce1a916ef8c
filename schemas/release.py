"""A release: the list of shards that make one version of a dataset (`releases/NNNN.json`, written once), and the
offset index that stands beside each shard.
"""

import hashlib
from collections.abc import Callable
from typing import Literal

import pyarrow as pa
from pydantic import Field

from schemas.config import FrozenConfig

INDEX_SCHEMA = pa.schema(
    [
        pa.field("sample", pa.string(), nullable=False),
        pa.field("member", pa.string(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
    ]
)
"""Parquet table `<shard>.index.parquet`: one row a tar member in tar order; `member` is the name after the sample's
key and the first dot ("json", "frame_000.jpg"); offset and size (bytes) of its data in the tar."""
LOST = 4
"""Release files in a row that may be lost without hiding those after them."""


class ShardEntry(FrozenConfig):
    """One shard of a release. Paths are relative to the dataset's root."""

    path: str = Field(description="The tar, e.g. shards/train-character-000000-<hash>.tar")
    sha256: str
    bytes: int
    index_sha256: str
    split: str
    kind: Literal["character", "camera"]
    samples: tuple[str, ...] = Field(description="clip ids in tar order")
    frames: tuple[int, ...] = Field(description="frames of each sample, in tar order")
    frame_steps: tuple[int, ...] = Field(description="frame step of each sample, in tar order")
    digests: tuple[str, ...] = Field((), description="identity of each sample's content, in tar order")

    @property
    def index_path(self) -> str:
        """The offset index beside the tar."""
        return self.path.removesuffix(".tar") + ".index.parquet"

    @property
    def sha256_path(self) -> str:
        """The checksum file beside the tar, in sha256sum's format."""
        return self.path + ".sha256"


class Release(FrozenConfig):
    """`releases/NNNN.json`. Holds no clock, so that equal datasets have equal releases."""

    schema_version: Literal[1] = 1
    number: int = Field(ge=1)
    parent: str = Field("", description="digest of the release before, empty for the first")
    shards: tuple[ShardEntry, ...]

    @property
    def path(self) -> str:
        return release_path(self.number)

    def digest(self) -> str:
        """sha256 of the canonical JSON: the identity that a training run records."""
        return hashlib.sha256(self.canonical_json().encode()).hexdigest()


def release_path(number: int) -> str:
    """Where release `number` lies, relative to the dataset's root."""
    return f"releases/{number:04d}.json"


def newest_number(exists: Callable[[int], bool]) -> int:
    """The highest number of a release that is there, 0 if there is none. Asks for numbers and relies on no listing.

    Up to LOST files in a row that are missing hide no later one: who went on from before such a gap would take an old
    state of the dataset for its newest, or publish under a number that is older than others.
    """
    newest = _end_of_row(exists, 0)
    while later := next((n for n in range(newest + 2, newest + LOST + 2) if exists(n)), 0):
        newest = _end_of_row(exists, later)
    return newest


def _end_of_row(exists: Callable[[int], bool], low: int) -> int:
    """A number from `low` on that is there (or `low` itself) and whose next is not, in few questions."""
    step = 1
    while exists(low + step):
        low, step = low + step, step * 2
    high = low + step
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if exists(middle) else (low, middle)
    return low
