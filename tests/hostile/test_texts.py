"""Configurations and manifests from strangers."""

import contextlib
import os
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config_file import ConfigError, override, parse_yaml
from pipeline.ingest.sources import discover
from schemas.strict_yaml import YamlError, read_yaml
from stages.ingest import IngestConfig
from train.config import ConfigError as TrainConfigError
from train.config import load_config

BOMB = "a: &a [x, x]\n" + "".join(f"{n}: &{n} [*{p}, *{p}]\n" for p, n in zip("abcdefgh", "bcdefghi", strict=True))
TRICKS = {
    "alias bomb": BOMB,
    "python object": "stage: !!python/object/apply:os.mkdir [planted]",
    "python module": "stage: !!python/module:antigravity",
    "no such day": "stage: 2024-99-99",
    "list as key": "? [a, b]\n: 1",
    "mapping as key": "? {a: 1}\n: 1",
    "key twice": "stage: 1\nstage: 2",
    "nested": "[" * 100_000,
    "control characters": "a: \x00",
    "too large": "a: " + "x" * 1_000_001,
    "number without end": "a: " + "9" * 10_000,
}


@pytest.mark.parametrize("name", TRICKS)
def test_tricks_are_refused_by_pipeline_and_trainer(
    tmp_path: Path, outside: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(outside)
    text = TRICKS[name]
    with pytest.raises(ConfigError, match=r"my\.yaml"):
        parse_yaml(text, "my.yaml")
    path = tmp_path / "my.yaml"
    path.write_text(text)
    with pytest.raises(TrainConfigError, match=r"my\.yaml"):
        load_config(str(path))


@pytest.mark.parametrize("value", ["&a [1, *a]", "!!python/name:os.system", "2024-99-99", "[", "? [a]\n: 1"])
def test_tricks_in_single_settings(value: str) -> None:
    with pytest.raises(ConfigError, match="--set"):
        override({}, [f"depth.references={value}"])
    with pytest.raises(TrainConfigError, match=r"seed="):
        load_config("tiny.yaml", [f"seed={value}"])


def test_a_configuration_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_bytes(b"\xff\xfe\x00stage")
    with pytest.raises(TrainConfigError, match="cannot be read"):
        load_config(str(tmp_path / "my.yaml"))


@settings(max_examples=150)
@given(st.text(alphabet=st.sampled_from("ab:{}[]&*!?|>-'\"%@#,<=~0123.\n\t \x00é"), max_size=60))
def test_any_text_is_a_value_or_refused(text: str) -> None:
    with contextlib.suppress(YamlError):
        assert isinstance(read_yaml(text), dict | list | set | str | bytes | int | float | bool | date | None)


@pytest.mark.parametrize("track", ["/dev/zero", "pipe", "folder"])
def test_a_camera_track_that_never_ends_makes_a_source_with_an_error(tmp_path: Path, track: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "a.mp4").write_bytes(b"not looked into here")
    (tmp_path / "manifest.csv").write_text(f"uri,camera_track\na.mp4,{track}\n")
    (source,) = discover([str(tmp_path / "manifest.csv")], kind="character", config=IngestConfig(), known={})
    assert source.error is not None
    assert "is no plain file" in source.error
    assert track in source.error


def test_a_video_that_is_a_device_or_pipe_makes_a_source_with_an_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "manifest.csv").write_text("uri\npipe.mp4\n/dev/zero\n")
    found = discover([str(tmp_path / "manifest.csv")], kind="character", config=IngestConfig(), known={})
    assert [source.error is not None for source in found] == [True, True]
