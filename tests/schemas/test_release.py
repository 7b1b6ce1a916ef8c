"""Which release is the newest, found by asking for numbers."""

from hypothesis import given
from hypothesis import strategies as st

from schemas.release import LOST, newest_number

GAPS = st.lists(st.integers(1, 40).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, LOST))), max_size=6)


@given(rows=GAPS)
def test_lost_files_hide_no_later_release(rows: list[tuple[int, int]]) -> None:
    """Rows of releases, each after some that were lost."""
    there: set[int] = set()
    for count, lost in rows:
        first = max(there, default=0) + lost + 1
        there |= set(range(first, first + count))
    assert newest_number(there.__contains__) == max(there, default=0)


@given(count=st.integers(0, 100_000))
def test_few_questions_are_asked(count: int) -> None:
    asked: list[int] = []

    def exists(number: int) -> bool:
        asked.append(number)
        return 1 <= number <= count

    assert newest_number(exists) == count
    assert len(asked) <= 2 * count.bit_length() + LOST + 2
