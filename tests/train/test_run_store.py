"""What a run's folder in a store says of itself, in fsspec's memory file system."""

from pathlib import Path

import fsspec
import pytest
from pydantic import ValidationError

from train.checkpoint import CheckpointError
from train.run_store import RunIndex, RunStore, StoredFolder, is_whole, mark

NAME = "checkpoints/step-00000001"


@pytest.fixture
def store(request: pytest.FixtureRequest) -> RunStore:
    return RunStore(f"memory://runs/{request.node.name}")


def folder(path: Path, **files: bytes) -> Path:
    path.mkdir(parents=True)
    for name, data in files.items():
        (path / name).write_bytes(data)
    return path


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "", ".", "a//b", "./a", "a\\b", "a\0"])
def test_files_outside_of_the_folder_are_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="outside of its folder"):
        StoredFolder(name=NAME, files={name: 1})


@pytest.mark.parametrize(
    "name", ["checkpoints/../../x", "/checkpoints/step-00000001", "step-00000001", "export/step-1"]
)
def test_folders_that_are_no_step_are_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        StoredFolder(name=name, files={})


def test_an_index_of_others_is_refused_and_an_absent_one_is_none(store: RunStore) -> None:
    assert store.read_index() is None
    index = RunIndex(checkpoints=(StoredFolder(name=NAME, files={"a": 1}),))
    store.write_index(index)
    assert store.read_index() == index
    fsspec.filesystem("memory").pipe_file(f"{store.uri}/run.json", b'{"format_version": 2}')
    with pytest.raises(CheckpointError, match=r"run\.json is not of this trainer"):
        store.read_index()


def test_only_what_is_absent_is_fetched_and_a_copy_of_another_attempt_is_replaced(
    store: RunStore, tmp_path: Path
) -> None:
    stored = store.put_folder(folder(tmp_path / "made", a=b"one", b=b"two"), NAME)
    other = folder(tmp_path / "other", a=b"ONE", b=b"TWO")  # of the same sizes, and not marked
    store.get_folder(stored, other)
    assert [(other / name).read_bytes() for name in "ab"] == [b"one", b"two"]
    assert is_whole(other, stored)
    own = folder(tmp_path / "own", a=b"ONE")  # as on a node that has written a part: it is not fetched again
    mark(own, stored)
    store.get_folder(stored, own)
    assert [(own / name).read_bytes() for name in "ab"] == [b"ONE", b"two"]
    store.remove(stored)
    store.remove(stored)
    with pytest.raises(CheckpointError, match=rf"{NAME}/a is absent"):
        store.get_folder(stored, tmp_path / "late")
    assert not (tmp_path / "late").exists()
