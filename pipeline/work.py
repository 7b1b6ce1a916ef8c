"""Work items: one stage applied to one source, clip or shard. Pure data, small enough to travel by the million."""

import hashlib
from dataclasses import dataclass, field

from schemas.clip import Clip, Kind

KEY_LENGTH = 32


@dataclass(frozen=True)
class SourceWork:
    """Ingest of one source file: its id, the path or URI that workers read, and its size (bytes) and time of change
    (ns) when it was registered.
    """

    source_id: str
    video: str
    video_stat: tuple[int, int] | None = None


@dataclass(frozen=True)
class SampleWork:
    """A clip on its way into a shard: its facts and the key of every artifact that goes in."""

    clip: Clip
    keys: dict[str, str]


@dataclass(frozen=True)
class ShardWork:
    """One shard to write: samples in tar order, and the name's stem ("train-character-000003")."""

    stem: str
    split: str
    kind: Kind
    samples: tuple[SampleWork, ...]


@dataclass(frozen=True)
class WorkItem:
    """One application of a stage. `key` names the artifact it makes; `inputs` the artifacts it reads, by stage."""

    stage: str
    key: str
    item_id: str
    source_id: str
    payload: SourceWork | Clip | ShardWork
    inputs: dict[str, str] = field(default_factory=dict)


def artifact_path(stage: str, key: str) -> str:
    """Where an artifact lies in the dataset; two hex digits keep folders small."""
    return f"artifacts/{stage}/{key[:2]}/{key}.parquet"


def digest(*parts: str) -> str:
    """The hash behind every artifact key. Parts are length-prefixed, so that no two lists of parts collide."""
    text = "".join([f"{len(part)}:{part}" for part in parts])  # a list: joined by the million
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_LENGTH]
