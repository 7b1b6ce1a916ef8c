"""A dataset of many clips that exists only in its catalog: real Delta tables and a real release, no videos, no files.

For measuring what has to stay fast at 120,000 clips: planning, status, audit. Keys are those that its
configuration gives, so that everything counts as made; figures are drawn from distributions like those of real clips.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.checks.hashing import BITS
from pipeline.checks.measure import measurement_key
from pipeline.config import DatasetConfig
from pipeline.dataset import Dataset
from pipeline.graph import CLIP_STAGES, StageSpec, build_graph
from pipeline.ingest.sources import assign_split
from pipeline.pack.sample import PACKED_STAGES, sample_digest
from pipeline.planner import SourceFacts, clip_keys, ingest_item
from pipeline.state import clip_row
from pipeline.work import SampleWork, artifact_path, digest
from schemas.clip import Clip
from schemas.ids import clip_id
from schemas.release import Release, ShardEntry

FRAMES = 85
SHARD_SAMPLES = 400
BATCH = 20_000  # clips whose rows are written in one commit
RUN_ID = "20260101T000000-00000000"
BYTES = {
    "decode": 8_600_000,
    "pose": 90_000,
    "camera": 240_000,
    "depth": 500_000,
    "scene_motion": 3_300_000,
    "stylize": 300_000,
}
FIGURES: dict[str, tuple[tuple[str, float, float], ...]] = {
    "decode": (("jpeg_bytes", 8.6e6, 1e6), ("repeated_share", 0.01, 0.005), ("upscale", 1.0, 0.1)),
    "pose": (
        ("person_frames", 0.97, 0.02),
        ("face_frames", 0.5, 0.2),
        ("hand_frames", 0.4, 0.2),
        ("joints", 0.95, 0.03),
    ),
    "camera": (("reprojection_error_px", 0.4, 0.1), ("registered_share", 0.99, 0.01), ("parallax_deg", 4.0, 1.5)),
    "depth": (("filled_share", 0.25, 0.08), ("point_error", 0.01, 0.003)),
    "scene_motion": (("warp_error", 4.5, 1.0), ("still_error", 10.0, 2.0), ("motion_median_px", 6.0, 2.0)),
    "stylize": (("pair_disagreement", 0.2, 0.05),),
}
"""(figure, mean, standard deviation) by stage."""


def make_catalog(
    root: Path,
    *,
    clips: int,
    sources: int = 3600,
    failed_every: int = 1000,
    seed: int = 0,
    config: DatasetConfig | None = None,
) -> Dataset:
    """Writes a dataset of `clips` clips of `sources` videos; one clip in `failed_every` is in quarantine at camera."""
    config = config or DatasetConfig()
    dataset, graph = Dataset.create_or_open(str(root), config), build_graph(config)
    rng = np.random.default_rng(seed)
    shas = [digest("source", str(i)) * 2 for i in range(sources)]
    splits = [assign_split(sha[:16], config.ingest.splits) for sha in shas]
    kinds = ["camera" if i % 5 == 4 else "character" for i in range(sources)]
    ingest = [ingest_item(graph["ingest"], sha[:16], sha, "").key for sha in shas]
    catalog = dataset.catalog
    catalog.append("sources", [_source(i, sha, splits[i], kinds[i]) for i, sha in enumerate(shas)])
    rows = [
        _artifact(graph["ingest"], key, sha[:16], sha[:16], {}, rng, 3000)
        for key, sha in zip(ingest, shas, strict=True)
    ]
    catalog.append("artifacts", rows)
    prefixes = {name: spec.prefix for name, spec in graph.items()}
    samples: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for start in range(0, clips, BATCH):
        clip_rows, artifacts, failures, measurements = [], [], [], []
        for number in range(start, min(start + BATCH, clips)):
            owner = number % sources
            clip = _clip(shas[owner], number // sources, kinds[owner], splits[owner])
            keys = clip_keys(graph, clip, SourceFacts(shas[owner]), prefixes)
            clip_rows.append(clip_row(clip, ingest[owner], RUN_ID))
            made = list(_stage_rows(graph, clip, keys, rng, failed=number % failed_every == failed_every - 1))
            artifacts += made
            if len(made) < len(CLIP_STAGES):
                failures.append(_failure(clip, keys["camera"]))
                continue
            measurements.append(_measurement(clip, keys, rng))
            packed = SampleWork(clip, {stage: keys[stage] for stage in PACKED_STAGES})
            samples.setdefault((clip.split, clip.kind), []).append((clip.clip_id, sample_digest(packed)))
        catalog.append("clips", clip_rows)
        catalog.append("artifacts", artifacts)
        catalog.append("failures", failures)
        catalog.append("measurements", measurements)
    entries = tuple(_shards(samples))
    release = Release(number=1, shards=entries)
    dataset.storage.write(release.path, release.model_dump_json().encode())
    catalog.append(
        "artifacts",
        [_artifact(graph["ingest"], digest("pack", e.path), e.path, "", {}, rng, 2000, "pack") for e in entries],
    )
    catalog.append(
        "shards", [_shard_row(entry, place, name) for entry in entries for place, name in enumerate(entry.samples)]
    )
    catalog.append("runs", [_run(dataset)])
    return dataset


def _source(number: int, sha: str, split: str, kind: str) -> dict[str, Any]:
    name = f"videos/{number:05d}.mp4"
    return {
        "source_id": sha[:16], "sha256": sha, "uri": name, "kind": kind, "licence": "test", "split": split,
        "bytes": 30_000_000, "mtime_ns": 0, "focal": None, "camera_track": None, "camera_track_sha256": None,
        "camera_track_offset_s": 0.0, "duplicate_of": None, "extra": "{}", "run_id": RUN_ID,
    }  # fmt: skip


def _clip(sha: str, place: int, kind: Any, split: str) -> Clip:
    source, first = sha[:16], place * FRAMES
    return Clip(clip_id(source, first, FRAMES), source, kind, split, first, FRAMES, (30, 1), 0.0, "")


def _stage_rows(
    graph: dict[str, StageSpec], clip: Clip, keys: dict[str, str], rng: np.random.Generator, *, failed: bool
) -> Iterator[dict[str, Any]]:
    for stage in CLIP_STAGES:
        if failed and stage in ("camera", "depth", "scene_motion"):
            continue
        inputs = {name: keys[name] for name in graph[stage].inputs}
        size = int(BYTES[stage] * rng.lognormal(0, 0.2))
        yield _artifact(graph[stage], keys[stage], clip.clip_id, clip.source_id, inputs, rng, size)


def _artifact(
    spec: StageSpec, key: str, item: str, source: str, inputs: dict[str, str], rng: np.random.Generator, size: int,
    stage: str = "",
) -> dict[str, Any]:  # fmt: skip
    stage = stage or spec.name
    drawn = {name: float(abs(rng.normal(mean, deviation))) for name, mean, deviation in FIGURES.get(stage, ())}
    status = {"camera": "moving"}.get(stage, "ok")
    return {
        "key": key, "stage": stage, "stage_version": spec.version, "item_id": item, "source_id": source,
        "path": artifact_path(stage, key), "sha256": key * 2, "bytes": size, "status": status,
        "quality": json.dumps(drawn), "inputs": json.dumps(inputs), "backend": spec.backend,
        "backend_version": spec.backend_version, "weights_digest": spec.weights_digest, "params": spec.params,
        "seconds": float(rng.gamma(4.0, 2.0)), "worker": f"node-{rng.integers(16):02d}", "created_s": 1.7672e9,
        "run_id": RUN_ID,
    }  # fmt: skip


def _failure(clip: Clip, key: str) -> dict[str, Any]:
    return {
        "key": key, "stage": "camera", "item_id": clip.clip_id, "source_id": clip.source_id, "cause": "timeout",
        "error": "no result after 1800 s", "traceback": "", "attempts": 2, "created_s": 1.7672e9, "run_id": RUN_ID,
    }  # fmt: skip


def _measurement(clip: Clip, keys: dict[str, str], rng: np.random.Generator) -> dict[str, Any]:
    figures = {
        "camera_jerk": float(rng.gamma(2.0, 0.001)), "warp_gain": float(rng.beta(8, 12)), "still_error_grey": 10.0,
        "warp_error_grey": 4.0, "keypoints_in_frame": 1.0, "depth_rank": float(rng.beta(18, 2)),
        "motion_mismatch_px": float(rng.gamma(2.0, 0.0005)),
    }  # fmt: skip
    hashes = [rng.bytes(BITS // 8).hex() for _ in range(5)]
    return {
        "key": measurement_key(keys), "clip_id": clip.clip_id, "source_id": clip.source_id,
        "figures": json.dumps(figures), "hashes": " ".join(hashes), "created_s": 1.7672e9,
    }  # fmt: skip


def _shards(samples: dict[tuple[str, str], list[tuple[str, str]]]) -> Iterator[ShardEntry]:
    for (split, kind), members in sorted(samples.items()):
        members.sort()
        for number, start in enumerate(range(0, len(members), SHARD_SAMPLES)):
            part = members[start : start + SHARD_SAMPLES]
            sha = digest(split, kind, str(number)) * 2
            yield ShardEntry(
                path=f"shards/{split}-{kind}-{number:06d}-{sha[:16]}.tar", sha256=sha, bytes=13_000_000 * len(part),
                index_sha256=sha, split=split, kind=kind, samples=tuple(name for name, _ in part),
                frames=(FRAMES,) * len(part), frame_steps=(3,) * len(part), digests=tuple(d for _, d in part),
            )  # fmt: skip


def _shard_row(entry: ShardEntry, position: int, name: str) -> dict[str, Any]:
    return {
        "path": entry.path, "sha256": entry.sha256, "bytes": entry.bytes, "split": entry.split, "kind": entry.kind,
        "clip_id": name, "position": position, "release": 1, "run_id": RUN_ID,
    }  # fmt: skip


def _run(dataset: Dataset) -> dict[str, Any]:
    return {
        "run_id": RUN_ID, "command": "build", "state": "finished", "config_digest": dataset.config_digest(),
        "code_version": "synthetic", "host": "node-00", "python": "3.11", "created_s": 1.7672e9, "seconds": 36000.0,
        "counts": "{}",
    }  # fmt: skip


def main() -> None:
    """Writes a catalog and says how long it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path, help="folder of the new dataset")
    parser.add_argument("--clips", type=int, default=120_000)
    parser.add_argument("--sources", type=int, default=3600)
    arguments = parser.parse_args()
    started = time.perf_counter()
    make_catalog(arguments.root, clips=arguments.clips, sources=arguments.sources)
    print(f"{arguments.clips} clips of {arguments.sources} sources in {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
