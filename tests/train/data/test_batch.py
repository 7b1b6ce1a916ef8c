"""Batches in a row as one."""

import pytest
import torch

from train.data.batch import join
from train.data.config import ReaderConfig


@pytest.fixture(scope="module")
def batches(dataset):
    reader = ReaderConfig(stage=2, frames=4, size=(64, 64)).build(root=str(dataset), global_batch=2)
    return [reader.at([index]) for index in range(3)]


def test_joined_rows_are_those_of_the_parts(batches):
    joined = join([join(batches[:2]), batches[2]])
    assert len(joined) == 3
    assert joined.sample_ids == tuple(batch.sample_ids[0] for batch in batches)
    for name, value in joined.tensors().items():
        for row, batch in enumerate(batches):
            assert torch.equal(value[row], batch.tensors()[name][0]), name


def test_one_batch_is_not_copied_and_none_is_an_error(batches):
    assert join(batches[:1]) is batches[0]
    with pytest.raises(ValueError, match="empty list"):
        join([])
