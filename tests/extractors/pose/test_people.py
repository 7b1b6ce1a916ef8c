"""Identity through a clip, non-maximum suppression, and whose face and hands are whose."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from extractors.pose.people import MAX_GAP, Found, face_of, follow_people, hands_of, overlap, suppress


def found(x: float, y: float, w: float, h: float, score: float = 0.9, points: int = 17) -> Found:
    keypoints = np.full((points, 3), np.nan, np.float32)
    keypoints[:, 2] = score
    return Found(np.array([x, y, x + w, y + h], float), score, keypoints)


boxes = st.lists(
    st.tuples(*[st.floats(0, 50), st.floats(0, 50), st.floats(1, 30), st.floats(1, 30)]), min_size=0, max_size=12
)


@given(boxes, st.floats(0.05, 0.95), st.randoms(use_true_random=False))
def test_suppression_keeps_the_best_and_nothing_that_overlaps(rows, limit, random) -> None:  # type: ignore[no-untyped-def]
    corners = np.array([[x, y, x + w, y + h] for x, y, w, h in rows]).reshape(-1, 4)
    scores = np.array([random.random() for _ in rows])
    kept = suppress(corners, scores, limit)
    among = overlap(corners[kept], corners[kept])
    np.fill_diagonal(among, 0)
    assert (among <= limit).all()
    for i in set(range(len(rows))) - set(kept.tolist()):
        better = [k for k in kept if scores[k] >= scores[i]]
        assert (overlap(corners[[i]], corners[better]) > limit).any()


def test_overlap_by_hand() -> None:
    assert overlap(np.array([[0.0, 0, 2, 2]]), np.array([[1.0, 1, 3, 3], [5, 5, 6, 6]])).tolist() == [[1 / 7, 0]]


def test_prominent_person_keeps_identity_past_a_passer_by() -> None:
    """The dancer (tall) is second in the list of some frames, and a passer-by crosses in front with a better score."""
    frames = []
    for i in range(20):
        dancer, passer = found(100 + i, 50, 60, 200, 0.7), found(10 * i, 120, 40, 90, 0.95)
        frames.append([passer, dancer] if i % 3 else [dancer, passer])
    (main,) = follow_people(frames, 1)
    assert [frames[i][k].box[3] - frames[i][k].box[1] for i, k in enumerate(main)] == [200] * 20  # type: ignore[index]


def test_missing_frames_stay_missing_and_the_person_comes_back() -> None:
    frames: list[list[Found]] = [[found(10 + i, 10, 40, 100)] for i in range(12)]
    frames[4] = frames[5] = []
    (main,) = follow_people(frames, 1)
    assert main == [0, 0, 0, 0, None, None, *[0] * 6]


def test_after_a_long_absence_the_next_person_takes_over_without_overlap() -> None:
    gap = MAX_GAP + 5
    frames: list[list[Found]] = [
        *[[found(0, 0, 40, 100)] for _ in range(10)],
        *[[] for _ in range(gap)],
        *[[found(200, 50, 40, 100)] for _ in range(10)],
    ]
    (main,) = follow_people(frames, 1)
    assert main == [*[0] * 10, *[None] * gap, *[0] * 10]


def test_two_people_are_kept_apart() -> None:
    frames = [[found(0, 0, 50, 150), found(300, 0, 50, 120)][:: 1 if i % 2 else -1] for i in range(8)]
    first, second = follow_people(frames, 2)
    for person, height in ((first, 150), (second, 120)):
        assert {frames[i][k].box[3] for i, k in enumerate(person) if k is not None} == {height}


def test_no_one_at_all() -> None:
    assert follow_people([[], [], []], 2) == [[None] * 3, [None] * 3]


def test_face_is_the_one_nearest_to_the_nose_in_the_box() -> None:
    person = found(100, 100, 80, 200)
    person.points[0, :2] = [140, 130]
    faces = [found(130, 118, 20, 24, 0.5, 68), found(105, 200, 20, 24, 0.9, 68), found(400, 100, 20, 24, 0.99, 68)]
    assert face_of(person, faces) == 0
    person.points[0, :2] = np.nan
    assert face_of(person, faces) == 1
    assert face_of(person, faces[2:]) is None


def test_hands_go_to_their_wrists_once() -> None:
    person = found(100, 100, 80, 200)
    person.points[9, :2], person.points[10, :2] = [180, 200], [100, 200]
    near_left, near_right, stranger = (found(x, 190, 10, 10, 0.8, 21) for x in (178, 98, 600))
    for hand, x in ((near_left, 181), (near_right, 99), (stranger, 600)):
        hand.points[0, :2] = [x, 201]
    assert hands_of(person, [stranger, near_right, near_left]) == (2, 1)
    assert hands_of(person, [near_left]) == (0, None)
    assert hands_of(person, [stranger]) == (None, None)
