"""A network in a store, opened on this machine (fsspec's memory file system)."""

from pathlib import Path

import fsspec
import pytest

from train.checkpoint import CheckpointError
from train.run_store import RunIndex, RunStore
from train.stored_export import local_export


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MIKUDANCE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def store(request: pytest.FixtureRequest) -> RunStore:
    return RunStore(f"memory://runs/{request.node.name}")


def export(store: RunStore, made: Path, step: int, what: str = "export") -> None:
    """Uploads and names one more folder."""
    made.mkdir(parents=True)
    (made / "mikudance.json").write_text(f"{what} {step}")
    index = store.read_index() or RunIndex()
    stored = store.put_folder(made, f"{what}/step-{step:08d}")
    named = {"export": "exports", "checkpoints": "checkpoints"}[what]
    store.write_index(index.model_copy(update={named: (*getattr(index, named), stored)}))


def test_the_newest_export_or_the_one_that_is_named_is_fetched_once(store: RunStore, tmp_path: Path) -> None:
    export(store, tmp_path / "one", 1)
    export(store, tmp_path / "two", 2)
    export(store, tmp_path / "three", 3, "checkpoints")
    newest = local_export(store.uri)
    assert (newest / "mikudance.json").read_text() == "export 2"
    assert (local_export(f"{store.uri}/export/step-00000001") / "mikudance.json").read_text() == "export 1"
    fsspec.filesystem("memory").rm(f"{store.uri}/export", recursive=True)
    assert local_export(f"{store.uri}/") == newest
    with pytest.raises(
        CheckpointError,
        match=r"names no checkpoints/step-00000003 .*; it has export/step-00000002, export/step-00000001$",
    ):
        local_export(f"{store.uri}/checkpoints/step-00000003")


def test_what_cannot_be_had_is_said(store: RunStore, tmp_path: Path, cache: Path) -> None:
    with pytest.raises(CheckpointError, match=r"there is no memory://.*/run\.json.*copy its export to a folder"):
        local_export(store.uri)
    export(store, tmp_path / "three", 3, "checkpoints")
    with pytest.raises(CheckpointError, match="names no export yet"):
        local_export(store.uri)
    export(store, tmp_path / "one", 1)
    cache.write_text("a file where a folder should be")
    with pytest.raises(CheckpointError, match=r"cannot be copied to .*set MIKUDANCE_CACHE to another folder"):
        local_export(store.uri)


def test_folders_are_taken_as_they_are(tmp_path: Path) -> None:
    assert local_export(str(tmp_path)) == tmp_path
    assert local_export(f"file://{tmp_path}") == tmp_path
