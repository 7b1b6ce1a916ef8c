from pathlib import Path

import pytest

from train.evaluation.ablation import ROWS, AblationError, check_variants
from train.evaluation.published import ABLATIONS
from train.model.config import EncodingConfig, ModelConfig
from train.model.saving import MANIFEST, SavedModel, SavedModelError
from train.noise import NoiseConfig


def variant(folder: Path, model: dict[str, object] | None = None, **settings: object) -> Path:
    """A folder with the description of a network and no weights."""
    folder.mkdir(parents=True)
    saved = SavedModel(**({"stage": 2, "model": ModelConfig(**(model or {}))} | settings))
    (folder / MANIFEST).write_text(saved.model_dump_json())
    return folder


def test_rows_are_the_papers_and_pass_with_their_settings(tmp_path: Path) -> None:
    assert set(ROWS) == set(ABLATIONS)
    check_variants({name: variant(tmp_path / str(n), ROWS[name]) for n, name in enumerate(ROWS)})


@pytest.mark.parametrize("name", ROWS)
def test_a_row_with_another_rows_setting_is_refused(tmp_path: Path, name: str) -> None:
    other = {"motion": "flow"} if name != "w/ Flow" else {"motion": "none"}
    with pytest.raises(AblationError, match="is not that row of the paper"):
        check_variants({name: variant(tmp_path / "a", other)})


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"size": (512, 512)}, "size"),
        ({"noise": NoiseConfig(timesteps=500)}, "noise.timesteps 500 and 1000"),
        ({"encoding": EncodingConfig(pose_range="unit")}, "encoding.pose_range unit and signed"),
        ({"step": 7}, "step 7 and 0"),
        ({"model": {"motion": "none", "motion_scale": 1.0}}, "model.motion_scale 1.0 and 0.125"),
    ],
)
def test_variants_that_differ_in_more_are_refused(tmp_path: Path, settings: dict[str, object], words: str) -> None:
    given = {"model": {"motion": "none"}} | settings
    pair = {"full": variant(tmp_path / "a"), "w/o SMT": variant(tmp_path / "b", **given)}
    with pytest.raises(AblationError, match="trained alike") as refused:
        check_variants(pair)
    assert words in str(refused.value)


def test_memory_settings_do_not_count_and_two_changes_are_no_row(tmp_path: Path) -> None:
    less = variant(tmp_path / "b", encoding=EncodingConfig(chunk=1, cache_bytes=9))
    check_variants({"full": variant(tmp_path / "a"), "less": less})
    with pytest.raises(AblationError, match="changes more than one setting"):
        check_variants({"mine": variant(tmp_path / "c", {"motion": "flow", "motion_injection": "concat"})})
    with pytest.raises(SavedModelError, match="does not exist"):
        check_variants({"mine": tmp_path})
