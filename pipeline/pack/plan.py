"""Which shards a release needs: kept ones of the release before, and new ones for what is new or changed. Pure."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.config import PackConfig
from pipeline.pack.sample import VERSION, sample_digest
from pipeline.pack.shard import STAGE
from pipeline.work import SampleWork, ShardWork, WorkItem, digest
from schemas.clip import Kind
from schemas.release import Release, ShardEntry

_STEM = re.compile(r"^shards/(?P<group>.+)-(?P<number>\d{6})-[0-9a-f]{16}\.tar$")


@dataclass(frozen=True)
class PackPlan:
    """Shards of the parent that stay as they are, and items that write new ones, in release order."""

    kept: tuple[ShardEntry, ...]
    items: tuple[WorkItem, ...]


def plan_shards(
    samples: Iterable[SampleWork],
    sizes: Mapping[str, int],
    open_question: Callable[[str], bool],
    parent: Release | None,
    config: PackConfig,
) -> PackPlan:
    """Shards for exactly these samples.

    sizes: bytes of each clip's artifacts. open_question: whether nothing can be said of a published clip yet. A shard
    of the parent stays if all its samples are wanted unchanged, or while one of them is an open question (nothing that
    was published is lost because a recomputation is half done, or because another writer is at work). The others are
    grouped, in order of clip id and apart by split and kind, into new shards, so that the grouping depends on the
    parent and the set of samples alone.
    """
    wanted = {sample.clip.clip_id: sample for sample in samples}
    digests = {name: sample_digest(sample) for name, sample in wanted.items()}
    kept: list[ShardEntry] = []
    numbers: dict[str, int] = defaultdict(int)
    for entry in parent.shards if parent else ():
        if match := _STEM.match(entry.path):
            group = match["group"]
            numbers[group] = max(numbers[group], int(match["number"]) + 1)
        unchanged = [digests.get(name) for name in entry.samples] == list(entry.digests)
        if unchanged or any(open_question(name) for name in entry.samples):
            kept.append(entry)
    covered = {name for entry in kept for name in entry.samples}

    groups: dict[tuple[str, Kind], list[SampleWork]] = defaultdict(list)
    for name in sorted(set(wanted) - covered):
        clip = wanted[name].clip
        groups[clip.split, clip.kind].append(wanted[name])
    items = []
    for (split, kind), members in sorted(groups.items()):
        stem = f"{split}-{kind}"
        for batch in _batches(members, sizes, config):
            work = ShardWork(f"{stem}-{numbers[stem]:06d}", split, kind, tuple(batch))
            numbers[stem] += 1
            key = digest(STAGE, str(VERSION), work.stem, *(digests[s.clip.clip_id] for s in batch))
            items.append(WorkItem(STAGE, key, work.stem, "", work))
    return PackPlan(tuple(kept), tuple(items))


def _batches(samples: Sequence[SampleWork], sizes: Mapping[str, int], config: PackConfig) -> list[list[SampleWork]]:
    batches: list[list[SampleWork]] = []
    filled = 0
    for sample in samples:
        size = sizes[sample.clip.clip_id]
        full = batches and (filled + size > config.shard_bytes or len(batches[-1]) >= config.shard_samples)
        if not batches or full:
            batches.append([])
            filled = 0
        batches[-1].append(sample)
        filled += size
    return batches
