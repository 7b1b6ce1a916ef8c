import pytest
import torch

from train.config import load_config
from train.estimate import _kept_bytes, estimate


def test_the_papers_stage_2_counts() -> None:
    """Parameters against the published counts; the bank against 52 MB a frame in half precision at 768²."""
    result = estimate(load_config("stage2.yaml"), ranks=16)
    assert result.parameters == {
        "reference_unet": 859_567_044,
        "man": 8_126_848,
        "denoising_unet": 1_312_730_244,
        "vae": 83_653_863,
    }
    assert result.trained == 453_209_280 + 8_126_848
    assert result.optimizer == 12 * result.trained // 16
    assert result.activations > 24 * 52e6
    assert "trained" in str(result)


@pytest.mark.slow
def test_checkpointing_saves_memory_and_costs_operations() -> None:
    with_it = estimate(load_config("tiny.yaml", ["parallel.checkpointing=true"]), ranks=2)
    without = estimate(load_config("tiny.yaml"), ranks=2)
    assert with_it.activations < without.activations
    assert with_it.operations > without.operations


def test_kept_bytes_of_a_known_graph() -> None:
    """exp keeps its output, a product its two factors; the weight is no activation."""
    weight = torch.ones(10, requires_grad=True)
    with _kept_bytes() as kept:
        made = weight.exp()
        (made * torch.ones(10)).sum()
    assert sum(kept.values()) == 2 * 40
