"""The shard contract: a right sample passes, every single fault is named."""

from typing import Any

import numpy as np
import pytest

from schemas.sample import SampleError, check_sample, frame_member, style_members

LENGTH, WIDTH, HEIGHT = 3, 32, 24


def good() -> dict[str, Any]:
    h, w = HEIGHT // 8, WIDTH // 8
    members: dict[str, Any] = {
        "json": {
            "schema_version": 1, "clip_id": "c", "source_id": "s", "kind": "character", "split": "train", "fps": 30.0,
            "size": (WIDTH, HEIGHT), "timestamps": [0.0, 0.1, 0.2], "references": [0, 2], "frame_step": 1,
            "status": {}, "quality": {}, "artifacts": {},
            "styles": [{"reference_index": 0, "target_index": 1, "style": "x", "seed": 1}],
        },
        "keypoints_body.npy": np.full((LENGTH, 1, 17, 3), np.nan, np.float32),
        "keypoints_face.npy": np.zeros((LENGTH, 0, 68, 3), np.float32),
        "keypoints_hand.npy": np.zeros((LENGTH, 2, 21, 3), np.float32),
        "cam_to_world.npy": np.tile(np.eye(4), (LENGTH, 1, 1)),
        "intrinsics.npy": np.ones((LENGTH, 4)),
        "inverse_depth.npy": np.ones((2, h, w), np.float16),
        "scene_motion.npy": np.zeros((2, LENGTH, 2, h, w), np.float16),
        "scene_motion_valid.npy": np.ones((2, LENGTH, h, w), np.uint8),
    }  # fmt: skip
    return members | dict.fromkeys([*map(frame_member, range(LENGTH)), *style_members(0)], b"")


def test_a_right_sample_passes() -> None:
    assert check_sample(good()).references == [0, 2]


@pytest.mark.parametrize("name", sorted(set(good()) - {"json"}))
def test_a_missing_member_is_named(name: str) -> None:
    members = good()
    del members[name]
    with pytest.raises(SampleError, match=name.replace(".", r"\.")):
        check_sample(members)


@pytest.mark.parametrize("name", [name for name in good() if name.endswith(".npy")])
def test_a_wrong_type_or_shape_is_named(name: str) -> None:
    for broken in (np.zeros(good()[name].shape, np.int64), good()[name][:1], good()[name][..., None]):
        with pytest.raises(SampleError, match=name.replace(".", r"\.")):
            check_sample(good() | {name: broken})


def test_values_that_are_not_finite_are_named() -> None:
    motion = good()["scene_motion.npy"]
    motion[0, 1, 0, 0, 0] = np.inf
    with pytest.raises(SampleError, match="not finite"):
        check_sample(good() | {"scene_motion.npy": motion})
