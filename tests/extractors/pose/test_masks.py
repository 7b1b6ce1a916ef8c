"""The mask: capsules around a skeleton, colour cuts that find what looks alike, and refusals where a cut leaks."""

import numpy as np
import pytest

from extractors.pose.cut import carry_on, cut_out
from extractors.pose.masks import MaskPlan, character_mask, grow, skeleton_area, trunk_length
from extractors.pose.readings import Reading

RNG = np.random.default_rng(5)
BODY = np.full((17, 3), 0.9)
BODY[:, :2] = [
    *((100, 40), (104, 36), (96, 36), (108, 40), (92, 40), (120, 70), (80, 70), (130, 100), (70, 100)),
    *((134, 128), (66, 128), (112, 130), (88, 130), (112, 170), (88, 170), (112, 210), (88, 210)),
]


def test_capsules_hold_the_limbs_and_leave_the_rest():
    area = skeleton_area(BODY, 0.3, (200, 240), (200, 240))
    for x, y in ((100, 100), (112, 150), (88, 200), (125, 85), (100, 40)):
        assert area[y, x]
    assert not area[:15].any()
    assert not area[:, :45].any()
    assert 0.05 < area.mean() < 0.25


def test_area_scales_with_the_grid():
    full = skeleton_area(BODY, 0.3, (200, 240), (200, 240)).mean()
    assert skeleton_area(BODY, 0.3, (100, 120), (200, 240)).mean() == pytest.approx(full, rel=0.12)


def test_unsure_joints_give_no_area():
    unsure = BODY.copy()
    unsure[:, 2] = 0.1
    assert not skeleton_area(unsure, 0.3, (200, 240), (200, 240)).any()


def test_trunk_length():
    known = np.ones(17, bool)
    assert trunk_length(BODY[:, :2], known) == pytest.approx(60)
    known[11] = False
    assert trunk_length(BODY[:, :2], known) == pytest.approx(80)
    known[5] = False
    assert trunk_length(BODY[:, :2], known) is None


def test_growth_is_a_disc():
    mask = np.zeros((21, 21), bool)
    mask[10, 10] = True
    grown = grow(mask, 3)
    assert grown[10, 7]
    assert not grown[7, 7]
    assert grow(mask, 0).sum() == 1


def scene(shift=0):
    """A green figure with long hair beside its body, on a striped red and blue ground; uint8 [96, 96, 3] and truth."""
    picture = np.zeros((96, 96, 3), np.uint8)
    picture[:, ::2] = (170, 60, 50)
    picture[:, 1::2] = (60, 60, 170)
    figure = np.zeros((96, 96), bool)
    figure[20:80, 40 + shift : 56 + shift] = True  # body
    figure[20:76, 30 + shift : 40 + shift] = True  # hair
    picture[figure] = (40, 170, 90)
    return np.clip(picture + RNG.normal(0, 6, picture.shape), 0, 255).astype(np.uint8), figure


def test_a_cut_finds_what_looks_like_the_body():
    picture, figure = scene()
    body = np.zeros((96, 96), bool)
    body[20:80, 41:55] = True
    found, colours = cut_out(picture, body, body)
    assert colours is not None
    assert (found & figure).sum() / (found | figure).sum() > 0.95


def test_a_cut_that_leaks_is_not_taken():
    picture = np.full((96, 96, 3), 120, np.uint8) + RNG.integers(0, 8, (96, 96, 3), dtype=np.uint8)
    body = np.zeros((96, 96), bool)
    body[30:60, 44:52] = True
    found, _ = cut_out(picture, body, body)
    assert found.sum() <= 2.5 * body.sum()


def test_a_figure_is_carried_into_the_next_frame_by_its_colours():
    picture, figure = scene()
    _, colours = cut_out(picture, figure, figure)
    following, moved = scene(shift=3)
    found = carry_on(following, figure, colours)
    assert (found & moved).sum() / (found | moved).sum() > 0.95
    empty = following.copy()
    empty[...] = picture[:, :1]
    assert carry_on(empty, figure, colours) is None


def test_the_mask_reaches_frames_without_readings_and_marks_them():
    pictures, truths = zip(*(scene(shift) for shift in (0, 1, 2)), strict=True)
    probability = np.zeros((96, 96), np.uint8)
    probability[20:80, 41:55] = 250
    reading = Reading(np.zeros((33, 2)), np.ones(33), np.ones(33, bool), 0.9, 1.0, probability)
    body = np.full((3, 17, 3), np.nan)
    body[..., 2] = 0
    plan = MaskPlan(threshold=0.4, joint_score=0.3, margin=0, carry=True)
    mask, carried = character_mask(np.stack(pictures), [[reading], [reading], []], body, plan)
    np.testing.assert_array_equal(carried, [False, False, True])
    assert all((m & t).sum() / (m | t).sum() > 0.85 for m, t in zip(mask, truths, strict=True))
    mask, carried = character_mask(
        np.stack(pictures),
        [[reading], [reading], []],
        body,
        MaskPlan(threshold=0.4, joint_score=0.3, margin=0, carry=False),
    )
    assert not carried.any()
    assert (mask[2] & truths[2]).sum() < 0.9 * truths[2].sum()
