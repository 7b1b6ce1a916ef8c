import pytest
import torch

from train.loss import prediction_target, sample_losses, snr_weights
from train.noise import NoiseConfig, draw_noise, draw_timesteps

PUBLISHED = NoiseConfig(prediction="v_prediction", zero_snr=True, min_snr_gamma=5.0, offset=0.05)


def test_alpha_bar_of_stable_diffusion() -> None:
    """√β linear from √0.00085 to √0.012: ᾱ₉₉₉ = 0.0047 (SD-1.5's well-known non-zero terminal SNR)."""
    beta = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    expected = (1 - beta).cumprod(0)
    alphas = NoiseConfig().train_scheduler().alphas_cumprod
    torch.testing.assert_close(alphas.double(), expected, rtol=1e-3, atol=1e-6)
    assert alphas[-1].item() == pytest.approx(0.0047, abs=1e-4)


def test_zero_snr_ends_in_pure_noise() -> None:
    scheduler = PUBLISHED.train_scheduler()
    assert scheduler.alphas_cumprod[-1].item() == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match="v_prediction"):
        NoiseConfig(zero_snr=True).train_scheduler()


def test_velocity_recovers_the_picture() -> None:
    """x₀ = √ᾱ·x_t − √(1 − ᾱ)·v, the identity that defines v."""
    scheduler = PUBLISHED.train_scheduler()
    x0, noise, t = torch.randn(3, 2, 4, 8, 8), torch.randn(3, 2, 4, 8, 8), torch.tensor([0, 400, 999])
    noisy = scheduler.add_noise(x0, noise, t)
    v = prediction_target(scheduler, x0, noise, t)
    alpha = scheduler.alphas_cumprod[t][:, None, None, None, None]
    torch.testing.assert_close(alpha.sqrt() * noisy - (1 - alpha).sqrt() * v, x0, rtol=1e-4, atol=1e-4)


def test_min_snr_weights() -> None:
    t = torch.tensor([0, 300, 999])
    assert torch.equal(snr_weights(NoiseConfig(), NoiseConfig().train_scheduler(), t), torch.ones(3))
    config = NoiseConfig(min_snr_gamma=5.0)
    alpha = config.train_scheduler().alphas_cumprod[t]
    snr = alpha / (1 - alpha)
    torch.testing.assert_close(
        snr_weights(config, config.train_scheduler(), t), torch.minimum(snr, torch.tensor(5.0)) / snr
    )
    v = snr_weights(PUBLISHED, PUBLISHED.train_scheduler(), t)
    assert torch.isfinite(v).all()
    assert v[-1].item() == pytest.approx(0, abs=1e-5)


def test_loss_of_each_sample() -> None:
    prediction, target = torch.zeros(2, 3, 4), torch.stack([torch.full((3, 4), 2.0), torch.ones(3, 4)])
    losses = sample_losses(prediction, target, torch.tensor([0.5, 3.0]))
    assert losses.tolist() == [2.0, 3.0]


@pytest.mark.parametrize("shift", [3.0, 10.0])
def test_shifted_timesteps_follow_their_distribution(shift: float) -> None:
    """P(level < x) is the share u that is moved to x: u = x / (s − (s − 1)·x)."""
    steps = draw_timesteps(NoiseConfig(timestep_shift=shift), torch.arange(4000), seed=2)
    assert steps.min() >= 0
    assert steps.max() <= 999
    for x in (0.25, 0.5, 0.75, 0.9):
        wanted = x / (shift - (shift - 1) * x)
        assert (steps < 1000 * x).double().mean().item() == pytest.approx(wanted, abs=0.025)


def test_draws_belong_to_the_sample() -> None:
    index = torch.arange(3000)
    steps = draw_timesteps(PUBLISHED, index, seed=1)
    assert steps.min() >= 0
    assert steps.max() <= 999
    assert steps.float().mean().item() == pytest.approx(499.5, abs=20)
    assert torch.equal(draw_timesteps(PUBLISHED, index[7:9], seed=1), steps[7:9])
    noise = draw_noise(PUBLISHED, index[:400], 1, (2, 4, 8, 8))
    assert torch.equal(draw_noise(PUBLISHED, index[5:6], 1, (2, 4, 8, 8))[0], noise[5])
    means = noise.mean(dim=(1, 3, 4))
    assert means.std().item() == pytest.approx((0.05**2 + 1 / 128) ** 0.5, rel=0.1)
