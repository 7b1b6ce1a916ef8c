"""Rules on recorded figures: what they leave out, what they only name."""

import pytest
from pydantic import ValidationError

from pipeline.config import Gate, GatesConfig
from pipeline.pack.gates import refusals, warnings


def test_a_rule_leaves_out_and_a_warning_does_not() -> None:
    rule = Gate(stage="pose", figure="blur", maximum=0.5)
    for kind in ("character", "camera"):
        figures = {"pose": {"blur": 0.6}}
        assert refusals(kind, {}, figures, GatesConfig(rules=(rule,))) == ["pose.blur = 0.6 is above 0.5"]
        assert warnings(kind, figures, GatesConfig(rules=(rule,), warnings=())) == []
        assert warnings(kind, figures, GatesConfig(warnings=(rule,))) == ["pose.blur = 0.6 is above 0.5"]
        assert refusals(kind, {}, figures, GatesConfig(warnings=(rule,))) == []


def test_limits_are_allowed_themselves_and_figures_may_be_absent() -> None:
    rule = Gate(stage="pose", figure="joints", minimum=0.2, maximum=0.8, kinds=("character",))
    gates = GatesConfig(warnings=(rule,))
    for value, words in ((0.1, "below 0.2"), (0.2, None), (0.8, None), (0.9, "above 0.8")):
        found = warnings("character", {"pose": {"joints": value}}, gates)
        assert found == ([] if words is None else [f"pose.joints = {value} is {words}"])
    assert warnings("camera", {"pose": {"joints": 0.9}}, gates) == []
    assert warnings("character", {"pose": {"other": 0.9}, "camera": {"joints": 0.9}}, gates) == []


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"rules": [{"stage": "camrea", "figure": "zoom", "maximum": 2}]}, "camrea|'camera'"),
        ({"rules": [{"stage": "camera", "figure": "zoom"}]}, "camera.zoom has no limit"),
        ({"refuse_status": {"scene_motoin": ["unaligned"]}}, "scene_motion"),
        ({"refuse_status": {"scene_motion": ["unalinged"]}}, "never ends as 'unalinged', but as .*unaligned"),
    ],
)
def test_a_gate_that_could_never_judge_anything_is_refused(settings: dict, complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        GatesConfig.model_validate(settings)


def test_a_character_that_cannot_be_read_is_kept_and_a_clip_without_one_is_not() -> None:
    for kind, status, reasons in (
        ("character", "no_keypoints", []),
        ("character", "no_person", ["pose is 'no_person'"]),
        ("camera", "no_person", []),
    ):
        assert refusals(kind, {"pose": status}, {}, GatesConfig()) == reasons


def test_a_guessed_scale_is_left_out_by_default() -> None:
    assert refusals("camera", {"camera": "moving", "scene_motion": "unaligned"}, {}, GatesConfig()) == [
        "scene_motion is 'unaligned'"
    ]
    assert refusals("camera", {"camera": "moving", "scene_motion": "ok"}, {}, GatesConfig()) == []


@pytest.mark.parametrize(("value", "warned"), [(0.1, False), (0.9, True)])
def test_a_contradicted_camera_track_is_named_by_default_with_what_to_do(value: float, warned: bool) -> None:
    found = warnings("character", {"camera": {"track_contradiction": value}}, GatesConfig())
    assert [("track_contradiction = 0.9" in text, "camera_track_offset_s" in text) for text in found] == [
        (True, True)
    ] * warned
