"""The stand-in for the compiled op against the definition, sample by sample."""

import numpy as np
import pytest
import torch

from extractors.pose.xpose_attention import ms_deform_attn_forward


def bilinear(level: np.ndarray, x: float, y: float) -> np.ndarray:
    """A map [H, W, D] at pixel coordinates (0 is the centre of the first), zero outside."""
    height, width, _ = level.shape
    left, top = int(np.floor(x)), int(np.floor(y))
    total = np.zeros(level.shape[2])
    for row, column in ((top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)):
        if 0 <= row < height and 0 <= column < width:
            total += (1 - abs(x - column)) * (1 - abs(y - row)) * level[row, column]
    return total


def brute_force(value, shapes, locations, weights):  # type: ignore[no-untyped-def]
    batch, _, heads, channels = value.shape
    queries, points = locations.shape[1], locations.shape[4]
    out = np.zeros((batch, queries, heads, channels))
    for n in range(batch):
        for m in range(heads):
            start = 0
            for level, (height, width) in enumerate(shapes):
                plane = value[n, start : start + height * width, m].reshape(height, width, channels)
                start += height * width
                for q in range(queries):
                    for p in range(points):
                        x, y = locations[n, q, m, level, p]
                        sample = bilinear(plane, x * width - 0.5, y * height - 0.5)
                        out[n, q, m] += weights[n, q, m, level, p] * sample
    return out.reshape(batch, queries, heads * channels)


@pytest.mark.parametrize("shapes", [[(6, 4)], [(5, 7), (3, 4), (1, 2)], [(1, 1), (8, 3)]])
def test_equals_the_definition(shapes: list[tuple[int, int]]) -> None:
    rng = np.random.default_rng(len(shapes))
    batch, heads, channels, queries, points = 2, 3, 4, 5, 2
    total = sum(h * w for h, w in shapes)
    value = rng.normal(size=(batch, total, heads, channels))
    locations = rng.uniform(-0.4, 1.4, (batch, queries, heads, len(shapes), points, 2))
    weights = rng.random((batch, queries, heads, len(shapes), points))
    starts = np.cumsum([0, *(h * w for h, w in shapes[:-1])])
    ours = ms_deform_attn_forward(
        *(torch.from_numpy(np.asarray(v)) for v in (value, shapes, starts, locations, weights)), 64
    )
    np.testing.assert_allclose(ours.numpy(), brute_force(value, shapes, locations, weights), atol=1e-9)
