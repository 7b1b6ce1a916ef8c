import pytest
import torch

from train.config import load_config
from train.estimate import _kept_bytes, estimate

CLIP = 303_179_776 + 1024 * 768
"""Vision tower of ViT-L/14 and its projection."""


def test_the_papers_stage_2_counts() -> None:
    """Parameters against the published counts; the bank against 52 MB a frame in half precision at 768²."""
    result = estimate(load_config("stage2.yaml"), ranks=16)
    assert result.parameters == {
        "reference_unet": 859_567_044,
        "man": 8_126_848,
        "denoising_unet": 1_312_730_244,
        "vae": 83_653_863,
        "image_encoder": CLIP,
    }
    assert result.trained == 453_209_280 + 8_126_848
    assert result.optimizer == 12 * result.trained // 16
    assert result.activations > 24 * 52e6
    assert "trained" in str(result)


def test_memory_of_stage_1_by_hand() -> None:
    """From the published counts: two UNets, the Reference UNet's first convolution wider by 16 channels, and its
    2,454,404 unreachable parameters that do not train; encoders in half precision.
    """
    unet, wider = 859_520_964, 320 * 16 * 9
    trained = 2 * unet + wider - 2_454_404
    settings = ["micro_batch=1", "reader.size=[256, 256]"]
    plain = estimate(load_config("stage1.yaml", [*settings, "global_batch=8"]), ranks=8)
    assert plain.trained == trained
    assert plain.weights == 4 * (2 * unet + wider) // 8 + 2 * (83_653_863 + CLIP)
    assert (plain.optimizer, plain.average, plain.accumulated) == (12 * trained // 8, 0, 0)
    more = estimate(load_config("stage1.yaml", [*settings, "global_batch=16", "optimizer.ema_decay=0.999"]), ranks=8)
    assert (more.average, more.accumulated) == (4 * trained // 8, 4 * trained)
    assert more.memory - plain.memory == more.average + more.accumulated
    alone = estimate(load_config("stage1.yaml", [*settings, "global_batch=2"]), ranks=1)
    assert alone.accumulated == 0  # one rank adds into the gradients that the optimiser reads
    assert alone.gathered == 2 * trained  # in half precision; it has all weights itself
    assert plain.gathered > 2 * unet  # the Reference UNet, from all ranks


def test_one_rank_on_a_cpu_against_a_process_that_was_measured() -> None:
    """`python -m bench.true_size --stage 2` with these settings: 17.6 GiB, of which Python's packages are 0.5."""
    settings = ["reader.size=[256, 256]", "reader.frames=2", "micro_batch=1", "global_batch=1"]
    result = estimate(load_config("stage2.yaml", [*settings, "parallel.precision=float32"]), ranks=1)
    assert result.gathered == 0
    assert result.memory / 2**30 == pytest.approx(17.6 - 0.5, abs=0.3)


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
