"""The networks come out of a wheel checked, or not at all; every failure names cause and remedy."""

import hashlib
import zipfile

import pytest

from extractors.pose import mediapipe_files
from extractors.pose.mediapipe_files import FILES, WHEEL_VARIABLE, ensure_files, extract_files
from extractors.protocols import ExtractionError
from schemas.cache import CACHE_VARIABLE


@pytest.fixture
def small_files(monkeypatch, tmp_path):
    """Pins two made-up networks instead of the real ones; returns their bytes by name."""
    contents = {"a/first.tflite": b"one", "b/second.tflite": b"two"}
    monkeypatch.setattr(
        mediapipe_files, "FILES", {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    )
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return contents


def write_wheel(path, contents):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in contents.items():
            archive.writestr(f"mediapipe/modules/{name}", data)
    return path


def test_files_come_from_a_local_wheel_once(small_files, tmp_path, monkeypatch):
    wheel = write_wheel(tmp_path / "m.whl", {**small_files, "../../evil": b"x"})
    monkeypatch.setenv(WHEEL_VARIABLE, str(wheel))
    paths = ensure_files()
    assert {name: path.read_bytes() for name, path in paths.items()} == {"first": b"one", "second": b"two"}
    assert not (tmp_path / "evil").exists()
    wheel.unlink()
    assert ensure_files() == paths  # the cache serves alone


def test_a_damaged_cache_is_mended(small_files, tmp_path, monkeypatch):
    monkeypatch.setenv(WHEEL_VARIABLE, str(write_wheel(tmp_path / "m.whl", small_files)))
    path = ensure_files()["first"]
    path.write_bytes(b"rotten")
    assert ensure_files()["first"].read_bytes() == b"one"


def test_another_content_is_refused(small_files, tmp_path, monkeypatch):
    monkeypatch.setenv(WHEEL_VARIABLE, str(write_wheel(tmp_path / "m.whl", {**small_files, "a/first.tflite": b"!"})))
    with pytest.raises(ExtractionError, match=r"a/first.tflite has sha256 .* instead of"):
        ensure_files()
    assert not (tmp_path / "cache" / "mediapipe-0.10.21" / "first.tflite").exists()


@pytest.mark.parametrize("data", [b"", b"no archive"])
def test_what_is_no_wheel_is_refused(small_files, tmp_path, data):
    (tmp_path / "m.whl").write_bytes(data)
    with pytest.raises(ExtractionError, match=r"is no wheel of mediapipe==0\.10\.21"):
        extract_files(tmp_path / "m.whl", tmp_path)


def test_a_wheel_without_networks_is_refused(small_files, tmp_path):
    with pytest.raises(ExtractionError, match=r"second.tflite"):
        extract_files(write_wheel(tmp_path / "m.whl", {"a/first.tflite": b"one"}), tmp_path)


def test_a_wrong_setting_is_named(small_files, monkeypatch):
    monkeypatch.setenv(WHEEL_VARIABLE, "/nowhere/m.whl")
    with pytest.raises(ExtractionError, match=WHEEL_VARIABLE):
        ensure_files()


def test_without_an_index_the_remedy_is_named(small_files, monkeypatch):
    monkeypatch.delenv(WHEEL_VARIABLE, raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(ExtractionError, match=f"cannot be downloaded.*set {WHEEL_VARIABLE}"):
        ensure_files()


def test_pins_are_whole_digests_of_files_with_different_names():
    assert all(len(digest) == 64 and int(digest, 16) for digest in FILES.values())
    assert len({name.rsplit("/")[-1] for name in FILES}) == len(FILES)
