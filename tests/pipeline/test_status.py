"""What `status` and `plan` say of a dataset, and that looking needs no weights."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from extractors.weights.store import WeightsError
from pipeline import status as module
from pipeline.cli.main import main
from pipeline.config import DatasetConfig
from pipeline.config_file import override, validate
from pipeline.dataset import Dataset
from pipeline.graph import build_graph
from pipeline.pack.release import Selection
from pipeline.status import PackChange, pack_change, read_status
from tests.pipeline.made import Video, make, write_video

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mikudance", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        printed = capsys.readouterr()
        return int(caught.value.code or 0), printed.out, printed.err

    return run


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A dataset of three videos in two shards, one of training and one of test."""
    videos = [write_video(tmp_path / "videos", name, Video(texture=i)) for i, name in enumerate("abc")]
    make(tmp_path / "dataset", videos, splits=("train", "train", "test"))
    return tmp_path / "dataset"


def change(root: Path, *settings: str) -> PackChange | None:
    dataset = Dataset.open(str(root))
    data = override(dataset.config.model_dump(mode="json"), list(settings))
    dataset = Dataset.create_or_open(str(root), validate(DatasetConfig, data, "the test"))
    return pack_change(read_status(dataset), dataset.config.pack)


STRICT = "gates.rules=[{stage: camera, figure: reprojection_error_px, minimum: 1.0, kinds: [character]}]"


def test_plan_says_what_a_gate_takes_out_and_lets_in(root: Path, cli: Command) -> None:
    assert change(root) is None
    assert cli("plan", "-d", str(root))[1] == "nothing to run: every artifact of the present configuration exists\n"
    assert change(root, STRICT) == PackChange(number=2, entering=0, leaving=3, renewed=0, shards=0)
    out = cli("plan", "-d", str(root))[1]
    assert "would publish release 2: 0 samples enter, 3 leave, 0 are packed again, in 0 new shards\n" in out
    (packed,) = json.loads(cli("plan", "-d", str(root), "--json")[1])
    assert (packed["stage"], packed["items"], packed["leaving"]) == ("pack", 0, 3)
    make(root, [])
    assert change(root) is None
    assert change(root, "gates.rules=[]") == PackChange(number=3, entering=3, leaving=0, renewed=0, shards=2)
    make(root, [])
    assert change(root) is None


def test_neighbours_in_a_shard_count_as_packed_again(root: Path) -> None:
    dataset = Dataset.open(str(root))
    found = read_status(dataset)
    train = [sample for sample in found.selection.samples if sample.clip.split == "train"]
    fewer = tuple(sample for sample in found.selection.samples if sample is not train[0])
    without = replace(found, selection=replace(found.selection, samples=fewer))
    assert pack_change(without, dataset.config.pack) == PackChange(2, entering=0, leaving=1, renewed=1, shards=1)


def test_a_dataset_without_samples_or_release_publishes_nothing() -> None:
    empty = Selection((), {}, {}, {}, frozenset(), frozenset())
    found = module.Status(*[None] * 5, selection=empty, release=None)  # type: ignore[arg-type]
    assert pack_change(found, DatasetConfig().pack) is None


def test_status_groups_what_is_left_out_once_it_is_much(
    root: Path, cli: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(root, STRICT)
    out = cli("status", "-d", str(root))[1]
    assert out.count("is left out: camera.reprojection_error_px") == 3
    monkeypatch.setattr("pipeline.cli.status_text.NAMED", 2)
    out = cli("status", "-d", str(root))[1]
    assert "3 clips are left out: camera.reprojection_error_px" in out
    assert "3 clips are left out in all; `status --json` names each" in out
    assert len(json.loads(cli("status", "-d", str(root), "--json")[1])["left_out"]) == 3


def test_status_names_twenty_failures_and_counts_the_others(root: Path, cli: Command) -> None:
    rows = [
        {"key": f"k{i:02}", "stage": "ingest", "item_id": f"v{i:02}.mp4", "source_id": "s", "cause": "unreadable",
         "error": "v.mp4: no", "attempts": 1, "created_s": float(i)}
        for i in range(25)
    ]  # fmt: skip
    Dataset.open(str(root)).catalog.append("failures", rows)
    out = cli("status", "-d", str(root))[1]
    assert out.count("(unreadable, 1 tries)") == 20
    assert "5 more in quarantine: ingest (unreadable)" in out
    assert len(json.loads(cli("status", "-d", str(root), "--json")[1])["failures"]) == 25


def test_a_dataset_can_be_looked_at_where_its_weights_are_absent(
    root: Path, cli: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Dataset.open(str(root)).config
    before = read_status(Dataset.open(str(root)))

    def absent(self: object) -> str:
        raise FileNotFoundError(2, "No such file", "absent.onnx")

    monkeypatch.setattr(type(config.pose.backend), "weights_digest", absent)
    with pytest.raises(WeightsError):
        build_graph(config)
    found = read_status(Dataset.open(str(root)))
    assert found.absent == ("pose",)
    assert replace(found, absent=()) == before
    for command in ("status", "plan", "dag", "verify"):
        code, out, err = cli(command, "-d", str(root))
        assert code == 0, (command, err)
        assert out
        assert ("pose: its weights cannot be read here" in err) == (command in ("status", "plan"))
    other = Dataset.create_or_open(str(root.parent / "other"), config)
    with pytest.raises(WeightsError):  # nobody knows
        read_status(other)
