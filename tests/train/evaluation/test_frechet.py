import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from train.evaluation.bootstrap import frechet_interval, mean_interval
from train.evaluation.frechet import frechet_distance


def with_moments(mean: np.ndarray, covariance: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """Samples whose sample mean and unbiased covariance are exactly these."""
    draw = np.random.default_rng(seed).normal(size=(count, len(mean)))
    draw -= draw.mean(0)
    white = draw @ np.linalg.inv(np.linalg.cholesky(np.cov(draw, rowvar=False)).T)
    return white @ scipy.linalg.sqrtm(covariance).real + mean


def test_closed_form_of_independent_features() -> None:
    """For diagonal covariances the distance is |Δμ|² + Σ (σ₁ − σ₂)²."""
    a = with_moments(np.zeros(3), np.diag([1.0, 4.0, 9.0]), 50)
    b = with_moments(np.array([1.0, 0.0, 2.0]), np.diag([4.0, 4.0, 1.0]), 70, seed=1)
    assert frechet_distance(a, b) == pytest.approx(5 + 1 + 0 + 4)


def test_a_shift_and_a_scale() -> None:
    a = np.random.default_rng(2).normal(size=(40, 6))
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(a, a + 3) == pytest.approx(6 * 9)
    centred = a - a.mean(0)
    assert frechet_distance(centred, 3 * centred) == pytest.approx(4 * np.trace(np.cov(a, rowvar=False)))


@settings(max_examples=15)
@given(st.integers(0, 1000), st.integers(8, 40), st.integers(8, 40), st.integers(1, 6))
def test_against_the_matrix_square_root(seed: int, n: int, m: int, width: int) -> None:
    """The formula as it is printed, by scipy's square root of Σ₁Σ₂."""
    generator = np.random.default_rng(seed)
    a = generator.normal(size=(n, width)) @ generator.normal(size=(width, width))
    b = generator.normal(1, 2, size=(m, width))
    first, second = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (a, b))
    root = scipy.linalg.sqrtm(first @ second)
    printed = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(first + second - 2 * root.real)
    assert frechet_distance(a, b) == pytest.approx(printed, rel=1e-6, abs=1e-6)


def test_fewer_samples_than_features() -> None:
    """The root of the samples against the root of the whole covariance: zero columns change no distance."""
    a, b = (np.random.default_rng(seed).normal(size=(n, 30)) for seed, n in ((0, 7), (1, 9)))
    values = []
    for x, y in ((a, b), (b, a)):
        first, second = (np.cov(v, rowvar=False) for v in (x, y))
        half = scipy.linalg.sqrtm(first + 1e-12 * np.eye(30)).real
        inner = scipy.linalg.eigvalsh(half @ second @ half)
        cross = np.sqrt(np.maximum(inner, 0)).sum()
        mean = ((x.mean(0) - y.mean(0)) ** 2).sum()
        values.append((frechet_distance(x, y), mean + np.trace(first) + np.trace(second) - 2 * cross))
    for ours, wanted in values:
        assert ours == pytest.approx(wanted, rel=1e-4)


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match="features must be"):
        frechet_distance(np.zeros((4, 2)), np.zeros((4, 3)))
    with pytest.raises(ValueError, match="two samples a side"):
        frechet_distance(np.zeros((1, 2)), np.zeros((4, 2)))


def test_the_interval_of_a_mean_covers_as_often_as_it_says() -> None:
    """Means of 30 normal draws, 200 times: 95 % intervals hold the true mean about 95 % of the time."""
    generator = np.random.default_rng(0)
    hits = 0
    for number in range(200):
        low, high = mean_interval(
            generator.normal(5, 2, 30), np.ones(30), resamples=300, confidence=0.95, seed=number
        ) or (0.0, 0.0)
        hits += low <= 5 <= high
    assert 0.89 <= hits / 200 <= 0.98


def test_weights_are_those_of_the_mean() -> None:
    values, weights = np.array([0.0, 10.0]), np.array([1.0, 1e9])
    _, high = mean_interval(values, weights, resamples=200, confidence=0.5, seed=0) or (0, 0)
    assert high == pytest.approx(10, abs=1e-6)
    assert mean_interval(values[:1], weights[:1], resamples=9, confidence=0.9, seed=0) is None
    assert mean_interval(values, weights, resamples=0, confidence=0.9, seed=0) is None


def test_the_interval_of_a_distance_holds_the_estimate_and_narrows() -> None:
    generator = np.random.default_rng(1)

    def videos(count: int, shift: float) -> list[np.ndarray]:
        return [generator.normal(shift, 1, (12, 3)) + generator.normal(0, 0.5, 3) for _ in range(count)]

    widths = []
    for count in (5, 80):
        real, made = videos(count, 0), videos(count, 2)
        low, high = frechet_interval(real, made, resamples=60, confidence=0.95, seed=0) or (0, 0)
        assert low < frechet_distance(np.concatenate(real), np.concatenate(made)) < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2
