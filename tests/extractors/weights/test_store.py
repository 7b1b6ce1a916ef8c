"""Weights are pinned by digest, come from a mirror as they are, and a changed file is refused."""

import hashlib
import json
import zipfile
from pathlib import Path

import pytest

from extractors.weights.catalog import CATALOG, WeightFile, WeightSet, find
from extractors.weights.store import LOCK, WeightsError, default_folder, fetch, missing_weights, verify

CONTENT = b"weights" * 1000


def weight_set(**changes: object) -> WeightSet:
    fields: dict[str, object] = {
        "name": "toy",
        "backend": "toy",
        "title": "a toy",
        "licence": "MIT",
        "non_commercial": False,
        "page": "https://example.org",
        "files": (WeightFile(path="model.bin", sha256=hashlib.sha256(CONTENT).hexdigest(), size=len(CONTENT)),),
    }
    return WeightSet.model_validate(fields | changes)


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    folder = tmp_path / "mirror"
    (folder / "toy").mkdir(parents=True)
    (folder / "toy" / "model.bin").write_bytes(CONTENT)
    return folder


def test_catalog_is_well_formed() -> None:
    assert len({entry.name for entry in CATALOG}) == len(CATALOG)
    for entry in CATALOG:
        for file in entry.files:
            assert ".." not in file.path
            assert not file.path.startswith("/")
            assert file.url is None or file.url.startswith("https://")
    assert find("depth-anything-v2-small").licence == "Apache-2.0"
    assert find("depth-anything-v2-large").non_commercial
    assert find("xpose-swin-t").non_commercial
    with pytest.raises(KeyError, match="known: depth-anything-v2-small"):
        find("nothing")


def test_fetch_from_mirror_pins_and_leaves_a_good_file_alone(tmp_path: Path, mirror: Path) -> None:
    entry, folder, seen = weight_set(), tmp_path / "weights", []
    (path,) = fetch(
        entry, folder=folder, mirror=str(mirror), progress=lambda name, done, total: seen.append((name, done, total))
    )
    assert path.read_bytes() == CONTENT
    assert seen[-1] == ("toy/model.bin", len(CONTENT), len(CONTENT))
    assert json.loads((folder / LOCK).read_text()) == {"toy/model.bin": hashlib.sha256(CONTENT).hexdigest()}
    changed = path.stat().st_mtime_ns
    (mirror / "toy" / "model.bin").unlink()
    fetch(entry, folder=folder, mirror=str(mirror))
    assert path.stat().st_mtime_ns == changed


def test_digest_that_differs_is_refused_and_nothing_is_left(tmp_path: Path, mirror: Path) -> None:
    (mirror / "toy" / "model.bin").write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(WeightsError, match="expected " + hashlib.sha256(CONTENT).hexdigest()):
        fetch(weight_set(), folder=tmp_path / "weights", mirror=str(mirror))
    assert list((tmp_path / "weights" / "toy").iterdir()) == []


def test_file_without_known_digest_is_pinned_by_its_first_copy(tmp_path: Path, mirror: Path) -> None:
    entry, folder = weight_set(files=(WeightFile(path="model.bin"),)), tmp_path / "weights"
    (folder / "toy").mkdir(parents=True)
    (folder / "toy" / "model.bin").write_bytes(CONTENT)
    assert [state.state for state in verify(folder, (entry,))] == ["unpinned"]
    (path,) = fetch(entry, folder=folder, mirror=str(mirror))
    assert [state.state for state in verify(folder, (entry,))] == ["ok"]
    path.write_bytes(CONTENT + b"!")
    assert [state.state for state in verify(folder, (entry,))] == ["differs"]
    with pytest.raises(WeightsError, match="who changed it"):
        fetch(entry, folder=folder, mirror=str(mirror))
    path.unlink()
    (mirror / "toy" / "model.bin").write_bytes(b"another")
    with pytest.raises(WeightsError, match="thrown away"):
        fetch(entry, folder=folder, mirror=str(mirror))


def test_non_commercial_weights_need_a_yes(tmp_path: Path, mirror: Path) -> None:
    entry = weight_set(non_commercial=True)
    with pytest.raises(WeightsError, match="forbids commercial use"):
        fetch(entry, folder=tmp_path / "weights", mirror=str(mirror))
    assert fetch(entry, folder=tmp_path / "weights", mirror=str(mirror), accept_non_commercial=True)


def test_file_without_address_says_where_a_person_gets_it(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"by hand from https://example\.org"):
        fetch(weight_set(), folder=tmp_path / "weights")


@pytest.mark.parametrize("place", ["/nowhere/at/all", "ftp://example.org/x", "file:///etc"])
def test_mirror_that_is_none_is_named(tmp_path: Path, place: str) -> None:
    with pytest.raises(WeightsError, match="mirror"):
        fetch(weight_set(), folder=tmp_path / "weights", mirror=place)


def test_member_of_a_zip_is_unpacked(tmp_path: Path) -> None:
    archive = tmp_path / "model.zip"
    with zipfile.ZipFile(archive, "w") as out:
        out.writestr("2023/end2end.onnx", CONTENT)
        out.writestr("2023/readme.txt", "no")
    entry = weight_set(files=(WeightFile(path="pose.onnx", url=str(archive), member="end2end.onnx"),))
    (path,) = fetch(entry, folder=tmp_path / "weights")
    assert path.read_bytes() == CONTENT
    assert [p.name for p in path.parent.iterdir()] == ["pose.onnx"]
    absent = weight_set(files=(WeightFile(path="pose.onnx", url=str(archive), member="other.onnx"),))
    with pytest.raises(WeightsError, match="holds 0 members"):
        fetch(absent, folder=tmp_path / "elsewhere")


def test_folder_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIKUDANCE_WEIGHTS", str(tmp_path))
    assert default_folder() == tmp_path
    monkeypatch.delenv("MIKUDANCE_WEIGHTS")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert default_folder() == tmp_path / "cache" / "mikudance" / "weights"


def test_missing_weights_names_the_command(tmp_path: Path) -> None:
    there = tmp_path / "a"
    there.touch()
    assert missing_weights((there,), "toy") is None
    problem = missing_weights((there, tmp_path / "b"), "toy")
    assert problem is not None
    assert str(tmp_path / "b") in problem.cause
    assert "mikudance weights fetch toy" in problem.remedy
