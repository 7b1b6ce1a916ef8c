"""Whether the build is complete and the release is what the present configuration makes."""

from collections import Counter

from pipeline.checks.snapshot import Snapshot
from pipeline.checks.verdict import CheckLimits, CheckResult, Finding
from pipeline.graph import CLIP_STAGES
from pipeline.pack.sample import PACKED_STAGES, sample_digest
from pipeline.work import SampleWork


def check_quarantine(snapshot: Snapshot, limits: CheckLimits) -> CheckResult:
    """Shares of failed items by stage, with the most frequent cause."""
    totals = dict.fromkeys(CLIP_STAGES, len(snapshot.clips)) | {"ingest": len(snapshot.ingest)}
    rows = snapshot.failures
    findings = []
    for stage, count in sorted(Counter(row["stage"] for row in rows).items()):
        share = count / max(totals.get(stage, count), count, 1)
        cause, times = Counter(row["cause"] for row in rows if row["stage"] == stage).most_common(1)[0]
        if share > limits.most_failed_share:
            text = f"{count} items are in quarantine, {times} of them: {cause}"
            findings.append(Finding("quarantine", stage, text, share, limits.most_failed_share))
    question = "does every stage succeed on nearly all of its items?"
    return CheckResult("quarantine", question, len(snapshot.clips) + len(snapshot.ingest), tuple(findings))


def check_stale(snapshot: Snapshot) -> CheckResult:
    """Samples of the newest release that are not what the present configuration makes of their clips."""
    question = "is every sample of the newest release what the present configuration makes?"
    if snapshot.release is None or snapshot.problem:
        return CheckResult("stale", question, 0, note=snapshot.problem or "there is no release")
    findings, checked = [], 0
    for entry in snapshot.release.shards:
        digests = entry.digests or ("",) * len(entry.samples)
        for name, digest in zip(entry.samples, digests, strict=True):
            checked += 1
            present = snapshot.present.get(name)
            if present is None:
                text = f"in {entry.path}, but no clip of the present configuration: sources are to be cut anew"
                findings.append(Finding("stale", name, text))
                continue
            keys = {stage: present[stage] for stage in PACKED_STAGES}
            if sample_digest(SampleWork(snapshot.clips[name], keys)) != digest:
                missing = [stage for stage in CLIP_STAGES if present[stage] not in snapshot.state.artifacts]
                why = f"to be made: {', '.join(missing)}" if missing else "all made: a build packs it anew"
                findings.append(Finding("stale", name, f"packed from artifacts of other settings; {why}"))
    return CheckResult("stale", question, checked, tuple(findings))


def check_missing(snapshot: Snapshot) -> CheckResult:
    """Finished clips that pass the gates but are in no shard."""
    question = "is every clip that is finished and passes the gates in the newest release?"
    findings, checked = [], 0
    for name in sorted(snapshot.clips):
        if snapshot.finished(name):
            checked += 1
            if name not in snapshot.packed and not snapshot.refused(name):
                findings.append(Finding("unpacked", name, "finished and passes the gates, but is in no shard"))
    return CheckResult("unpacked", question, checked, tuple(findings))
