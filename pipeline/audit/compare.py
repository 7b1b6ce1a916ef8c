"""What changed between two versions of a dataset: per stage and clip, with pictures where a picture changed."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pipeline.audit.pictures import TILE, depth_colours, motion_colours
from pipeline.audit.site import prepare, templates
from pipeline.checks.run import spread
from pipeline.dataset import Dataset, DatasetError
from pipeline.pack.read import read_sample
from pipeline.pack.sample import PACKED_STAGES
from schemas.release import Release, ShardEntry
from schemas.sample import frame_member, style_members
from stages.jpeg import encode_jpeg


@dataclass(frozen=True)
class ClipChange:
    """A clip in both versions with different contents. stages: those whose artifact is another. figures: (stage.figure,
    before, after) where they differ. status: the same for statuses.
    """

    clip_id: str
    stages: tuple[str, ...]
    figures: tuple[tuple[str, float | None, float | None], ...]
    status: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class Comparison:
    """Two releases. changes: every changed clip, in order of id."""

    before: Release
    after: Release
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changes: tuple[ClipChange, ...]
    unchanged: int
    by_stage: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class ComparisonPage:
    """The page that was written, and counts."""

    index: Path
    added: int
    removed: int
    changed: int


def resolve(dataset: Dataset, version: str) -> Release:
    """The release of a version: its number, or the id of a run, which stands for the release it published. Raises
    DatasetError where there is none.
    """
    if version.isdigit() and len(version) < 8:
        return dataset.release(int(version))
    rows = dataset.catalog.rows("shards", ["run_id", "release"])
    published = {row["release"] for row in rows if row["run_id"] == version}
    if not published:
        raise DatasetError(
            f"{version!r} is neither a release's number nor a run that published one; the catalog's table `shards` "
            "lists both (`mikudance sql`)"
        )
    return dataset.release(max(published))


def compare(dataset: Dataset, before: Release, after: Release) -> Comparison:
    """Reads the json of samples whose digests differ, and no others."""
    old, new = _entries(before), _entries(after)
    both = sorted(old.keys() & new.keys())
    changes, by_stage = [], Counter[str]()
    for name in both:
        if _digest(old[name], name) and _digest(old[name], name) == _digest(new[name], name):
            continue
        if old[name].path == new[name].path:
            continue
        change = _change(name, _json(dataset, old[name], name), _json(dataset, new[name], name))
        changes.append(change)
        by_stage.update(change.stages)
    return Comparison(
        before=before,
        after=after,
        added=tuple(sorted(new.keys() - old.keys())),
        removed=tuple(sorted(old.keys() - new.keys())),
        changes=tuple(changes),
        unchanged=len(both) - len(changes),
        by_stage=by_stage,
    )


def build_comparison(dataset: Dataset, first: str, second: str, output: Path, *, pictures: int) -> ComparisonPage:
    """Writes a page about two versions into `output`; at most `pictures` changed clips are shown in pictures."""
    found = compare(dataset, resolve(dataset, first), resolve(dataset, second))
    prepare(output)
    shown = []
    old, new = _entries(found.before), _entries(found.after)
    names = spread([change.clip_id for change in found.changes], pictures) if pictures else []
    for name in names:
        folder = output / "clips" / name
        folder.mkdir(parents=True)
        pairs = _pictures(read_sample(dataset, old[name], name), read_sample(dataset, new[name], name))
        saved = []
        for number, (title, images) in enumerate(pairs):
            files = []
            for place, image in enumerate(images):
                (folder / f"{number}_{place}.jpg").write_bytes(encode_jpeg(image, 90))
                files.append(f"clips/{name}/{number}_{place}.jpg")
            saved.append((title, files))
        shown.append((name, saved))
    (output / "data" / "clips.js").write_text("// the comparison needs no index\n", encoding="utf-8")
    page = templates().get_template("compare.html").render(found=found, shown=shown, root=dataset.root)
    (output / "index.html").write_text(page, encoding="utf-8")
    return ComparisonPage(output / "index.html", len(found.added), len(found.removed), len(found.changes))


def _change(name: str, old: dict[str, Any], new: dict[str, Any]) -> ClipChange:
    stages = tuple(s for s in PACKED_STAGES if old["artifacts"].get(s) != new["artifacts"].get(s))
    figures = []
    for stage in sorted(old["quality"].keys() | new["quality"].keys()):
        a, b = old["quality"].get(stage, {}), new["quality"].get(stage, {})
        figures += [(f"{stage}.{k}", a.get(k), b.get(k)) for k in sorted(a.keys() | b.keys()) if a.get(k) != b.get(k)]
    words = sorted(old["status"].keys() | new["status"].keys())
    status = [(s, old["status"].get(s, ""), new["status"].get(s, "")) for s in words]
    return ClipChange(name, stages, tuple(figures), tuple(row for row in status if row[1] != row[2]))


def _pictures(old: dict[str, Any], new: dict[str, Any]) -> list[tuple[str, list[np.ndarray]]]:
    """(title, [before, after, difference]) of every picture that changed; motion and depth share one scale."""
    found = []
    middle = len(old["json"]["timestamps"]) // 2
    members = [("frame", frame_member(middle)), *(("stylised", name) for name in style_members(0))]
    for title, member in members:
        if member in old and member in new and old[member] != new[member]:
            found.append((f"{title} ({member})", _triple(_decode(old[member]), _decode(new[member]))))
    width, height = old["json"]["size"]
    size = (TILE, max(1, round(TILE * height / width)))
    a, b = (s["inverse_depth.npy"].astype(np.float32) for s in (old, new))
    if a.shape == b.shape and not np.array_equal(a, b):
        both = depth_colours(np.concatenate([a[0], b[0]]), (size[0], 2 * size[1]))
        found.append(("inverse depth", _triple(both[: size[1]], both[size[1] :])))
    a, b = (s["scene_motion.npy"].astype(np.float32) for s in (old, new))
    if a.shape == b.shape and not np.array_equal(a, b):
        worst = int(np.abs(a[0] - b[0]).mean(axis=(1, 2, 3)).argmax())
        longest = max(float(np.percentile(np.abs(np.stack([a[0], b[0]])), 99)), 0.5)
        maps = [
            motion_colours(m[0, worst], s["scene_motion_valid.npy"][0, worst].astype(bool), longest, size)
            for m, s in ((a, old), (b, new))
        ]
        found.append((f"scene motion at frame {worst}, where it differs most", _triple(*maps)))
    return found


def _triple(before: np.ndarray, after: np.ndarray) -> list[np.ndarray]:
    if before.shape != after.shape:
        after = cv2.resize(after, (before.shape[1], before.shape[0]), interpolation=cv2.INTER_AREA)
    return [before, after, cv2.absdiff(before, after)]


def _decode(jpeg: bytes) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise DatasetError("a picture of a sample does not decode; `mikudance verify` names the shard")
    scale = min(1.0, TILE / max(image.shape[:2]))
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image
    return cv2.cvtColor(small, cv2.COLOR_BGR2RGB)


def _json(dataset: Dataset, entry: ShardEntry, name: str) -> dict[str, Any]:
    return dict(read_sample(dataset, entry, name, only=("json",))["json"])


def _entries(release: Release) -> dict[str, ShardEntry]:
    return {name: entry for entry in release.shards for name in entry.samples}


def _digest(entry: ShardEntry, name: str) -> str:
    return entry.digests[entry.samples.index(name)] if entry.digests else ""
