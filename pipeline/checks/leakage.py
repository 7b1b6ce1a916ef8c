"""Leakage between splits: the same source, or content that looks the same, on both sides. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from pipeline.checks.hashing import near_pairs
from pipeline.checks.measure import Measurement
from pipeline.checks.verdict import CheckLimits, CheckResult, Finding
from schemas.ids import CLIP_ID
from schemas.release import Release


def check_leakage(
    release: Release | None, splits: Mapping[str, str], measured: Mapping[str, Measurement], limits: CheckLimits
) -> list[CheckResult]:
    """splits: split by clip. Compares every pair of clips in different splits by the hashes of their frames."""
    place = dict(splits)
    sources: defaultdict[str, set[str]] = defaultdict(set)
    samples: defaultdict[str, list[str]] = defaultdict(list)
    for entry in release.shards if release else ():
        for name in entry.samples:
            place[name] = entry.split
            sources[name[:16] if CLIP_ID.match(name) else name].add(entry.split)
            samples[name].append(entry.path)
    same = [
        Finding("split_sources", source, f"clips of this source are in the splits {', '.join(sorted(found))}")
        for source, found in sorted(sources.items())
        if len(found) > 1
    ]
    same += [
        Finding("split_sources", name, f"this clip stands in {len(paths)} shards: {', '.join(paths)}")
        for name, paths in sorted(samples.items())
        if len(paths) > 1
    ]
    known = {name: measurement for name, measurement in measured.items() if name in place}
    near = tuple(_near_duplicates(known, place, limits))
    note = "" if len(known) == len(place) else f"{len(place) - len(known)} of {len(place)} clips have no hashes yet"
    return [
        CheckResult(
            "split_sources", "is every source in one split, every clip in one shard?", len(samples), tuple(same)
        ),
        CheckResult("near_duplicates", "does any clip look like one of another split?", len(known), near, note),
    ]


def _near_duplicates(
    measured: Mapping[str, Measurement], place: Mapping[str, str], limits: CheckLimits
) -> Iterator[Finding]:
    numbers = {split: number for number, split in enumerate(sorted(set(place.values())))}
    owners = [name for name, measurement in sorted(measured.items()) for _ in measurement.hashes]
    hashes = [h for _, measurement in sorted(measured.items()) for h in measurement.hashes]
    groups = [numbers[place[name]] for name in owners]
    least: dict[tuple[str, str], int] = {}
    frames: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    for i, j, bits in near_pairs(hashes, groups, limits.most_hash_bits):
        pair = (owners[i], owners[j])
        least[pair] = min(bits, least.get(pair, bits))
        frames[pair].add(i)
    for (first, second), equal in sorted(frames.items()):
        wanted = min(limits.least_equal_frames, len(measured[first].hashes), len(measured[second].hashes))
        if len(equal) >= wanted:
            yield Finding(
                "near_duplicates",
                first,
                f"looks like {second}: {place[first]} and {place[second]}, {len(equal)} equal frames",
                float(least[first, second]),
                float(limits.most_hash_bits),
            )


def check_balance(release: Release | None, limits: CheckLimits) -> CheckResult:
    """Shares of the kinds within each split, where the release holds more than one kind."""
    question = "does every split hold both kinds, in sensible shares?"
    counts: Counter[tuple[str, str]] = Counter()
    for entry in release.shards if release else ():
        counts[entry.split, entry.kind] += len(entry.samples)
    kinds = {kind for _, kind in counts}
    findings = []
    for split in sorted({split for split, _ in counts}):
        total = sum(count for (name, _), count in counts.items() if name == split)
        for kind in sorted(kinds) if len(kinds) > 1 else ():
            share = counts[split, kind] / total
            if share < limits.least_kind_share:
                text = f"{counts[split, kind]} of {total} clips are of kind {kind}"
                findings.append(Finding("balance", split, text, share, limits.least_kind_share))
    return CheckResult("balance", question, sum(counts.values()), tuple(findings))
