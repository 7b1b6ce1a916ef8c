"""Draws are a function of (seed, global index, purpose)."""

import numpy as np
import torch

from train.data.rng import integers, normal, numpy_generator, torch_generator, uniform


def test_a_sample_draws_the_same_in_any_batch():
    together = torch.arange(8)
    whole = normal(3, together, "noise", (2, 5))
    parts = torch.cat([normal(3, part, "noise", (2, 5)) for part in together.split([1, 3, 4])])
    assert torch.equal(whole, parts)
    shuffled = torch.randperm(8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(normal(3, shuffled, "noise", (2, 5)), whole[shuffled])
    assert torch.equal(uniform(3, shuffled, "drop"), uniform(3, together, "drop")[shuffled])
    assert torch.equal(integers(3, shuffled, "t", 1000), integers(3, together, "t", 1000)[shuffled])


def test_seeds_samples_and_purposes_are_independent():
    draws = [
        numpy_generator(seed, index, purpose).random(4).tolist()
        for seed in (0, 1)
        for index in (0, 1, 10**12)
        for purpose in ("crop", "window")
    ]
    draws += [torch.rand(4, generator=torch_generator(0, index, "crop")).tolist() for index in (0, 1)]
    assert len({tuple(draw) for draw in draws}) == len(draws)


def test_distributions():
    indices = torch.arange(4000)
    values = uniform(0, indices, "drop")
    assert values.shape == (4000,)
    np.testing.assert_allclose([values.mean(), values.var()], [1 / 2, 1 / 12], atol=0.02)
    noise = normal(0, indices, "noise", (3,))
    np.testing.assert_allclose([noise.mean(), noise.var()], [0, 1], atol=0.05)
    steps = integers(0, indices, "t", 10)
    assert torch.bincount(steps, minlength=10).min() > 300
    assert abs(float(torch.corrcoef(torch.stack([values, uniform(0, indices, "other")]))[0, 1])) < 0.06
