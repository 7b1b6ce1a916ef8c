"""What a release is planned from: of a catalog that was read in part, exactly what the whole of it gives."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from bench.synthetic_catalog import make_catalog
from pipeline.dataset import Dataset, DatasetError
from pipeline.graph import build_graph
from pipeline.pack.release import publish
from pipeline.state import State, read_items, read_sources, read_state
from pipeline.work import ShardWork, WorkItem
from schemas.release import Release


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return make_catalog(tmp_path, clips=120, sources=12, failed_every=1000)


def state_of(dataset: Dataset, sources: set[str] | None) -> State:
    state = State(sources=read_sources(dataset))
    read_items(dataset, state, figures_of=(), only=sources)
    return state


def planned(dataset: Dataset, state: State) -> list[WorkItem]:
    """The shards that `publish` asks for (none is written, so it refuses in the end)."""
    asked: list[WorkItem] = []

    def note(items: Sequence[WorkItem]) -> None:
        asked.extend(items)

    with suppress(DatasetError):  # where anything was asked for
        publish(dataset, state, build_graph(dataset.config), note, "run")
    return asked


def with_other_content(dataset: Dataset, place: int) -> tuple[Release, str]:
    """A next release in which one sample of a shard of several sources is not what the artifacts give."""
    old = dataset.newest_release()
    assert old is not None
    entry = next(entry for entry in old.shards if len({name[:16] for name in entry.samples}) > 1)
    digests = [*entry.digests[:place], "0" * 32, *entry.digests[place + 1 :]]
    changed = entry.model_copy(update={"digests": tuple(digests)})
    shards = tuple(changed if shard is entry else shard for shard in old.shards)
    release = Release(number=2, parent=old.digest(), shards=shards)
    dataset.storage.write(release.path, release.model_dump_json().encode())
    return release, entry.samples[place][:16]


def test_of_sources_that_no_release_holds_the_others_are_not_read(dataset: Dataset) -> None:
    parent, state = dataset.newest_release(), state_of(dataset, {"f" * 16})
    found = publish(dataset, state, build_graph(dataset.config), lambda items: None, "run")
    assert found is not None
    assert found.release == parent
    assert state.clips == {}


def test_a_published_source_makes_the_plan_that_the_whole_catalog_makes(dataset: Dataset) -> None:
    release, source = with_other_content(dataset, 3)
    other = next(name for name in read_sources(dataset) if name != source)
    wanted = planned(dataset, read_state(dataset))
    work = wanted[0].payload
    assert isinstance(work, ShardWork)
    # The neighbours of the sample that changed come along, whoever's they are.
    hurt = next(shard for shard in release.shards if "0" * 32 in shard.digests)
    assert {sample.clip.clip_id for sample in work.samples} == set(hurt.samples)
    assert planned(dataset, state_of(dataset, {source})) == wanted
    assert planned(dataset, state_of(dataset, {other})) == wanted
    assert planned(dataset, state_of(dataset, {"f" * 16})) == []
