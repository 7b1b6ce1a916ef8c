"""Depth alignment: known fits are found again, bad cases are flagged."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extractors.geometry.alignment import AlignmentConfig, DepthAlignment, align_depth, align_references, sample_map
from extractors.geometry.cameras import cell_centres
from tests.paths import test_data

CONFIG = AlignmentConfig()


def align(network, points, *, kind="relative", path=2.0, median=0.5, config=CONFIG):
    return align_depth(network, points, kind=kind, path=path, median=median, config=config, seed=7)


@settings(max_examples=40)
@given(st.integers(0, 2**31), st.floats(1e-3, 100), st.floats(-0.5, 2), st.sampled_from([0.0, 0.2, 0.4]))
def test_an_affine_fit_is_found_through_outliers(seed, scale, shift, outliers):
    rng = np.random.default_rng(seed)
    network = rng.uniform(1, 3, 200)
    points = scale * (network + shift)
    wrong = rng.permutation(200) < 200 * outliers  # exactly: drawn one by one they can be half, where no median helps
    points[wrong] = rng.uniform(0, 10 * scale, wrong.sum())
    fit = align(network, points)
    assert fit.status == "fitted"
    assert fit.reliable
    assert fit.scale == pytest.approx(scale, rel=1e-6)
    assert fit.shift == pytest.approx(scale * shift, rel=1e-6, abs=1e-6 * scale)
    assert fit.residual < 1e-6
    assert fit.inliers > 0.999 - wrong.mean()


@settings(max_examples=20)
@given(st.integers(0, 2**31), st.floats(1e-3, 1e3))
def test_the_fit_follows_the_camera_unit(seed, unit):
    rng = np.random.default_rng(seed)
    network = rng.uniform(0, 1, 100)
    points = np.abs(0.3 * network + 0.05 + rng.normal(size=100) * 0.01) + 1e-3
    one, other = align(network, points), align(network, points / unit)
    assert other.scale == pytest.approx(one.scale / unit, rel=1e-6)
    assert other.residual == pytest.approx(one.residual, rel=1e-6)


@given(st.floats(-10, 10), st.floats(-10, 10), st.lists(st.floats(-100, 100), min_size=1, max_size=20))
def test_aligned_depth_is_never_negative(scale, shift, values):
    aligned = DepthAlignment(scale, shift, "fitted").apply(np.array(values))
    assert (aligned >= 0).all()
    assert aligned.dtype == np.float32


def test_noise_on_both_sides_of_the_points_gives_the_residual():
    rng = np.random.default_rng(0)
    network = rng.uniform(0.5, 1, 2000)
    points = 0.2 * network * (1 + 0.03 * rng.normal(size=2000))
    fit = align(network, points)
    assert fit.residual == pytest.approx(0.6745 * 0.03, rel=0.1)  # the median of |N(0, 0.03)|
    assert fit.inliers > 0.97


def test_degenerate_cases_are_flagged():
    rng = np.random.default_rng(1)
    network = rng.uniform(0.2, 1, 100)
    few = align(network[:5], 0.3 * network[:5])
    assert (few.status, few.reliable) == ("scale_only", False)
    assert few.scale == pytest.approx(0.3)
    flat = align(np.full(100, 0.5) + 1e-4 * network, np.full(100, 0.1))
    assert flat.status == "scale_only"
    assert flat.apply(np.array([0.5]))[0] == pytest.approx(0.1, rel=1e-3)
    against = align(network, 1.5 - network)
    assert (against.status, against.reliable, against.scale) == ("plane", False, 0.0)
    assert against.shift == pytest.approx(np.median(1.5 - network))
    nothing = align(np.zeros(0), np.zeros(0), path=2.0, median=0.5)
    assert (nothing.status, nothing.reliable) == ("guessed", False)
    assert 1 / nothing.apply(np.array([0.5]))[0] == pytest.approx(CONFIG.guess_distance * 2.0)
    black = align(np.zeros(100), rng.uniform(0.1, 0.2, 100))
    assert (black.status, black.scale) == ("plane", 0.0)


def test_points_that_say_nothing_are_left_out():
    network = np.linspace(0.1, 1, 60)
    points = 0.5 * network + 0.1
    points[::6] = [np.nan, np.inf, -1, 0, np.nan, -5, np.nan, 0, 0, np.nan]
    fit = align(network, points)
    assert fit.points == 50
    assert (fit.scale, fit.shift) == (pytest.approx(0.5), pytest.approx(0.1))


def test_metric_depth_needs_a_scale_alone():
    network = np.linspace(0.1, 1, 60)
    fit = align(network, 0.08 * network, kind="metric")
    assert (fit.status, fit.shift) == ("fitted", 0.0)
    assert fit.scale == pytest.approx(0.08)
    assert align(network[:3], network[:3], kind="metric").status == "scale_only"


def test_each_reference_has_its_own_fit_where_it_has_the_points():
    network = [np.linspace(0.1, 1, 60), np.linspace(0.2, 2, 60), np.linspace(0.3, 0.9, 5)]
    points = [0.5 * network[0] + 0.1, 0.1 * network[1] + 0.2, 0.5 * network[2] + 0.1]
    settings = {"path": 2.0, "median": 0.5, "config": CONFIG, "seed": 7}
    first, second, third = align_references(network, points, kind="relative", **settings)
    assert (first.scale, first.shift) == (pytest.approx(0.5), pytest.approx(0.1))
    assert (second.scale, second.shift) == (pytest.approx(0.1), pytest.approx(0.2))
    assert third.points == 125  # five are too few: the fit over all
    metric = align_references(network, [0.08 * n for n in network], kind="metric", **settings)
    assert [m.scale for m in metric] == pytest.approx([0.08] * 3)
    nothing = align_references([np.zeros(0)] * 2, [np.zeros(0)] * 2, kind="relative", **settings)
    assert [n.status for n in nothing] == ["guessed"] * 2


@pytest.mark.parametrize(("grid", "size"), [((48, 32), (96, 64)), ((40, 60), (80, 120)), ((96, 64), (96, 64))])
def test_maps_are_sampled_at_their_cells_centres(grid, size):
    values = np.random.default_rng(2).uniform(size=(grid[1], grid[0])).astype(np.float32)
    centres = cell_centres(grid, size).reshape(-1, 2)
    np.testing.assert_allclose(sample_map(values, centres, size), values.ravel(), atol=1e-6)
    ramp = cell_centres(grid, size)[..., 0].astype(np.float32)
    inside = np.random.default_rng(3).uniform(10, 30, (5000, 2))
    np.testing.assert_allclose(sample_map(ramp, inside, size), inside[:, 0], atol=0.05)  # remap has 1/32 of a cell


@pytest.mark.parametrize("count", [0, 1, 1025, 40_000])
def test_any_number_of_points_is_sampled(count):
    assert sample_map(np.ones((4, 4), np.float32), np.ones((count, 2)), (32, 32)).tolist() == [1.0] * count


def test_true_mmd_depth_is_recovered_from_a_distorted_map():
    """A map that is wrong in scale and shift, points with 2 % noise and a fifth of them wrong: within 1 % of truth."""
    inverse = np.load(test_data("mmd_shots/truck_character.npz"))["inverse_depth_96_bg"][0].astype(np.float64)
    rng = np.random.default_rng(4)
    xy = rng.uniform(0, 767, (400, 2))
    points = sample_map(inverse.astype(np.float32), xy, (768, 768)).astype(np.float64)
    seen = points > 0
    xy, points = xy[seen], points[seen] * (1 + 0.02 * rng.normal(size=seen.sum()))
    wrong = rng.uniform(size=len(points)) < 0.2
    points[wrong] = rng.uniform(0.001, 0.2, wrong.sum())
    distorted = (inverse * 700 + 3).astype(np.float32)
    fit = align(sample_map(distorted, xy, (768, 768)), points)
    known = inverse > 0
    error = np.abs(fit.apply(distorted) - inverse)[known] / inverse[known]
    print(f"median error {np.median(error):.4f}, residual {fit.residual:.4f}, inliers {fit.inliers:.2f}")
    assert fit.status == "fitted"
    assert np.median(error) < 0.01
