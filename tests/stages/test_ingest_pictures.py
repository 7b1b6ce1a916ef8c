"""Pictures of made videos as ingest and decode show them: turned, stretched, odd, HDR, 10-bit, interlaced."""

from pathlib import Path

import numpy as np
import pytest

from schemas.artifacts.frames import FramesArtifact
from schemas.artifacts.ingest import IngestArtifact
from stages.decode import DecodeConfig, DecodeStage
from tests.stages.test_ingest import X264, ingest
from tests.stages.video.media import encode, pictures_of, run_ffmpeg, whole_clip


def decoded(path: Path, artifact: IngestArtifact, **settings: object) -> FramesArtifact:
    config = DecodeConfig(**settings)  # type: ignore[arg-type]
    return FramesArtifact.from_table(DecodeStage(config).run(whole_clip(path, artifact), {}))


def turned(path: Path, degrees: int, size: tuple[int, int]) -> np.ndarray:
    """A frame of the video marked to be turned, decoded to the (width, height) that ingest must find."""
    made = path.with_stem(f"{path.stem}_turned")
    run_ffmpeg("-display_rotation", str(degrees), "-i", str(path), "-c", "copy", str(made))
    artifact = ingest(made)
    assert (artifact.probe["width"], artifact.probe["height"]) == size
    return pictures_of(decoded(made, artifact, fit="pad", width=size[0], height=size[1]))[3]


def test_rotation_and_sample_aspect_are_applied(tmp_path: Path) -> None:
    """A 96 × 64 picture with a red left half, marked to be turned and stretched."""
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[:, :48, 0] = 230
    made = encode(tmp_path / "made.mp4", [picture] * 20, arguments=X264)
    shown = turned(made, 90, (64, 96))
    # Turned counter-clockwise by 90°, what was on the left is at the bottom.
    assert shown[80, 32, 0] > 180
    assert shown[16, 32, 0] < 50
    wide = tmp_path / "wide.mp4"
    run_ffmpeg("-i", str(made), "-vf", "setsar=2", *X264, str(wide))
    artifact = ingest(wide)
    assert (artifact.probe["width"], artifact.probe["height"]) == (192, 64)
    frames = decoded(wide, artifact, fit="crop", size=64)
    assert frames.crop == (64.0, 0.0, 64.0, 64.0)
    shown = pictures_of(frames)[3]
    assert shown[32, 28, 0] > 180
    assert shown[32, 36, 0] < 50
    shown = turned(wide, -90, (64, 192))
    # Turned clockwise, the left is at the top; the stretched side is the long one.
    assert shown[88, 32, 0] > 180
    assert shown[104, 32, 0] < 50


@pytest.mark.parametrize(("width", "height"), [(127, 95), (255, 131), (64, 201), (20, 33)])
def test_odd_sizes(tmp_path: Path, width: int, height: int) -> None:
    pictures = [np.full((height, width, 3), 90, np.uint8)] * 20
    for name, codec in (
        ("a.mkv", ("-c:v", "ffv1", "-pix_fmt", "yuv420p")),
        ("b.mp4", ("-c:v", "libx264", "-pix_fmt", "yuv444p")),
    ):
        path = encode(tmp_path / name, pictures, arguments=codec)
        artifact = ingest(path)
        assert (artifact.probe["width"], artifact.probe["height"]) == (width, height)
        for fit in ("crop", "pad"):
            shown = pictures_of(decoded(path, artifact, fit=fit, size=64))[0]
            assert shown.shape == (64, 64, 3)
            assert abs(float(shown[32, 32].mean()) - 90) < 4


BT2020 = {"color_primaries": "bt2020", "colorspace": "bt2020nc", "color_range": "tv"}


def grey_ramp(path: Path, tags: dict[str, str]) -> np.ndarray:
    """A grey ramp of 8 levels in 10-bit video, tagged, as decode shows it: int [8, 3]."""
    luma = np.repeat(np.repeat(LEVELS[None], 64, axis=0), 16, axis=1)
    frame = luma.tobytes() + np.full((32, 64), 512, np.uint16).tobytes() * 2
    named = [part for name, value in tags.items() for part in (f"-{name}", value)]
    run_ffmpeg(
        "-f", "rawvideo", "-pix_fmt", "yuv420p10le", "-s", "128x64", "-r", "30", *named, "-i", "pipe:0",
        "-c:v", "libx265", "-x265-params", "log-level=error:lossless=1", *named, str(path), data=frame * 20,
    )  # fmt: skip
    shown = pictures_of(decoded(path, ingest(path), width=128, height=64))[2].astype(int)
    return shown[32, 8::16]


LEVELS = np.linspace(64, 940, 8).round().astype(np.uint16)


@pytest.mark.parametrize("transfer", ["smpte2084", "arib-std-b67"])
def test_hdr_is_tone_mapped(tmp_path: Path, transfer: str) -> None:
    """A grey ramp must stay grey and rise, and keep its reference white below clipping."""
    path = tmp_path / "hdr.mp4"
    columns = grey_ramp(path, {"color_trc": transfer, **BT2020})
    assert ingest(path).probe["transfer"] == transfer
    assert np.abs(columns - columns.mean(axis=1, keepdims=True)).max() <= 3
    grey = columns.mean(axis=1)
    assert (np.diff(grey[:6]) > 4).all()
    assert grey[0] < 12
    assert grey[-1] > 200
    # Code 0.58 of PQ (0.75 of HLG) is reference white, 203 cd/m²: bright, yet with room for highlights above.
    white = np.interp(0.58 if transfer == "smpte2084" else 0.75, (LEVELS - 64) / 876, grey)
    assert 120 < white < 245


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"color_trc": "smpte2084"}, BT2020),
        ({"color_trc": "arib-std-b67"}, BT2020),
        ({"color_trc": "smpte2084", "color_primaries": "bt2020"}, {"colorspace": "bt2020nc", "color_range": "tv"}),
        ({"color_primaries": "bt2020"}, {"color_trc": "bt709", "colorspace": "bt2020nc", "color_range": "tv"}),
    ],
)
def test_hdr_and_wide_gamut_with_missing_tags_look_as_with_all(
    tmp_path: Path, given: dict[str, str], missing: dict[str, str]
) -> None:
    partly, fully = grey_ramp(tmp_path / "part.mp4", given), grey_ramp(tmp_path / "full.mp4", {**given, **missing})
    np.testing.assert_allclose(partly, fully, atol=1)
    assert np.ptp(partly) > 200


def test_ten_bit_sdr_keeps_its_levels(tmp_path: Path) -> None:
    pictures = [np.repeat(np.linspace(10, 245, 128).astype(np.uint8)[None, :, None], 64, axis=0).repeat(3, axis=2)] * 20
    path = encode(tmp_path / "ten.mp4", pictures, arguments=("-c:v", "libx264", "-pix_fmt", "yuv420p10le", "-crf", "8"))
    shown = pictures_of(decoded(path, ingest(path), width=128, height=64))[0].astype(int)
    assert np.abs(shown - pictures[0]).mean() < 2.5


def test_interlaced_pictures_lose_their_combs(tmp_path: Path) -> None:
    """A bar that moves 8 pixels a field: fields woven together show it twice on alternating lines."""
    fields = []
    for i in range(80):
        field = np.full((128, 128, 3), 30, np.uint8)
        x = 8 * i % 96
        field[:, x : x + 32] = 220
        fields.append(field)
    path = encode(
        tmp_path / "interlaced.mp4",
        fields,
        rate="50",
        arguments=(
            "-vf",
            "tinterlace=interleave_top,setfield=tff",
            *X264,
            "-flags",
            "+ilme+ildct",
            "-x264opts",
            "tff=1",
        ),
    )
    artifact = ingest(path)
    assert artifact.probe["interlaced"] is True
    assert artifact.fps == (25, 1)
    combs = [
        np.abs(np.diff(p[8:-8].astype(int), axis=0)).mean() for p in pictures_of(decoded(path, artifact, size=128))
    ]
    raw = np.frombuffer(run_ffmpeg("-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"), np.uint8)
    woven = np.abs(np.diff(raw.reshape(-1, 128, 128, 3)[:, 8:-8].astype(int), axis=1)).mean()
    assert np.median(combs) < woven / 8
