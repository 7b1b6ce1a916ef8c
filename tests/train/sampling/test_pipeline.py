from pathlib import Path

import numpy as np
import pytest
import torch

from tests.train.tiny import save_tiny, tiny_model
from train.data.batch import unit
from train.model.saving import SavedModel, SavedModelError, save_model
from train.sampling.config import SamplingConfig
from train.sampling.pipeline import DrivingFrame, InputError, MikuDancePipeline

SIZE = 128
FAST = SamplingConfig(steps=2, guidance=2.0, window=4, overlap=2)


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("export"))


@pytest.fixture(scope="module")
def pipeline(export: Path) -> MikuDancePipeline:
    return MikuDancePipeline.from_pretrained(export)


def picture(seed: int, side: int = SIZE) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)


def frame(seed: int, moving: bool = True) -> DrivingFrame:
    motion = np.random.default_rng(seed).normal(0, 4, (2, SIZE // 8, SIZE // 8)) if moving else None
    return DrivingFrame(body=picture(3 * seed), face=picture(3 * seed + 1), hand=picture(3 * seed + 2), motion=motion)


def run(pipeline: MikuDancePipeline, frames: list[DrivingFrame], seed: int = 0, **changes: object) -> np.ndarray:
    config = FAST.model_copy(update=changes)
    generator = torch.Generator().manual_seed(seed)
    return pipeline(picture(100), picture(101), frames, config=config, generator=generator).frames


def test_frames_from_a_picture(pipeline: MikuDancePipeline) -> None:
    frames = [frame(n) for n in range(6)]
    made = run(pipeline, frames)
    assert made.shape == (6, SIZE, SIZE, 3)
    assert made.dtype == np.uint8
    assert np.array_equal(made, run(pipeline, frames))
    assert not np.array_equal(made, run(pipeline, frames, seed=1))


def test_a_bar_is_shown_unless_progress_is_told_elsewhere(
    pipeline: MikuDancePipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    frames, config, seen = [frame(n) for n in range(6)], FAST.model_copy(update={"guidance": 1.0}), []
    pipeline(picture(100), picture(101), frames, config=config, progress=lambda *counts: seen.append(counts))
    assert seen == [(n, 4) for n in (1, 2, 3, 4)]
    assert capsys.readouterr().err == ""
    pipeline(picture(100), picture(101), frames, config=config)
    assert "4/4" in capsys.readouterr().err


def test_every_guidance_counts(pipeline: MikuDancePipeline) -> None:
    frames = [frame(n) for n in range(4)]
    made = run(pipeline, frames)
    for name, value in (("body", picture(7)), ("face", picture(7)), ("hand", picture(7)), ("motion", None)):
        parts = {k: getattr(frames[1], k) for k in ("body", "face", "hand", "motion")} | {name: value}
        changed = [frames[0], DrivingFrame(**parts), *frames[2:]]
        assert not np.array_equal(made, run(pipeline, changed)), name


def test_no_motion_is_a_map_of_zeros(pipeline: MikuDancePipeline) -> None:
    still = [frame(n, moving=False) for n in range(3)]
    zeros = [
        DrivingFrame(body=f.body, face=f.face, hand=f.hand, motion=np.zeros((2, SIZE // 8, SIZE // 8))) for f in still
    ]
    assert np.array_equal(run(pipeline, still), run(pipeline, zeros))


def test_stored_guidance_is_what_training_encodes(pipeline: MikuDancePipeline, tmp_path: Path) -> None:
    """One frame through the pipeline's encoding, against the condition encoder of the training step."""
    driving, reference, pose = frame(5), picture(100), picture(101)
    stored = pipeline._encode(reference, pose, [frame(4), driving], tmp_path).frames([1])

    def tensor(image: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(image.transpose(2, 0, 1).copy())[None]

    images = [tensor(image)[:, None] for image in (driving.body, driving.face, driving.hand)]
    wanted = pipeline._conditioner.pictures(tensor(reference), tensor(pose), images)
    torch.testing.assert_close(stored.pictures, wanted, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(stored.tokens, pipeline.encoders.tokens(unit(tensor(reference))))
    assert stored.motion is not None
    torch.testing.assert_close(stored.motion[0, 0], torch.from_numpy(driving.motion).float() / 8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"driving": []}, "no driving frames"),
        ({"reference": picture(1, 132)}, "multiples of 8"),
        ({"reference": picture(1, 64)}, "128 is the least side"),
        ({"reference": picture(1).astype(np.float32)}, "uint8"),
        ({"reference_pose": picture(1, 136)}, "differ in size"),
        ({"reference": picture(1, 136), "reference_pose": picture(1, 136)}, "draw them alike"),
    ],
)
def test_wrong_input_is_refused(pipeline: MikuDancePipeline, change: dict[str, object], message: str) -> None:
    good = {"reference": picture(1), "reference_pose": picture(2), "driving": [frame(1)], "config": FAST}
    with pytest.raises(InputError, match=message):
        pipeline(**(good | change))
    with pytest.raises(InputError, match="lower window"):
        pipeline(**(good | {"config": SamplingConfig(window=40)}))
    with pytest.raises(InputError, match="2000 steps are more than the 1000 noise levels"):
        pipeline(**(good | {"config": FAST.model_copy(update={"steps": 2000})}))


def test_an_export_of_stage_1_is_refused(tmp_path: Path) -> None:
    model = tiny_model(1)
    save_model(tmp_path, saved=SavedModel(stage=1, model=model.config), model=model, encoders=None)
    with pytest.raises(SavedModelError, match="is of stage 1, stage 2 is needed"):
        MikuDancePipeline.from_pretrained(tmp_path)
