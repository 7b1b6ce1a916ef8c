"""Identifiers, references and frame steps: properties that everything else relies on."""

from hypothesis import given
from hypothesis import strategies as st

from schemas.ids import CLIP_ID, clip_id, frame_step, reference_indices, seed_from

hex_ids = st.text("0123456789abcdef", min_size=16, max_size=16)


@given(source=hex_ids, first=st.integers(0, 3_000_000), count=st.integers(1, 30_000))
def test_clip_ids_have_no_dots_and_one_form(source: str, first: int, count: int) -> None:
    name = clip_id(source, first, count)
    assert CLIP_ID.match(name)
    assert "." not in name
    assert name.split("_") == [source, f"{first:06d}", f"{count:04d}"]


@given(name=st.text(max_size=8), length=st.integers(1, 400), count=st.integers(1, 6))
def test_references_lie_in_the_first_and_last_tenth(name: str, length: int, count: int) -> None:
    found = reference_indices(name, length, count)
    assert found == reference_indices(name, length, count)
    assert len(found) == len(set(found)) == min(count, length)
    assert list(found) == sorted(found)
    assert all(0 <= i < length for i in found)
    tenth = max(1, length // 10)
    if length >= 20 and count == 2:
        assert found[0] < tenth
        assert found[1] >= length - tenth


@given(name=st.text(max_size=8), length=st.integers(1, 60), count=st.integers(1, 5), more=st.integers(0, 5))
def test_references_of_a_smaller_count_are_among_those_of_a_larger_one(
    name: str, length: int, count: int, more: int
) -> None:
    assert set(reference_indices(name, length, count)) <= set(reference_indices(name, length, count + more))


@given(length=st.integers(2, 500), wanted=st.integers(1, 10), window=st.integers(2, 40))
def test_the_frame_step_is_the_largest_that_leaves_a_frame_outside_the_window(
    length: int, wanted: int, window: int
) -> None:
    step = frame_step(length, wanted, window)
    fitting = [s for s in range(1, wanted + 1) if 1 + (window - 1) * s + 1 <= length]
    assert step == (fitting[-1] if fitting else 1)


def test_seeds_are_the_same_everywhere() -> None:
    # By sha256sum of the parts joined with 0x1f: a change would silently change every dataset's random choices.
    assert seed_from("reference", "abc", 0) == 6369647272026403104
    assert seed_from("a", "b") != seed_from("ab")
