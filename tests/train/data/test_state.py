import pytest

from train.data.errors import StateError
from train.data.state import ReaderState

STATE = ReaderState(release=3, digest="a" * 64, order="b" * 64, seed=7, global_batch=16, epoch_size=100)


def test_counts_global_samples():
    later = STATE.advanced(13)
    assert (later.consumed, later.step, later.epoch) == (208, 13, 2)
    assert STATE.consumed == 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"digest": "c" * 64}, "release 3 is no longer the one"),
        ({"digest": "c" * 64, "release": 2}, "release was 2 and is now 3: set `reader.release` to 2"),
        ({"order": "c" * 64}, "decides the order"),
        ({"seed": 8}, "seed was 8 and is now 7"),
        ({"global_batch": 8}, "global batch was 8 and is now 16"),
        ({"consumed": 17}, "not whole steps"),
    ],
)
def test_mismatch_is_refused_with_the_reason(change, reason):
    STATE.advanced(3).check(STATE)
    with pytest.raises(StateError, match=reason):
        STATE.model_copy(update=change).check(STATE)
