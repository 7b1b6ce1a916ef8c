"""Checkpoints that carry code, or names of files elsewhere: refused before anything of them runs."""

import contextlib
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from tests.hostile.test_archives import Trap
from train.checkpoint import CheckpointError, read_trainer_state, read_unsharded
from train.checkpoint_files import METADATA, UnsafeCheckpointError, read_table
from train.model.saving import SavedModelError, read_manifest
from train.weights.files import WeightsError, read_tensors


def written(folder: Path, **more: Any) -> tuple[Path, nn.Module]:
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    dcp.save({"model": model.state_dict(), **more}, checkpoint_id=folder, no_dist=True)
    return folder, model


def test_an_honest_checkpoint_is_read(tmp_path: Path) -> None:
    folder, model = written(tmp_path / "step")
    other = nn.Linear(3, 2)
    read_unsharded(folder, other)
    assert torch.equal(other.weight, model.weight)
    assert torch.equal(other.bias, model.bias)


def test_code_in_the_table_of_contents_is_not_run(tmp_path: Path, outside: Path) -> None:
    folder, model = written(tmp_path / "step")
    (folder / METADATA).write_bytes(pickle.dumps(Trap(outside / "planted")))
    with pytest.raises(CheckpointError, match=r"\.metadata is refused: it names posix\.mkdir"):
        read_unsharded(folder, model)


def test_code_among_the_values_is_not_run(tmp_path: Path, outside: Path) -> None:
    """A value that is no tensor is a pickle of its own; here in the place of a tensor that the network wants."""
    _, model = written(tmp_path / "honest")
    state: dict[str, Any] = {name: Trap(outside / "planted") for name in model.state_dict()}
    dcp.save({"model": state}, checkpoint_id=tmp_path / "step", no_dist=True)
    with pytest.raises(CheckpointError):
        read_unsharded(tmp_path / "step", model)


@pytest.mark.parametrize("name", ["../outside/secret", "/etc/hostname", "..", "a/b", ""])
def test_files_elsewhere_are_not_opened(tmp_path: Path, outside: Path, name: str) -> None:
    folder, model = written(tmp_path / "step")
    table = read_table(folder)
    for info in table.storage_data.values():
        info.relative_path = name
    (folder / METADATA).write_bytes(pickle.dumps(table))
    with pytest.raises(CheckpointError, match="outside of the folder"):
        read_unsharded(folder, model)


@pytest.mark.parametrize("reach", ["torch.load", "torch.distributed.checkpoint.metadata.os", "builtins.eval"])
def test_only_the_classes_of_tables_can_be_named(tmp_path: Path, reach: str) -> None:
    module, _, name = reach.rpartition(".")
    (tmp_path / METADATA).write_bytes(f"c{module}\n{name}\n.".encode())
    with pytest.raises(UnsafeCheckpointError, match=f"names {module}.{name}"):
        read_table(tmp_path)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_bytes_crash_the_readers(tmp_path: Path, outside: Path, data: st.DataObject) -> None:
    """Bounded fuzzing: cut, changed and random files give the named errors, or read."""
    whole = tmp_path / "whole"
    if not whole.exists():
        written(whole)
        torch.save({"w": torch.arange(6.0)}, tmp_path / "whole.pth")
        torch.save({"w": torch.arange(6.0)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    source = data.draw(st.sampled_from([whole / METADATA, tmp_path / "whole.pth", tmp_path / "old.pth"]))
    raw = bytearray(source.read_bytes())
    if data.draw(st.booleans()):
        del raw[data.draw(st.integers(0, len(raw))) :]
    for _ in range(data.draw(st.integers(0, 6))):
        if raw:
            raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    place = tmp_path / "fuzzed"
    place.mkdir(exist_ok=True)
    if source.name == METADATA:
        (place / METADATA).write_bytes(raw)
        with contextlib.suppress(UnsafeCheckpointError):
            assert read_table(place).storage_data is not None
    else:
        (place / "w.pth").write_bytes(raw)
        with contextlib.suppress(WeightsError):
            assert all(isinstance(value, torch.Tensor) for value in read_tensors(place / "w.pth").values())


@pytest.mark.parametrize("text", [b"\xff\xfe", b"[" * 100_000, b"{}", b"null", b'{"step": 1e999}'])
def test_small_files_beside_weights(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "trainer.json").write_bytes(text)
    (tmp_path / "mikudance.json").write_bytes(text)
    with pytest.raises(CheckpointError):
        read_trainer_state(tmp_path)
    with pytest.raises(SavedModelError):
        read_manifest(tmp_path)
