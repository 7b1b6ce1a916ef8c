"""The clips of a dataset's split, animated for a comparison."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.animate import AnimateConfig, Animator
from pipeline.animation.dataset import animate_split, clip_inputs
from pipeline.dataset import Dataset, DatasetError
from pipeline.pack.read import read_sample
from tests.pipeline.animation.driven import SIZE
from train.evaluation.config import EvaluationConfig
from train.evaluation.evaluate import evaluate

FAST = AnimateConfig(steps=1, guidance=1.0, size=SIZE, device="cpu")


def test_a_dataset_clip_is_driven_as_its_sample_says(dataset: str) -> None:
    """At the sample's own size: the stored scene motion and frames come out."""
    opened = Dataset.open(dataset)
    release = opened.newest_release()
    assert release is not None
    entry = next(shard for shard in release.shards if shard.split == "test")
    inputs = clip_inputs(opened, entry, entry.samples[0], (96, 96), AnimateConfig())
    sample = read_sample(opened, entry, entry.samples[0])
    stored = sample["scene_motion.npy"][0].astype(np.float32)
    for number in (1, 7, 20):
        frame = inputs.frames.numbers[number]
        np.testing.assert_allclose(inputs.frames.motion(number)[0], stored[frame], rtol=2e-3, atol=2e-3)
    reference = inputs.picture.image
    assert len(list(inputs.real())) == len(inputs.frames)
    assert not any(np.array_equal(frame, reference) for frame in inputs.real())


def test_a_start_that_failed_binds_nobody(
    checkpoint: Path, dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("lost")

    config = FAST.model_copy(update={"frames": 1})
    monkeypatch.setattr(Animator, "draw", broken)
    with pytest.raises(RuntimeError, match="lost"):
        animate_split(dataset, "test", checkpoint, tmp_path, name="ours", config=config)
    monkeypatch.undo()
    other = config.model_copy(update={"seed": 3, "frames": 2})
    assert animate_split(dataset, "test", checkpoint, tmp_path, name="ours", config=other).clips == 1
    less = other.model_copy(update={"cache_bytes": 0})  # slower, with the same result
    assert animate_split(dataset, "test", checkpoint, tmp_path, name="ours", config=less).clips == 1


def test_a_split_is_animated_and_scored(checkpoint: Path, dataset: str, tmp_path: Path) -> None:
    config = FAST.model_copy(update={"frames": 4})
    made = animate_split(dataset, "test", checkpoint, tmp_path, name="ours", config=config)
    assert made.clips == 1
    assert "--method" in made.next_step
    methods = {name: tmp_path / name for name in ("ours", "repeat", "real")}
    report = evaluate(tmp_path / "real", methods, EvaluationConfig())
    scores = {method.name: method.scores["psnr"].value for method in report.methods}
    assert report.frames == 4
    assert scores["ours"] < scores["repeat"] < scores["real"] == 100
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    animate_split(dataset, "test", checkpoint, tmp_path, name="ours", config=config)
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    with pytest.raises(DatasetError, match="another network, release or setting under the name ours"):
        animate_split(dataset, "test", checkpoint, tmp_path, name="ours", config=config.model_copy(update={"seed": 5}))
    with pytest.raises(DatasetError, match=r"no clip in split 'val'; it has test \(character\), train \(character\)"):
        animate_split(dataset, "val", checkpoint, tmp_path, name="ours", config=config)
    with pytest.raises(DatasetError, match="no camera clip in split 'test'"):
        animate_split(dataset, "test", checkpoint, tmp_path, name="ours", config=config, kind="camera")
    with pytest.raises(DatasetError, match="true frames of another release, size, frame count or frame step"):
        animate_split(
            dataset, "test", checkpoint, tmp_path, name="theirs", config=config.model_copy(update={"frame_step": 2})
        )
    for name, reason in (("real", "is taken"), ("../esc", "plain folder name"), (".", "plain folder name")):
        with pytest.raises(DatasetError, match=reason):
            animate_split(dataset, "test", checkpoint, tmp_path, name=name, config=config)
    wide = config.model_copy(update={"side_by_side": True})
    with pytest.raises(DatasetError, match="cannot be compared"):
        animate_split(dataset, "test", checkpoint, tmp_path, name="wide", config=wide)
