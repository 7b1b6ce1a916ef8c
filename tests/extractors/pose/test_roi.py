"""Regions carry points and pictures to and fro: round trips, known turns, and pixels where points say they are."""

from math import pi

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from extractors.pose.roi import Roi, from_alignment, from_box

ROIS = st.builds(Roi, x=st.floats(-200, 900), y=st.floats(-200, 900), side=st.floats(5, 2000), angle=st.floats(-pi, pi))
POINTS = st.lists(st.tuples(st.floats(-500, 1500), st.floats(-500, 1500)), min_size=1, max_size=8).map(np.array)


@given(ROIS, POINTS)
def test_points_come_back(roi, points):
    np.testing.assert_allclose(roi.to_frame(roi.to_inside(points)), points, atol=1e-6)


@given(ROIS)
def test_corners_are_half_a_diagonal_from_the_centre(roi):
    corners = roi.to_frame(np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]]))
    np.testing.assert_allclose(np.linalg.norm(corners - [roi.x, roi.y], axis=1), roi.side / 2**0.5, rtol=1e-6)


def test_alignment_turns_the_edge_point_to_the_target():
    for edge in np.array([[100.0, 20], [180, 100], [100, 180], [20, 100], [150, 50]]):
        roi = from_alignment(np.array([100.0, 100]), edge, pi / 2, 1.0)
        inside = roi.to_inside(edge)
        np.testing.assert_allclose(inside, [0.5, 0.0], atol=1e-9)  # straight above the centre, on the region's border


def test_box_region_holds_all_points_and_lies_along_them():
    points = np.array([[10.0, 10], [110, 110], [60, 80]])
    roi = from_box(points, points[0], points[1], 0.0, 1.0)
    inside = roi.to_inside(points)
    assert roi.side == pytest.approx(2**0.5 * 100)
    assert inside.min() > -1e-9
    assert inside.max() < 1 + 1e-9
    assert inside[0, 1] == pytest.approx(inside[1, 1])


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("roi", [Roi(150, 120, 100, 0.0), Roi(160, 110, 90, 0.7), Roi(150, 120, 230, -0.4)])
def test_a_spot_in_the_frame_is_found_at_its_place_in_the_crop(roi, mirrored):
    image = np.zeros((240, 300, 3), np.uint8)
    spot = np.array([158, 113])
    yy, xx = np.mgrid[:240, :300]
    image[...] = (255 * np.exp(-((xx - spot[0]) ** 2 + (yy - spot[1]) ** 2) / 32))[..., None]
    size = 96
    crop = roi.crop(image, size, mirrored=mirrored)[..., 0].astype(float)
    rows, columns = np.mgrid[:size, :size]
    found = np.array([(crop * columns).sum(), (crop * rows).sum()]) / crop.sum()
    expected = roi.to_inside(spot.astype(float)) * size - 0.5
    if mirrored:
        expected[0] = size - 1 - expected[0]
    np.testing.assert_allclose(found, expected, atol=0.25)


def test_a_pasted_map_lies_where_its_region_does():
    roi = Roi(200, 100, 80, 0.3)
    area = roi.paste(np.ones((64, 64), np.float32), (128, 64), (400, 200))
    assert area.shape == (64, 128)
    assert area.sum() * (400 / 128) * (200 / 64) == pytest.approx(80 * 80, rel=0.05)
    rows, columns = np.mgrid[:64, :128]
    middle = np.array([(area * columns).sum(), (area * rows).sum()]) / area.sum()
    np.testing.assert_allclose((middle + 0.5) * (400 / 128) - 0.5, [200, 100], atol=1.0)


def test_outside_the_frame_the_edge_goes_on_or_it_is_black():
    image = np.full((50, 50, 3), 200, np.uint8)
    roi = Roi(0, 25, 40)
    assert roi.crop(image, 20).min() == 200
    assert roi.crop(image, 20, padded=True)[:, 0].max() == 0
