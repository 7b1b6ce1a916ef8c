"""Steps on a catalog of 120,000 clips whose files do not exist: writing it, commits, a forecast, the audit's site."""

import time
from pathlib import Path

from bench.scale_steps import Measured, TimedCatalog, open_dataset, scale_config, timed
from pipeline.dataset import Dataset
from pipeline.work import digest

COMMITS, COMMIT_ROWS = 30, 1000
PAGES = 24


def step(root: Path, name: str, clips: int) -> Measured:
    """One of the steps by name."""
    if name == "catalog":
        return _write(root, clips)
    dataset, catalog = open_dataset(root)
    return _commits(catalog) if name == "commits" else _audit(root, dataset, catalog)


def _write(root: Path, clips: int) -> Measured:
    from bench.synthetic_catalog import make_catalog

    started = time.perf_counter()
    make_catalog(root / "dataset", clips=clips, failed_every=100, config=scale_config())
    return Measured("catalog", time.perf_counter() - started, counts={"clips": clips})


def _commits(catalog: TimedCatalog) -> Measured:
    """Commits of a run's usual size onto the catalog as it is."""
    template = catalog.select("artifacts", "stage", ["ingest"])[0]

    def work() -> None:
        for number in range(COMMITS):
            keys = [digest("commit", str(number), str(row)) for row in range(COMMIT_ROWS)]
            catalog.append("artifacts", [template | {"key": key, "item_id": key} for key in keys])

    return timed("commits", catalog, work)[0]


def _audit(root: Path, dataset: Dataset, catalog: TimedCatalog) -> Measured:
    """`mikudance audit` without the pictures: the files that they would come from do not exist."""
    from pipeline.audit.site import SiteOptions, build_site
    from pipeline.checks.run import run_checks
    from pipeline.checks.snapshot import read_snapshot
    from pipeline.checks.verdict import CheckLimits

    def work() -> int:
        snapshot, limits = read_snapshot(dataset), CheckLimits()
        results = run_checks(snapshot, limits, files=False)
        options = SiteOptions(pages=PAGES, failed_pages=100, clips=())
        return build_site(snapshot, results, limits, root / "site", options, None).pages

    measured, pages = timed("audit", catalog, work)
    measured.counts = {"pages": pages}
    return measured
