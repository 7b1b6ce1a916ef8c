"""Keys and plans: exactly what changed, and what depends on it, is planned again."""

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pipeline.graph import CLIP_STAGES, StageSpec, clip_part
from pipeline.planner import SourceFacts, clip_keys, plan_clips
from pipeline.work import digest
from schemas.clip import Clip
from schemas.config import Resources
from schemas.ids import clip_id

INPUTS: dict[str, tuple[str, ...]] = {
    "decode": (),
    "pose": ("decode",),
    "camera": ("decode", "pose"),
    "depth": ("decode", "pose", "camera"),
    "scene_motion": ("decode", "pose", "camera", "depth"),
    "stylize": ("decode",),
}


def spec(name: str, **changes: Any) -> StageSpec:
    values: dict[str, Any] = {
        "version": 1, "inputs": INPUTS[name], "params": "{}", "backend": "b", "backend_version": 1,
        "weights_digest": "w", "resources": Resources(), "build": int,
    }  # fmt: skip
    return StageSpec(name=name, **(values | changes))


def graph(**changed: StageSpec) -> dict[str, StageSpec]:
    return {name: changed.get(name, spec(name)) for name in CLIP_STAGES}


def clip(number: int = 0, source: str = "a" * 16, **changes: Any) -> Clip:
    made = Clip(clip_id(source, number, 85), source, "character", "train", number, 85, (30, 1), 0.0, "/videos/a.mp4")
    return replace(made, **changes)


def keys(of: Clip, specs: dict[str, StageSpec], facts: SourceFacts) -> dict[str, str]:
    return clip_keys(specs, of, facts, {name: s.prefix for name, s in specs.items()})


def dependants(stage: str) -> tuple[str, ...]:
    """The stages that are computed again when `stage` changes, itself first, in graph order."""
    reached = {stage}
    for name in CLIP_STAGES:
        if reached & set(INPUTS[name]):
            reached.add(name)
    return tuple(name for name in CLIP_STAGES if name in reached)


FACTS = SourceFacts("s" * 64)


@given(
    stage=st.sampled_from(CLIP_STAGES),
    change=st.sampled_from(
        [{"version": 2}, {"params": '{"x":1}'}, {"backend": "c"}, {"backend_version": 2}, {"weights_digest": "v"}]
    ),
)
def test_a_change_renews_its_stage_and_dependants_only(stage: str, change: dict[str, Any]) -> None:
    before = keys(clip(), graph(), FACTS)
    after = keys(clip(), graph(**{stage: spec(stage, **change)}), FACTS)
    changed = tuple(name for name in CLIP_STAGES if before[name] != after[name])
    assert changed == dependants(stage)


def test_resources_and_places_enter_no_key() -> None:
    before = keys(clip(), graph(), FACTS)
    assert keys(clip(), graph(pose=spec("pose", resources=Resources(gpus=4))), FACTS) == before
    assert keys(clip(video="/moved/a.mp4", split="test"), graph(), FACTS) == before


def test_what_a_camera_is_told_enters_its_key_but_not_the_pose_key() -> None:
    before = keys(clip(), graph(), FACTS)
    for changed, facts in ((clip(focal=1.2), FACTS), (clip(), SourceFacts("s" * 64, "t" * 64))):
        after = keys(changed, graph(), facts)
        assert [n for n in CLIP_STAGES if before[n] != after[n]] == ["camera", "depth", "scene_motion"]


@given(parts=st.lists(st.text(max_size=4), max_size=4), others=st.lists(st.text(max_size=4), max_size=4))
def test_different_parts_never_share_a_digest(parts: list[str], others: list[str]) -> None:
    assert (digest(*parts) == digest(*others)) == (parts == others)


def test_done_failed_and_blocked_are_told_apart() -> None:
    clips = [clip(0), clip(85), clip(170)]
    facts = {clips[0].source_id: FACTS}
    all_keys = [keys(c, graph(), FACTS) for c in clips]
    have = set(all_keys[0].values()) | {all_keys[1]["decode"], all_keys[2]["decode"]}
    plan = plan_clips(graph(), clips, facts, have, {all_keys[1]["camera"]})
    assert plan.done == {**dict.fromkeys(CLIP_STAGES, 1), "decode": 3}
    assert plan.quarantined["camera"] == 1
    assert (plan.blocked["depth"], plan.blocked["scene_motion"], plan.blocked["stylize"]) == (1, 1, 0)
    assert plan.todo_by_stage() == {"pose": 2, "camera": 1, "depth": 1, "scene_motion": 1, "stylize": 2}
    order = [item.stage for item in plan.todo]
    assert order == sorted(order, key=CLIP_STAGES.index)


def test_a_repeated_artifact_of_an_equal_clip_is_found_under_the_same_key() -> None:
    assert clip_part("decode", clip(), "s", "") == clip_part("decode", clip(video="/elsewhere.mp4"), "s", "")
