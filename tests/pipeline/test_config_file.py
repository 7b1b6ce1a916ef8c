"""Configuration files: unknown keys are errors with a suggestion, wherever they stand."""

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field

from pipeline.config import DatasetConfig
from pipeline.config_file import ConfigError, dump, load, override, parse_yaml, validate
from pipeline.dataset import Dataset
from schemas.config import BackendConfig, FrozenConfig


class Fast(BackendConfig):
    backend: Literal["fast"] = "fast"
    threshold: float = Field(0.5, description="Least score.")

    def build(self) -> None: ...


class Good(BackendConfig):
    backend: Literal["good"] = "good"
    layers: int = 3

    def build(self) -> None: ...


class Section(FrozenConfig):
    backend: Annotated[Fast | Good, Field(discriminator="backend")] = Fast()
    references: int = Field(2, ge=1, description="Pictures.")


class Whole(FrozenConfig):
    depth: Section = Section()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dept: {}", ["dept: unknown key", "did you mean 'depth'?"]),
        ("depth: {refrences: 3}", ["depth.refrences", "did you mean 'references'?"]),
        ("depth: {backend: {backend: fast, treshold: 1}}", ["treshold", "did you mean 'threshold'?"]),
        ("depth: {backend: {backend: good, xyz: 1}}", ["xyz", "known here", "layers"]),
        ("depth: {references: 0}", ["depth.references", "greater than or equal to 1", "found 0"]),
        ("depth: {backend: {backend: best}}", ["depth.backend", "best", "'fast', 'good'"]),
    ],
)
def test_wrong_keys_are_named_with_the_nearest_right_one(text: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        validate(Whole, parse_yaml(text, "my.yaml"), "my.yaml")
    for word in ["my.yaml", *words]:
        assert word in str(caught.value)


def test_a_file_of_another_version_says_what_to_do() -> None:
    """Renamed: the key that is nearest. Removed: the keys that there are. A later schema: who can read it."""
    for text in ("depth: {reference: 3}", "depht: {}", "depth: {old_limit: 1}", "depth: {backend: {backend: gone}}"):
        with pytest.raises(ConfigError, match="another version wrote this: rename or remove these keys"):
            validate(Whole, parse_yaml(text, "config.yaml"), "config.yaml")
    with pytest.raises(ConfigError) as caught:
        validate(Whole, parse_yaml("depth: {references: 0}", "config.yaml"), "config.yaml")
    assert "another version" not in str(caught.value)
    with pytest.raises(ConfigError, match="schema_version: 2 is not read by this version"):
        validate(DatasetConfig, {"schema_version": 2}, "config.yaml")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"a: 1\nname: Z\xfcrich\n", "not UTF-8 text: byte 0xfc in line 2"),
        ("a: 1".encode("utf-16"), "not UTF-8 text: byte 0xff in line 1"),
        (b"\x80\x04K\x01.", "not UTF-8 text"),
    ],
)
def test_a_file_that_is_no_text(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_yaml(data, "my.yaml")
    file = tmp_path / "my.yaml"
    file.write_bytes(data)
    with pytest.raises(ConfigError, match=r"my\.yaml.*save it as UTF-8"):
        load(Whole, file)
    (tmp_path / "config.yaml").write_bytes(data)
    with pytest.raises(ConfigError, match=r"config\.yaml.*save it as UTF-8"):
        Dataset.open(str(tmp_path))


def test_a_byte_order_mark_is_no_key() -> None:
    assert parse_yaml(b"\xef\xbb\xbfdepth: {}", "my.yaml") == {"depth": {}}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: &x [1]\nb: *x", "aliases"),
        ("depth: {}\ndepth: {}", "stands twice"),
        ("- 1", "a configuration is a mapping"),
        ("a: !!python/object/apply:os.system ['echo hi']", "could not determine a constructor"),
        ("a: [" * 5000, "not valid YAML"),
        ("x" * 1_000_001, "larger than"),
    ],
)
def test_tricks_of_yaml_are_refused(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_yaml(text, "my.yaml")


def test_a_dumped_configuration_reads_back_equal() -> None:
    config = Whole(depth=Section(backend=Good(layers=7), references=4))
    for comments in (False, True):
        text = dump(config, comments=comments)
        assert validate(Whole, parse_yaml(text, "x"), "x") == config
    assert "# Pictures." in dump(config, comments=True)


def test_settings_are_laid_over() -> None:
    data = override({"depth": {"references": 2}}, ["depth.references=5", "depth.backend={backend: good, layers: 1}"])
    assert validate(Whole, data, "x") == Whole(depth=Section(backend=Good(layers=1), references=5))
    with pytest.raises(ConfigError, match=r"section\.key=value"):
        override({}, ["depth.references"])
    with pytest.raises(ConfigError, match="is not a section"):
        override({"depth": {"references": 2}}, ["depth.references.x=1"])


def test_imported_depth_in_the_cameras_unit_wants_cameras_of_the_same_program() -> None:
    depth = {"backend": {"backend": "imported", "template": "/results/{stem}"}}
    vipe = {"backend": {"backend": "imported", "format": "vipe", "template": "/results/{stem}"}}
    for camera in ({}, vipe, {**vipe, "use_camera_track": False, "backend": {**vipe["backend"], "format": "tum"}}):
        with pytest.raises(ConfigError, match="unit to relative"):
            validate(DatasetConfig, {"depth": depth, "camera": camera}, "a test")
    validate(DatasetConfig, {"depth": depth, "camera": {**vipe, "use_camera_track": False}}, "a test")
    validate(DatasetConfig, {"depth": {"backend": {**depth["backend"], "unit": "relative"}}}, "a test")
