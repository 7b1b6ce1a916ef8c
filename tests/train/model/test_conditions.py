import pytest
import torch
from diffusers import AutoencoderKL
from transformers import CLIPImageProcessor

from tests.train.tiny import random_batch, tiny_config, tiny_encoders, tiny_image_encoder
from train.data.batch import signed, unit
from train.model.conditions import ConditionEncoder, draw_kept, keep_all
from train.model.config import DropoutConfig, EncodingConfig
from train.model.encoders import Encoders


def encoder(stage: int = 1, **encoding: object) -> ConditionEncoder:
    return ConditionEncoder(
        encoders=tiny_encoders(), model=tiny_config(), encoding=EncodingConfig(**encoding), stage=stage
    )


def test_pictures_are_in_the_published_order() -> None:
    batch, conditions = random_batch([0, 1], frames=2, size=64), encoder()
    pictures = conditions.conditions(batch, keep_all(2)).pictures
    assert pictures.shape == (2, 2, 20, 8, 8)
    vae = conditions.encoders.vae
    for place, image in enumerate(
        [batch.reference, batch.reference_pose, batch.pose_body[:, 1], batch.pose_face[:, 1], batch.pose_hand[:, 1]]
    ):
        wanted = vae.encode(signed(image)).latent_dist.mean * 0.18215
        torch.testing.assert_close(pictures[:, 1, 4 * place : 4 * place + 4], wanted, rtol=1e-4, atol=1e-5)


def test_pose_range_of_the_published_code() -> None:
    batch, conditions = random_batch([0], size=64), encoder(pose_range="unit")
    pictures = conditions.conditions(batch, keep_all(1)).pictures
    wanted = conditions.encoders.vae.encode(unit(batch.pose_body[:, 0])).latent_dist.mean * 0.18215
    torch.testing.assert_close(pictures[:, 0, 8:12], wanted, rtol=1e-4, atol=1e-5)


def test_a_picture_that_comes_again_is_not_encoded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same latents as without a cache, draws from the posterior too; the least recent of too many is dropped."""
    plain, seen = tiny_encoders(), []
    pictures = torch.rand(4, 1, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    noise = torch.randn(4, 1, 4, 4, 4, generator=torch.Generator().manual_seed(2))
    entry = 2 * 4 * 4 * 4 * 4  # bytes: mean and deviation of four channels of 4 × 4 cells, float32
    cached = Encoders(vae=plain.vae, image_encoder=plain.image_encoder, cache_bytes=3 * entry)
    wanted, drawn = plain.latents(pictures), plain.latents(pictures, noise)
    encode = plain.vae.encode
    monkeypatch.setattr(plain.vae, "encode", lambda x: seen.append(len(x)) or encode(x))
    torch.testing.assert_close(cached.latents(pictures[:3]), wanted[:3], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(cached.latents(pictures[:3].flip(0)), wanted[:3].flip(0), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(cached.latents(pictures[:3], noise[:3]), drawn[:3], rtol=1e-5, atol=1e-6)
    assert seen == [1, 1, 1]
    cached.latents(pictures[[0, 3]])  # the place of picture 1
    cached.latents(pictures[[0, 2, 3]])
    assert len(seen) == 4
    cached.latents(pictures[[1]])
    assert len(seen) == 5
    cached.latents(pictures[1].view(1, 3, 64, 16))  # the same bytes in another shape
    assert len(seen) == 6


def test_hidden_poses_are_black_and_hidden_motion_is_zero() -> None:
    batch, conditions = random_batch([0, 1], frames=2, size=64), encoder(stage=2)
    index = torch.arange(2)
    kept = draw_kept(index, DropoutConfig(pose=1, motion=1, unconditional=1), seed=0)
    hidden = conditions.conditions(batch, kept)
    black = conditions.encoders.latents(-torch.ones(3, 64, 64)[None])[0]
    torch.testing.assert_close(hidden.pictures[1, 1, 8:12], black, rtol=1e-5, atol=1e-5)
    assert hidden.motion is not None
    assert not hidden.motion.any()
    assert not hidden.keep.any()


@pytest.mark.parametrize("drawn", [(), (1,), (0, 3), (0, 1, 2, 3)])
def test_black_drawings_are_encoded_once(drawn: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    conditions = encoder()
    drawings = torch.zeros(2, 2, 3, 32, 32, dtype=torch.uint8)
    for place in drawn:
        drawings[place // 2, place % 2, 1, 3, place] = 200
    wanted = conditions.encoders.latents(signed(drawings))
    seen, encode = [], conditions.encoders.vae.encode
    monkeypatch.setattr(conditions.encoders.vae, "encode", lambda x: seen.append(len(x)) or encode(x))
    torch.testing.assert_close(conditions.drawing_latents(drawings), wanted, rtol=1e-4, atol=1e-5)
    assert sum(seen) == min(4, len(drawn) + 1)


def test_dropout_belongs_to_the_sample_and_has_its_rate() -> None:
    index = torch.arange(4000)
    kept = draw_kept(index, DropoutConfig(pose=0.2, face=0.5, motion=0.1), seed=3)
    assert kept.body.mean().item() == pytest.approx(0.8, abs=0.03)
    assert kept.face.mean().item() == pytest.approx(0.4, abs=0.03)
    assert kept.motion.mean().item() == pytest.approx(0.9, abs=0.03)
    again = draw_kept(index[100:110], DropoutConfig(pose=0.2, face=0.5, motion=0.1), seed=3)
    assert torch.equal(again.face, kept.face[100:110])


def test_posterior_is_sampled_with_the_samples_own_noise() -> None:
    batch, conditions = random_batch([5, 6], size=64), encoder()
    latents = conditions.target(batch, seed=1)
    posterior = conditions.encoders.vae.encode(signed(batch.target[:, 0])).latent_dist
    draws = (latents[:, 0] / 0.18215 - posterior.mean) / posterior.std
    assert draws.std().item() == pytest.approx(1, abs=0.15)
    alone = conditions.target(random_batch([6], size=64), seed=1)
    torch.testing.assert_close(alone[0], latents[1], rtol=1e-5, atol=1e-6)
    mean = encoder(sample_target=False).target(batch, seed=1)
    torch.testing.assert_close(mean[:, 0], posterior.mean * 0.18215, rtol=1e-4, atol=1e-5)


def test_tokens_against_transformers_own_preprocessing() -> None:
    """The whole sequence, normed and projected; its class token is transformers' `image_embeds`."""
    network = tiny_image_encoder()
    picture = random_batch([0], size=128).reference
    pixels = CLIPImageProcessor(
        size={"height": 32, "width": 32}, crop_size={"height": 32, "width": 32}, do_center_crop=False
    )(list(picture), return_tensors="pt")["pixel_values"]
    tokens = tiny_encoders().tokens(unit(picture))
    assert tokens.shape == (1, 5, 16)
    wanted = network.eval()(pixels).image_embeds
    torch.testing.assert_close(tokens[:, 0], wanted, rtol=0.02, atol=0.02)


def test_chunks_change_nothing() -> None:
    pictures = torch.rand(5, 3, 32, 32)
    encoders = tiny_encoders()
    whole = encoders.latents(pictures)
    encoders.chunk = 2
    torch.testing.assert_close(encoders.latents(pictures), whole, rtol=1e-5, atol=1e-6)


def test_an_autoencoder_of_another_factor_is_refused() -> None:
    with pytest.raises(ValueError, match="shrinks by 1"):
        Encoders(vae=AutoencoderKL(norm_num_groups=4, block_out_channels=(8,)), image_encoder=tiny_image_encoder())
