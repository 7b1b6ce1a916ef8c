"""Keypoint pictures, against frames of the published demo videos with the joints read off by eye."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.drawing import main as bench_main
from bench.drawing import moving_person
from extractors.geometry.drawing import (
    BODY_LINKS,
    BODY_WIDTH,
    FACE_DOTS,
    FACE_LINKS,
    HAND_DOTS,
    HAND_LINKS,
    DrawingConfig,
    draw_pose,
)
from tests.paths import test_data

NONE = {k: np.zeros((0, k, 3), np.float32) for k in (17, 68, 21)}

# Frame 40 of the demo videos, 1080².
BODY = [
    *((570, 441), (611, 414), (530, 402), (631, 440), (479, 414), (650, 585), (421, 576), (874, 688), (312, 777)),
    *((724, 844), (359, 548), (644, 943), (485, 949), (642, 1081), (465, 1083), (637, 1083), (447, 1083)),
]
HANDS = [
    [
        *((707, 842), (686, 832), (669, 830), (656, 835), (646, 832), (675, 851), (663, 852), (655, 854), (645, 860)),
        *((683, 869), (677, 875), (673, 883), (669, 890), (692, 885), (688, 894), (688, 902), (686, 911)),
        *((707, 893), (709, 901), (709, 907), (708, 912)),
    ],
    [
        *((365, 525), (388, 516), (394, 502), (398, 496), (403, 488), (374, 496), (377, 482), (379, 469), (382, 463)),
        *((367, 492), (368, 485), (368, 475), (371, 463), (360, 491), (360, 480), (362, 472), (365, 461)),
        *((352, 492), (351, 479), (351, 473), (354, 462)),
    ],
]
FACE_ZOOMED = [  # in a cut from (470, 360), six times enlarged
    *((100, 196), (95, 312), (107, 419), (131, 521), (174, 619), (240, 697), (322, 768), (413, 834), (509, 870)),
    *((604, 869), (684, 833), (776, 781), (850, 714), (911, 631), (967, 546), (1008, 467), (1044, 372)),
    *((203, 120), (283, 84), (377, 76), (467, 90), (534, 125), (762, 167), (828, 156), (901, 161), (970, 191)),
    *((1019, 250), (637, 289), (634, 352), (623, 427), (611, 497), (514, 525), (557, 547), (589, 558), (620, 558)),
    *((661, 550), (268, 244), (336, 211), (420, 225), (473, 306), (396, 313), (319, 297), (754, 342), (817, 298)),
    *((893, 305), (937, 366), (874, 388), (810, 376), (434, 634), (499, 613), (565, 605), (590, 615), (615, 620)),
    *((650, 635), (672, 677), (637, 697), (600, 712), (565, 716), (521, 711), (480, 680), (463, 642), (535, 655)),
    *((580, 645), (610, 650), (645, 665), (600, 675), (560, 665), (535, 660)),
]
FACE = np.array([470, 360]) + np.array(FACE_ZOOMED) / 6


def points(*instances):
    xy = np.array(instances, np.float32)
    return np.concatenate([xy, np.ones((*xy.shape[:2], 1), np.float32)], -1)


def published(name, frame=40):
    video = cv2.VideoCapture(str(test_data(f"published/demo_poses/{name}-demo1.mp4")))
    for _ in range(frame + 1):
        good, picture = video.read()
        assert good
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def overlap(a, b):
    return (a & b).sum() / (a | b).sum()


def near(picture, colour, tolerance=90):
    return np.abs(picture.astype(int) - colour).max(-1) < tolerance


def test_the_body_is_the_published_one():
    ours = draw_pose(points(BODY), NONE[68], NONE[21], (1080, 1080))[0]
    theirs = published("pose")
    drawn = overlap(ours.max(-1) > 100, theirs.max(-1) > 100)
    areas = [(p.max(-1) > 100).sum() for p in (ours, theirs)]
    print(f"body: overlap {drawn:.3f}, area {areas[0] / areas[1]:.3f} of the published")
    assert drawn > 0.85
    assert areas[0] == pytest.approx(areas[1], rel=0.08)  # the line width
    for colour in {link[2] for link in BODY_LINKS}:
        assert overlap(near(ours, colour), near(theirs, colour)) > 0.75, colour
    both = (ours.max(-1) > 200) & (theirs.max(-1) > 200)
    assert np.median(np.abs(ours.astype(int) - theirs)[both].max(-1)) < 15  # the colours, after video compression


@pytest.mark.parametrize(
    ("name", "place", "face", "hand", "dots"),
    [("face", 1, points(FACE), NONE[21], FACE_DOTS), ("hand", 2, NONE[68], points(*HANDS), HAND_DOTS)],
)
def test_face_and_hands_are_the_published_ones(name, place, face, hand, dots):
    ours = draw_pose(NONE[17], face, hand, (1080, 1080))[place]
    theirs = published(name)
    areas = [(p.max(-1) > 128).sum() for p in (ours, theirs)]
    drawn = overlap(ours.max(-1) > 128, theirs.max(-1) > 128)
    print(f"{name}: overlap {drawn:.3f}, area {areas[0] / areas[1]:.3f} of the published")
    assert drawn > 0.6  # lines of three pixels, joints known to a pixel
    assert areas[0] == pytest.approx(areas[1], rel=0.2)
    for colour in set(dots) - {(255, 255, 255)}:
        for half in (slice(0, 620), slice(620, 1080)):  # the two hands lie one above the other
            found = [np.argwhere(near(p[half], colour, 100)) for p in (ours, theirs)]
            if len(found[1]) or len(found[0]):
                assert np.linalg.norm(found[0].mean(0) - found[1].mean(0)) < 3, colour


def test_the_published_reference_skeleton_has_our_colours():
    """In the other published picture, 1344²: the same seven colours, and a figure drawn at its joints covers it."""
    path = test_data("published/skel-img-kamisatoayakagenshinimpact.jpg")
    theirs = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    joints = 2 * np.array(
        [
            *((377, 170), (413, 161), (351, 144), (429, 161), (326, 153), (445, 255), (309, 255), (573, 255)),
            *((224, 349), (514, 154), (121, 444), (411, 469), (326, 469), (436, 657), (317, 657)),
            *((9999, 9999), (9999, 9999)),
        ]
    )
    body = points(joints)
    body[0, 15:] = [np.nan, np.nan, 0]  # the ankles are outside of the picture
    ours = draw_pose(body, NONE[68], NONE[21], (1344, 1344))[0]
    assert overlap(ours.max(-1) > 100, theirs.max(-1) > 100) > 0.75
    for colour in {link[2] for link in BODY_LINKS}:
        assert overlap(near(ours, colour), near(theirs, colour)) > 0.7, colour


def test_links_and_dots_fit_their_point_sets():
    assert len(FACE_DOTS) == 68
    assert len(HAND_DOTS) == 21
    assert len(HAND_LINKS) == 20
    assert len(BODY_LINKS) == 19
    assert {p for link in BODY_LINKS for p in link[:2]} == set(range(17))
    assert {p for link in HAND_LINKS for p in link} == set(range(21))
    assert {p for link in FACE_LINKS for p in link} == set(range(68)) - {32, 33, 34}  # below the nose: dots alone


@pytest.mark.parametrize("side", [384, 576, 768, 1080])
@pytest.mark.parametrize("angle", [0.0, 0.4, 0.8])
def test_a_body_link_has_its_width(side, angle):
    """Area of one link over its length, from the coverage that anti-aliasing leaves."""
    body = np.full((1, 17, 3), np.nan, np.float32)
    body[:, :, 2] = 0
    middle, half = side / 2 + 0.3, 0.3 * side
    turn = half * np.array([np.cos(angle), np.sin(angle)])
    body[0, 5], body[0, 7] = [*(middle - turn), 1], [*(middle + turn), 1]
    picture = draw_pose(body, NONE[68], NONE[21], (side, side))[0]
    assert picture[..., 1:].max() == 0  # the left arm is red
    width = BODY_WIDTH * side
    area = picture[..., 0].sum() / 255 - np.pi * width**2 / 4
    assert area / (2 * half) == pytest.approx(width, rel=0.05)
    assert ((picture[..., 0] > 0) & (picture[..., 0] < 255)).any()  # anti-aliased


def test_the_shorter_side_decides_the_width():
    wide = draw_pose(points(np.array(BODY) / 2), NONE[68], NONE[21], (900, 540))[0]
    square = draw_pose(points(np.array(BODY) / 2), NONE[68], NONE[21], (540, 540))[0]
    assert wide.shape == (540, 900, 3)
    np.testing.assert_array_equal(wide[:, :520], square[:, :520])


def test_missing_points_take_their_links_with_them():
    body = points(BODY)
    whole = draw_pose(body, NONE[68], NONE[21], (1080, 1080))[0]
    body[0, 7] = [np.nan, np.nan, 0]
    without = draw_pose(body, NONE[68], NONE[21], (1080, 1080))[0]
    assert near(whole, (255, 0, 0), 9).sum() > 1000
    assert near(without, (255, 0, 0), 9).sum() == 0
    body[0, [5, 6], 2] = 0  # score 0, though the place is given: the torso keeps the line between the hips
    torso = near(draw_pose(body, NONE[68], NONE[21], (1080, 1080))[0], (255, 128, 0), 9)
    assert torso[930:970].any()
    assert not torso[:900].any()
    nothing = draw_pose(np.full((2, 17, 3), np.nan), np.full((1, 68, 3), np.nan), NONE[21], (64, 64))
    assert all((p == 0).all() and p.dtype == np.uint8 for p in nothing)


def test_points_below_the_score_are_not_drawn():
    body = points(BODY)
    body[0, :, 2] = 0.3
    assert draw_pose(body, NONE[68], NONE[21], (256, 256), DrawingConfig(min_score=0.3))[0].max() == 0


def test_two_faces_leave_the_face_picture_black_unless_told():
    faces = points(FACE, FACE + 100)
    assert draw_pose(NONE[17], faces, NONE[21], (1080, 1080))[1].max() == 0
    both = draw_pose(NONE[17], faces, NONE[21], (1080, 1080), DrawingConfig(single_face=False))[1]
    faces[1] = [np.nan, np.nan, 0]  # the second instance is a place without a face
    one = draw_pose(NONE[17], faces, NONE[21], (1080, 1080))[1]
    assert (both > 0).sum() > 1.8 * (one > 0).sum() > 0


@settings(max_examples=30)
@given(st.lists(st.tuples(*[st.floats(-1e9, 1e9)] * 2), min_size=17, max_size=17))
def test_any_coordinates_draw(coordinates):
    assert draw_pose(points(coordinates), NONE[68], NONE[21], (64, 48))[0].shape == (48, 64, 3)


def test_what_the_given_memory_held_is_not_seen():
    person = points([(20 + 3 * k, 30 + k) for k in range(17)])
    used = np.full((3, 48, 64, 3), 77, np.uint8)
    for new, old in zip(
        draw_pose(person, NONE[68], NONE[21], (64, 48)),
        draw_pose(person, NONE[68], NONE[21], (64, 48), out=used),
        strict=True,
    ):
        np.testing.assert_array_equal(new, old)
    assert used.any()


def test_the_bench_prints_its_figure(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["drawing", "--frames", "20"])
    bench_main()
    assert float(capsys.readouterr().out.split()[1]) > 0
    body, face, hand = moving_person(2, (768, 768))
    assert (body.shape, face.shape, hand.shape) == ((2, 1, 17, 3), (2, 1, 68, 3), (2, 2, 21, 3))
    assert all(p.any() for p in draw_pose(body[0], face[0], hand[0], (768, 768)))
