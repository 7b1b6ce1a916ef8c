from itertools import pairwise

import pytest
import torch
from diffusers import DDIMScheduler
from hypothesis import given
from hypothesis import strategies as st

from tests.train.tiny import tiny_model
from train.model.bank import ReferenceBank
from train.model.conditions import Conditions
from train.model.mikudance import MikuDance
from train.noise import NoiseConfig
from train.sampling.config import SamplingConfig
from train.sampling.features import FeatureCache
from train.sampling.sampler import GivenConditions, sample_latents
from train.sampling.windows import window_starts


@given(st.integers(1, 400), st.integers(1, 32), st.data())
def test_windows_cover_everything_and_overlap(length: int, window: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, window - 1))
    starts = window_starts(length, window, overlap)
    covered = [0] * length
    for start in starts:
        assert start >= 0
        for frame in range(start, min(start + window, length)):
            covered[frame] += 1
        assert length <= window or start + window <= length
    assert min(covered) >= 1
    assert starts[0] == 0
    for first, second in pairwise(starts):
        assert 0 < second - first <= window - overlap


def test_windows_of_the_published_size() -> None:
    assert window_starts(70, 24, 8) == (0, 16, 32, 46)
    assert window_starts(24, 24, 8) == (0,)
    with pytest.raises(ValueError, match="no frames"):
        window_starts(0, 24, 8)
    with pytest.raises(ValueError, match="overlap 8 must be smaller"):
        SamplingConfig(window=8, overlap=8)


def conditions(frames: int, motion: bool = False) -> Conditions:
    torch.manual_seed(2)
    return Conditions(
        pictures=torch.randn(1, frames, 20, 16, 16),
        tokens=torch.randn(1, 5, 16),
        keep=torch.ones(1),
        motion=torch.randn(1, frames, 2, 16, 16) if motion else None,
        pose_images=None,
    )


def start_noise(frames: int) -> torch.Tensor:
    return torch.randn(frames, 4, 16, 16, generator=torch.Generator().manual_seed(3))


def sample(model: MikuDance, frames: int, **settings: float) -> torch.Tensor:
    return sample_latents(
        model,
        guidance=GivenConditions(conditions(frames, motion=model.stage == 2)),
        noise=start_noise(frames),
        scheduler=NoiseConfig().ddim_scheduler(),
        config=SamplingConfig(**({"steps": 3, "guidance": 1.0} | settings)),
    )


@pytest.fixture(scope="module")
def stage1() -> MikuDance:
    return tiny_model(1).eval()


@pytest.fixture(scope="module")
def stage2() -> MikuDance:
    model = tiny_model(2).eval()
    for name, parameter in model.denoiser.named_parameters():
        if "motion_modules" in name and "proj_out" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    return model


def test_ddim_written_out(stage1: MikuDance) -> None:
    """x ← √ᾱ'·x₀ + √(1 − ᾱ')·ε with x₀ = (x − √(1 − ᾱ)·ε) / √ᾱ (arXiv 2010.02502, η = 0), through `forward`."""
    made = sample(stage1, 2, guidance=2.0)
    x, given_ = start_noise(2), conditions(2)
    beta = torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    alpha_bar = (1 - beta).cumprod(0)
    steps = [999, 666, 332]
    scheduler: DDIMScheduler = NoiseConfig().ddim_scheduler()
    scheduler.set_timesteps(3)
    assert scheduler.timesteps.tolist() == steps
    for place, t in enumerate(steps):

        def predict(keep: float, x: torch.Tensor = x, t: int = t) -> torch.Tensor:
            with torch.no_grad():
                return stage1(
                    x[None], torch.tensor([t]), given_.pictures, given_.tokens, torch.tensor([keep]), None, None
                )[0]

        noise = predict(0) + 2.0 * (predict(1) - predict(0))
        alpha = alpha_bar[t]
        last = alpha_bar[t - 1000 // 3] if place < 2 else torch.tensor(1.0)
        x0 = (x - (1 - alpha).sqrt() * noise) / alpha.sqrt()
        x = last.sqrt() * x0 + (1 - last).sqrt() * noise
    torch.testing.assert_close(made, x, rtol=2e-3, atol=2e-3)


def test_frames_that_do_not_see_each_other_do_not_depend_on_windows(stage1: MikuDance) -> None:
    whole = sample(stage1, 7, window=24)
    torch.testing.assert_close(sample(stage1, 7, window=3, overlap=2), whole, rtol=1e-3, atol=1e-4)


def test_overlaps_are_averaged(stage2: MikuDance) -> None:
    """One step of two windows against the mean of both windows' own predictions."""
    length, window, overlap = 5, 4, 3
    config = {"steps": 1, "window": window, "overlap": overlap}
    made = sample(stage2, length, **config)
    noise, given_ = start_noise(length), conditions(length, motion=True)
    total, count = torch.zeros_like(noise), torch.zeros(length, 1, 1, 1)
    for start in (0, 1):
        part = slice(start, start + window)
        with torch.no_grad():
            prediction = stage2(
                noise[None, part],
                torch.tensor([999]),
                given_.pictures[:, part],
                given_.tokens,
                torch.ones(1),
                given_.motion[:, part],
            )[0]
        total[part] += prediction
        count[part] += 1
    scheduler = NoiseConfig().ddim_scheduler()
    scheduler.set_timesteps(1)
    wanted = scheduler.step(total / count, scheduler.timesteps[0], noise).prev_sample
    torch.testing.assert_close(made, wanted, rtol=1e-3, atol=1e-3)
    assert count.flatten().tolist() == [1, 2, 2, 2, 1]


def test_cached_features_give_the_same_frames(stage2: MikuDance) -> None:
    settings = {"window": 4, "overlap": 2, "guidance": 2.0}
    cached = sample(stage2, 8, **settings)
    for room in (0, 300_000):
        torch.testing.assert_close(sample(stage2, 8, cache_bytes=room, **settings), cached, rtol=1e-3, atol=1e-4)


def test_each_frame_is_computed_once_within_the_budget() -> None:
    asked: list[list[int]] = []

    def compute(numbers: list[int]) -> ReferenceBank:
        asked.append(numbers)
        bank = ReferenceBank()
        bank.write("a", torch.tensor(numbers, dtype=torch.float32)[:, None, None].expand(-1, 2, 2).contiguous())
        bank.seal()
        return bank

    cache = FeatureCache(compute=compute, max_bytes=10_000)
    for _ in range(3):
        assert cache.get([0, 1, 2]).read("a")[:, 0, 0].tolist() == [0, 1, 2]
        assert cache.get([2, 3]).read("a")[:, 0, 0].tolist() == [2, 3]
    assert asked == [[0, 1, 2], [3]]
    small = FeatureCache(compute=compute, max_bytes=2 * 16)
    for _ in range(3):
        assert small.get([0, 1, 2, 3]).read("a")[:, 1, 1].tolist() == [0, 1, 2, 3]
    assert small.computed == 4 + 2 + 2
    assert small.bytes == 2 * 16


def test_progress_counts_to_its_end(stage1: MikuDance) -> None:
    seen: list[tuple[int, int]] = []
    sample_latents(
        stage1,
        guidance=GivenConditions(conditions(5)),
        noise=torch.randn(5, 4, 16, 16),
        scheduler=NoiseConfig().ddim_scheduler(),
        config=SamplingConfig(steps=2, guidance=1, window=3, overlap=1),
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
