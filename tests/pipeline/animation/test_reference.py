from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from extractors.depth.imported import ImportedDepthConfig
from pipeline.animation.reference import PictureError, load_picture, mapped_depth, read_reference
from schemas.artifacts.header import Header
from schemas.artifacts.pose import PoseArtifact
from schemas.clip import Clip
from stages.depth import DepthConfig, DepthStage


def gradient(width: int, height: int) -> np.ndarray:
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return np.stack([x, y, np.full_like(x, 90)], -1).round().astype(np.uint8)


def test_a_picture_of_the_right_size_passes_unchanged(tmp_path: Path) -> None:
    Image.fromarray(gradient(128, 96)).save(tmp_path / "a.png")
    assert np.array_equal(load_picture(tmp_path / "a.png", (128, 96)), gradient(128, 96))


def test_crop_takes_the_middle_and_pad_keeps_all(tmp_path: Path) -> None:
    image = gradient(200, 100)
    Image.fromarray(image).save(tmp_path / "a.png")
    assert np.array_equal(load_picture(tmp_path / "a.png", (96, 96), "crop").shape, (96, 96, 3))
    cropped = load_picture(tmp_path / "a.png", (100, 100), "crop")
    assert np.array_equal(cropped, image[:, 50:150])
    padded = load_picture(tmp_path / "a.png", (200, 200), "pad")
    assert np.array_equal(padded[50:150], image)
    assert np.array_equal(padded[0], image[0])


def test_turned_and_transparent_pictures(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side
    Image.fromarray(gradient(96, 128)).save(tmp_path / "a.png", exif=exif)
    assert load_picture(tmp_path / "a.png", (128, 96)).shape == (96, 128, 3)
    Image.new("RGBA", (64, 64), (200, 0, 0, 0)).save(tmp_path / "b.png")
    assert (load_picture(tmp_path / "b.png", (64, 64)) == 255).all()


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="does not exist"):
        load_picture(tmp_path / "none.png", (64, 64))
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(PictureError, match="not a picture that can be read"):
        load_picture(tmp_path / "a.png", (64, 64))
    Image.fromarray(gradient(20, 20)).save(tmp_path / "a.png")
    with pytest.raises(PictureError, match="20 × 20 pixels, too small for an output of 128 × 128"):
        load_picture(tmp_path / "a.png", (128, 128))


def test_sixteen_bits_of_grey_keep_their_shades(tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(0, 65535, 128), (128, 1)).round().astype(np.uint16)
    for name in ("a.png", "a.tif"):
        Image.fromarray(ramp).save(tmp_path / name)
        shown = load_picture(tmp_path / name, (128, 128))
        np.testing.assert_allclose(shown[..., 0], ramp / 257, atol=0.51)


@pytest.mark.parametrize(("kind", "words"), [(np.float32, "floating-point"), (np.int32, "32 bits")])
def test_values_without_a_white_are_refused(tmp_path: Path, kind: type, words: str) -> None:
    Image.fromarray(np.ones((128, 128), kind)).save(tmp_path / "a.tif")
    with pytest.raises(PictureError, match=words):
        load_picture(tmp_path / "a.tif", (128, 128))


def test_a_damaged_chunk_is_refused_in_words(tmp_path: Path) -> None:
    """A png in several chunks, the checksum of a later one being wrong: a SyntaxError of Pillow's."""
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    data = bytearray((tmp_path / "a.png").read_bytes())
    place = data.index(b"IDAT", data.index(b"IDAT") + 4)
    data[place : place + 4] = b"\x01\x02\x03\x04"
    (tmp_path / "a.png").write_bytes(bytes(data))
    with pytest.raises(PictureError, match="not a picture that can be read"):
        load_picture(tmp_path / "a.png", (128, 128))


class SomePose:
    """A pose stage that finds one person."""

    def run(self, clip: Clip, tables: dict[str, pa.Table]) -> pa.Table:
        count, nothing = clip.frame_count, np.zeros((clip.frame_count, 0, 68, 3), np.float32)
        body = np.full((count, 1, 17, 3), 0.9, np.float32)
        artifact = PoseArtifact(body, nothing, nothing[:, :, :21], np.zeros((count, 24, 24), bool))
        return artifact.to_table(Header("pose", clip.clip_id))


@pytest.mark.parametrize("wants_person", [True, False])
def test_a_picture_with_the_depth_of_files_is_a_plane(
    tmp_path: Path, wants_person: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Depth from ViPE's files is a video's; and a person found in a picture that shows none is left out."""
    backend = ImportedDepthConfig(template=str(tmp_path / "{stem}"))
    monkeypatch.setattr(ImportedDepthConfig, "problem", lambda self: None)
    Image.fromarray(gradient(128, 128)).save(tmp_path / "a.png")
    found = read_reference(
        tmp_path / "a.png",
        size=(128, 128),
        fit="crop",
        pose=SomePose(),  # type: ignore[arg-type]
        depth=DepthStage(DepthConfig(backend=backend)),
        wants_person=wants_person,
        wants_depth=True,
    )
    assert found.inverse_depth is None
    assert (found.body is not None) == wants_person


@settings(max_examples=20)
@given(st.integers(0, 100), st.floats(0.2, 5), st.floats(-1, 1), st.floats(0.5, 2))
def test_mapped_depth_has_the_driving_statistics_whatever_its_own(
    seed: int, gain: float, shift: float, scale: float
) -> None:
    """Scale and shift of the picture's map do not count; median and spread become the driving's."""
    generator = np.random.default_rng(seed)
    own = generator.uniform(1, 2, (16, 24)).astype(np.float32)
    driving = generator.uniform(5, 6, (2, 16, 24)).astype(np.float32)
    mapped = mapped_depth(own, driving, (192, 128), 1.0)
    np.testing.assert_allclose(mapped_depth(gain * own + shift, driving, (192, 128), 1.0), mapped, rtol=1e-3)
    np.testing.assert_allclose(mapped_depth(own, driving, (192, 128), scale), mapped * scale, rtol=1e-5)
    for made, wanted in zip(np.percentile(mapped, [10, 50, 90]), np.percentile(driving, [10, 50, 90]), strict=True):
        assert made == pytest.approx(wanted, abs=0.12)
    assert np.median(mapped) == pytest.approx(np.median(driving), rel=1e-4)


def test_mapped_depth_without_a_map_is_a_plane_and_never_negative() -> None:
    driving = np.array([[[1.0, 2.0], [3.0, 30.0]]], np.float32)
    plane = mapped_depth(None, driving, (64, 64), 2.0)
    assert plane.shape == (8, 8)
    assert (plane == 5).all()
    assert (mapped_depth(np.ones((4, 4), np.float32), driving, (64, 64), 2.0) == 5).all()
    ramp = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    assert mapped_depth(ramp, driving, (64, 64), 1.0).min() == 0
