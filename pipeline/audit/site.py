"""Writes the audit site: an index of every clip, and pages for some of them."""

import hashlib
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np

from pipeline.audit import facts
from pipeline.audit.charts import histogram, stacked_bar
from pipeline.audit.clip_page import TrainerView, clip_facts
from pipeline.audit.index_data import clip_index, script
from pipeline.audit.pictures import colour_wheel
from pipeline.checks.run import spread
from pipeline.checks.snapshot import Snapshot
from pipeline.checks.verdict import CheckLimits, CheckResult, failed
from pipeline.dataset import DatasetError
from pipeline.explain import lineages
from pipeline.report import human_bytes
from pipeline.version import code_version

HERE = Path(__file__).parent


@dataclass(frozen=True)
class SiteOptions:
    """pages: clips of the sample that get a page. failed_pages: at most so many pages of clips with a problem (every
    one of them unless there are more). clips: further clips to make pages of.
    """

    pages: int = 24
    failed_pages: int = 500
    clips: tuple[str, ...] = ()


@dataclass(frozen=True)
class Site:
    """What was written. cut: clips with a problem that got no page because there were too many."""

    index: Path
    pages: int
    cut: int


def build_site(
    snapshot: Snapshot,
    results: Sequence[CheckResult],
    limits: CheckLimits,
    output: Path,
    options: SiteOptions,
    trainer_view: TrainerView | None = None,
) -> Site:
    """Writes index.html, clips/, data/ and assets/ into `output`, replacing what an earlier audit left there.

    Raises DatasetError for a clip in `options` that the dataset does not have, and for a folder that holds something
    else.
    """
    wrong = facts.problems(snapshot, results)
    chosen, cut = choose_pages(snapshot, wrong, options)
    columns, limited = facts.figure_columns(snapshot), facts.thresholds(snapshot, limits)
    prepare(output)
    environment = templates()
    chains, figures = lineages(snapshot, chosen), facts.clip_figures(snapshot, chosen)
    for place, name in enumerate(chosen):
        around = {"previous": chosen[place - 1] if place else "", "next": (*chosen, "")[place + 1]}
        found = clip_facts(snapshot, chains[name], output / "clips" / name, figures[name], limited, trainer_view)
        found |= {"problems": wrong.get(name, []), **around, "shard": snapshot.packed.get(name, "")}
        page = environment.get_template("clip.html").render(**found)
        (output / "clips" / f"{name}.html").write_text(page, encoding="utf-8")
    index = clip_index(snapshot, columns, wrong, set(chosen))
    (output / "data" / "clips.js").write_text(script("CLIPS", index), encoding="utf-8")
    page = environment.get_template("index.html").render(**_index(snapshot, results, columns, limited, wrong, cut))
    (output / "index.html").write_text(page, encoding="utf-8")
    return Site(output / "index.html", len(chosen), cut)


def choose_pages(
    snapshot: Snapshot, problems: Mapping[str, Sequence[str]], options: SiteOptions
) -> tuple[list[str], int]:
    """Clips that get a page, in order of id: an even sample, those with a problem, those asked for. And how many of
    those with a problem got none. Raises DatasetError for one asked for that the dataset does not have.
    """
    unknown = [name for name in options.clips if name not in snapshot.clips]
    if unknown:
        raise DatasetError(f"{unknown[0]} is no clip of this dataset; its table `clips` lists them (`mikudance sql`)")
    sound = [name for name in snapshot.clips if name not in problems and snapshot.finished(name)]
    wrong = sorted(problems)
    sample = spread(sound, options.pages) if options.pages else []
    chosen = {*options.clips, *sample, *wrong[: options.failed_pages]}
    return sorted(chosen), max(len(wrong) - options.failed_pages, 0)


def prepare(output: Path) -> None:
    """An empty site with its style and scripts. Raises DatasetError for a folder that holds something else."""
    if output.exists() and any(output.iterdir()) and not (output / "data" / "clips.js").exists():
        raise DatasetError(f"{output} is not empty and holds no audit: name a new or an empty folder")
    for name in ("clips", "data", "assets"):
        shutil.rmtree(output / name, ignore_errors=True)
        (output / name).mkdir(parents=True)
    for file in (HERE / "assets").iterdir():
        if file.suffix in (".css", ".js"):
            shutil.copyfile(file, output / "assets" / file.name)
    wheel = cv2.imencode(".png", cv2.cvtColor(colour_wheel(), cv2.COLOR_RGBA2BGRA))[1]
    (output / "assets" / "wheel.png").write_bytes(wheel.tobytes())


def templates() -> jinja2.Environment:
    """The environment that renders the pages; everything is escaped, and an unknown name is an error."""
    loader = jinja2.FileSystemLoader(HERE / "templates")
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["bytes"] = human_bytes
    environment.filters["time"] = lambda seconds: time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))
    environment.filters["duration"] = duration
    environment.filters["number"] = lambda value: f"{value:,}".replace(",", "\u202f")
    return environment


def duration(seconds: float) -> str:
    """12.3 s, 4 min 5 s, 3.2 h."""
    if seconds < 90:
        return f"{seconds:.3g} s"
    return f"{seconds // 60:.0f} min {seconds % 60:.0f} s" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _index(
    snapshot: Snapshot,
    results: Sequence[CheckResult],
    columns: Mapping[str, np.ndarray],
    limited: Mapping[str, Sequence[Any]],
    wrong: Mapping[str, Sequence[str]],
    cut: int,
) -> dict[str, Any]:
    stages, release, dataset = facts.stage_facts(snapshot), snapshot.release, snapshot.dataset
    charts = []
    for name, values in columns.items():
        finite = values[np.isfinite(values)].astype(np.float64)
        if len(finite):
            quartiles = np.percentile(finite, [0, 50, 100])
            charts.append(
                (name, histogram(finite, limited.get(name, ())), len(finite), quartiles, limited.get(name, ()))
            )
    return {
        "root": dataset.root,
        "name": dataset.root.rstrip("/").rpartition("/")[2],
        "made_s": time.time(),
        "code_version": code_version(),
        "config_digest": dataset.config_digest(),
        "config_json": dataset.config.model_dump_json(indent=1),
        "release": release,
        "release_digest": snapshot.release_digest,
        "release_bytes": sum(entry.bytes for entry in release.shards) if release else 0,
        "release_frames": sum(sum(entry.frames) for entry in release.shards) if release else 0,
        "packed": len(snapshot.packed),
        "sources": snapshot.state.sources,
        "clips": len(snapshot.clips),
        "measured": len(snapshot.measured),
        "problem": snapshot.problem,
        "results": results,
        "failed": failed(list(results)),
        "stages": [
            (s, stacked_bar((("made", s.made, "good"), ("quarantine", s.quarantined, "bad"), ("open", s.open, "open"))))
            for s in stages
        ],
        "size_bar": stacked_bar([(s.stage, s.bytes, f"c{i}") for i, s in enumerate(stages)]),
        "stored": facts.stored_bytes(snapshot),
        "failures": snapshot.failures,
        "balance": [
            (split, kinds, stacked_bar([(kind, count, f"kind-{kind}") for kind, count in sorted(kinds.items())]))
            for split, kinds in facts.balance(snapshot)
        ],
        "charts": charts,
        "runs": facts.runs(snapshot),
        "wrong": len(wrong),
        "cut": cut,
        "stamp": hashlib.sha256(dataset.root.encode()).hexdigest()[:8],
    }
