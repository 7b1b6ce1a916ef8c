"""One optimiser step in this process: what it refuses, what it sums, against plain torch."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.train.ranks import tiny_train
from tests.train.tiny import random_batch
from train.config import ParallelConfig
from train.distributed import Ranks, process_group
from train.loop import open_networks
from train.model.conditions import ConditionEncoder
from train.networks import open_encoders, open_model
from train.optim import OptimizerConfig, ShardedAdamW, WeightAverage
from train.step import LossFunction, NonFiniteLossError, TrainStep


@pytest.fixture(scope="module")
def ranks() -> Iterator[Ranks]:
    with process_group(ParallelConfig(device="cpu")) as started:
        yield started


def build(ranks: Ranks, tmp_path: Path, *settings: str) -> tuple[TrainStep, torch.nn.Module]:
    config = tiny_train(tmp_path, tmp_path, *settings)
    model, encoders = open_networks(config, ranks)
    conditioner = ConditionEncoder(encoders=encoders, model=config.model, encoding=config.encoding, stage=1)
    losses = LossFunction(config=config, model=model, conditioner=conditioner)
    optimizer = ShardedAdamW(parameters=dict(model.named_parameters()), config=config.optimizer, steps=config.steps)
    step = TrainStep(config=config, model=model, losses=losses, optimizer=optimizer, average=None, ranks=ranks)
    return step, model


def test_three_steps_against_plain_torch(ranks: Ranks, tmp_path: Path) -> None:
    """The same network without FSDP, torch's own AdamW and clipping, the whole batch at once."""
    settings = ("optimizer.clip=0.5", "optimizer.warmup_steps=2")
    step, _ = build(ranks, tmp_path, *settings)
    config = tiny_train(tmp_path, tmp_path, *settings)
    model, encoders = open_model(config)[0], open_encoders(config)[0]
    conditioner = ConditionEncoder(encoders=encoders, model=config.model, encoding=config.encoding, stage=1)
    losses = LossFunction(config=config, model=model, conditioner=conditioner)
    parameters = [p for p in model.parameters() if p.requires_grad]
    adam = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=1e-2)
    for number in range(1, 4):
        indices = [4 * number + k for k in range(4)]
        result = step([random_batch(indices[:2]), random_batch(indices[2:])], step=number, stop=False)
        adam.param_groups[0]["lr"] = 1e-3 * min(1, number / 2)
        adam.zero_grad()
        loss = losses(random_batch(indices)).mean()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters, 0.5)
        adam.step()
        assert result.loss == pytest.approx(loss.item(), rel=1e-5)
        assert result.gradient_norm == pytest.approx(norm.item(), rel=1e-4)


def test_a_loss_that_is_not_finite_names_its_samples_and_changes_nothing(ranks: Ranks, tmp_path: Path) -> None:
    step, model = build(ranks, tmp_path)
    with torch.no_grad():
        model.denoiser.conv_out.bias.fill_(float("nan"))
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    with pytest.raises(NonFiniteLossError, match=r"loss of step 1 .* samples: sample7, sample9\."):
        step([random_batch([7]), random_batch([9])], step=1, stop=False)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter.detach().nan_to_num(), before[name].nan_to_num()), name


def test_a_gradient_that_is_not_finite_is_refused(ranks: Ranks, tmp_path: Path) -> None:
    """A last layer 1e17 times too large: the loss fits into float32, the norm of the gradients does not."""
    step, model = build(ranks, tmp_path)
    with torch.no_grad():
        model.denoiser.conv_out.weight.mul_(1e17)
    with pytest.raises(NonFiniteLossError, match=r"gradient of step 5"):
        step([random_batch([1])], step=5, stop=False)


def test_average_of_the_weights_in_closed_form() -> None:
    weight = torch.nn.Parameter(torch.tensor([0.0]))
    average = WeightAverage(parameters={"w": weight}, decay=0.9)
    for _ in range(10):
        with torch.no_grad():
            weight.fill_(1.0)
        average.update()
    assert average.averages["w"].item() == pytest.approx(1 - 0.9**10)
    average.swap()
    assert weight.item() == pytest.approx(1 - 0.9**10)
    average.swap()
    assert weight.item() == 1.0


def test_learning_rate_rises_and_stays() -> None:
    config = OptimizerConfig(lr=1e-4, warmup_steps=4)
    assert [config.rate(step, steps=100) for step in (1, 2, 4, 100)] == pytest.approx([2.5e-5, 5e-5, 1e-4, 1e-4])


def test_learning_rate_falls_along_half_a_cosine() -> None:
    """As torch's cosine annealing over the last 80 of 100 steps; before them it stays."""
    config = OptimizerConfig(lr=1e-4, warmup_steps=2, decay_share=0.8)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=1e-4)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=80)
    wanted = []
    for _ in range(80):
        wanted.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        cosine.step()
    rates = [config.rate(step, steps=100) for step in range(1, 101)]
    assert rates[1:20] == pytest.approx([1e-4] * 19)
    assert rates[20:] == pytest.approx(wanted, rel=1e-5)
    assert 0 < rates[-1] < 1e-7
    assert OptimizerConfig(lr=1e-4, warmup_steps=10, decay_share=1).rate(5, steps=10) < 0.5e-4  # both at once
