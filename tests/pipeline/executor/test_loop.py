"""The executor on a real Ray cluster: bad items are isolated, everything else is made."""

from collections import Counter
from pathlib import Path

import pytest

from pipeline.executor.loop import ExecutorError, StageRun, execute
from pipeline.executor.worker import ItemDone, ItemFailed
from pipeline.storage import Storage, UnwritableError
from pipeline.work import WorkItem
from schemas.config import Resources
from tests.pipeline.executor.jobs import BrokenJob, EchoJob, chain

pytestmark = pytest.mark.ray
STAGES = ("first", "second")


class Record:
    def __init__(self) -> None:
        self.made: Counter[str] = Counter()
        self.failures: dict[str, tuple[str, str, int]] = {}
        self.retries: Counter[str] = Counter()

    def started(self, totals: object) -> None:
        self.totals = totals

    def done(self, item: WorkItem, outcome: ItemDone) -> None:
        self.made[f"{item.stage} {item.item_id}"] += 1

    def retried(self, item: WorkItem, failure: ItemFailed, attempt: int) -> None:
        self.retries[item.item_id] += 1

    def quarantined(self, item: WorkItem, failure: ItemFailed, attempts: int) -> None:
        self.failures[item.item_id] = (failure.cause, failure.error, attempts)

    def tick(self) -> None:
        pass


def runs(resources: Resources) -> dict[str, StageRun]:
    return {name: StageRun(EchoJob, resources) for name in STAGES}


@pytest.mark.usefixtures("ray_cluster")
def test_bad_items_are_quarantined_and_all_others_finish(tmp_path: Path) -> None:
    names = ["a", "b", "raise-1", "die-1", "hang-1", "c", "refuse-1", "d", "e"]
    items = [item for name in names for item in chain(name, STAGES)]
    record = Record()
    resources = Resources(cpus=0.5, timeout_s=3, attempts=2)
    outcome = execute(items, runs(resources), root=str(tmp_path), observer=record, stop=lambda: False)
    good = {f"{stage} {name}" for stage in STAGES for name in "abcde"}
    assert set(record.made) == good
    assert set(record.made.values()) == {1}
    assert {name: cause for name, (cause, _, _) in record.failures.items()} == {
        "raise-1": "raised",
        "die-1": "killed",
        "hang-1": "timeout",
        "refuse-1": "refused",
    }
    tries = {name: attempts for name, (_, _, attempts) in record.failures.items()}
    assert tries == {"raise-1": 2, "die-1": 2, "hang-1": 2, "refuse-1": 1}  # a refusal would only be repeated
    assert record.retries == {"raise-1": 1, "die-1": 1, "hang-1": 1}  # neighbours are never blamed
    assert "cannot do raise-1" in record.failures["raise-1"][1]
    assert "run.first.timeout_s" in record.failures["hang-1"][1]
    assert (outcome.done, outcome.quarantined, outcome.left) == (10, 4, 0)
    made = [path for path in Storage(str(tmp_path)).list("artifacts") if path.endswith(".parquet")]
    assert len(made) == 10


@pytest.mark.usefixtures("ray_cluster")
def test_more_one_cpu_stages_than_cpus_do_not_deadlock(tmp_path: Path) -> None:
    stages = tuple(f"s{number}" for number in range(8))
    items = [item for name in ("x", "y", "z") for item in chain(name, stages)]
    record = Record()
    runs = {name: StageRun(EchoJob, Resources(cpus=1)) for name in stages}
    outcome = execute(items, runs, root=str(tmp_path), observer=record, stop=lambda: False)
    assert outcome.done == 24


@pytest.mark.usefixtures("ray_cluster")
def test_a_stage_that_does_not_load_leaves_its_items_and_others_finish(tmp_path: Path) -> None:
    items = [item for name in ("x", "y") for item in chain(name, STAGES)]
    record = Record()
    runs = {"first": StageRun(EchoJob, Resources(cpus=0.5)), "second": StageRun(BrokenJob, Resources(cpus=0.5))}
    outcome = execute(items, runs, root=str(tmp_path), observer=record, stop=lambda: False)
    assert outcome.done == 2
    assert outcome.quarantined == 0
    assert outcome.left == 2
    assert "the model file is damaged" in outcome.broken["second"]


@pytest.mark.usefixtures("ray_cluster")
def test_damaged_inputs_leave_items_for_a_rerun_and_quarantine_nothing(tmp_path: Path) -> None:
    items = [item for name in ("a", "damaged-1", "b") for item in chain(name, STAGES)]
    record = Record()
    run = runs(Resources(cpus=0.5, attempts=2))
    outcome = execute(items, run, root=str(tmp_path), observer=record, stop=lambda: False)
    assert (outcome.done, outcome.quarantined, outcome.left) == (4, 0, 1)
    assert record.failures == {}
    assert record.retries == {"damaged-1": 1}
    assert "damaged-1" in outcome.broken["first"]
    assert "absent.parquet is missing; `mikudance verify`" in outcome.broken["first"]


@pytest.mark.usefixtures("ray_cluster")
def test_a_source_file_that_is_gone_leaves_its_item_for_a_rerun_and_quarantines_nothing(tmp_path: Path) -> None:
    items = [item for name in ("a", "gone-1", "b") for item in chain(name, STAGES)]
    record = Record()
    outcome = execute(
        items, runs(Resources(cpus=0.5, attempts=2)), root=str(tmp_path), observer=record, stop=lambda: False
    )
    assert (outcome.done, outcome.quarantined, outcome.left) == (4, 0, 1)
    assert (record.failures, record.retries) == ({}, {})
    assert outcome.broken == {"first": "gone-1: /videos/gone-1.mp4: the file is gone"}


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize(("attempts", "retried"), [(2, 1), (30, 2)])
def test_a_disk_that_takes_nothing_ends_the_run_and_quarantines_nothing(
    tmp_path: Path, attempts: int, retried: int
) -> None:
    """After few tries: each makes the item anew, which may take an hour of a GPU."""
    items = [item for name in ("a", "full-1", "b") for item in chain(name, STAGES)]
    record = Record()
    with pytest.raises(UnwritableError, match=r"No space left on device: '/data/tmp/x' .* free space"):
        execute(
            items,
            runs(Resources(cpus=0.5, attempts=attempts)),
            root=str(tmp_path),
            observer=record,
            stop=lambda: False,
        )
    assert record.failures == {}
    assert record.retries == {"full-1": retried}
    (tmp_path / "artifacts").rename(tmp_path / "kept")
    (tmp_path / "artifacts").write_text("in the way of every folder")
    with pytest.raises(UnwritableError, match="cannot be written"):
        execute(
            chain("a", STAGES), runs(Resources(attempts=1)), root=str(tmp_path), observer=record, stop=lambda: False
        )


@pytest.mark.usefixtures("ray_cluster")
def test_a_stage_that_fits_no_node_is_refused_at_the_start(tmp_path: Path) -> None:
    record = Record()
    runs = {"first": StageRun(EchoJob, Resources(cpus=64))}
    with pytest.raises(ExecutorError, match=r"run\.first\.cpus"):
        execute(chain("x", ("first",)), runs, root=str(tmp_path), observer=record, stop=lambda: False)


@pytest.mark.usefixtures("ray_cluster")
def test_artifacts_of_a_killed_run_are_taken_over(tmp_path: Path) -> None:
    items = chain("a", STAGES)
    run = runs(Resources(cpus=0.5))
    execute(items, run, root=str(tmp_path), observer=Record(), stop=lambda: False)
    storage = Storage(str(tmp_path))
    before = {path: Path(storage.full(path)).stat().st_mtime_ns for path in storage.list("artifacts")}
    outcome = execute(items, run, root=str(tmp_path), observer=Record(), stop=lambda: False)
    assert outcome.done == 2
    assert before == {path: Path(storage.full(path)).stat().st_mtime_ns for path in storage.list("artifacts")}


@pytest.mark.usefixtures("ray_cluster")
def test_a_stop_hands_out_nothing_more(tmp_path: Path) -> None:
    items = [item for name in ("a", "b", "c") for item in chain(name, STAGES)]
    outcome = execute(items, runs(Resources(cpus=0.5)), root=str(tmp_path), observer=Record(), stop=lambda: True)
    assert outcome.done == 0
    assert outcome.left == 3  # the ready ones; the others wait for them
