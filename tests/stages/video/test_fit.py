"""Windows and whole-pixel plans: what is recorded is what is shown."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.video.fit import Window, centre_window, pad_window, plan
from stages.video.probe import Probe, displayed_size
from tests.stages.test_decode import decode, ingest
from tests.stages.video.media import encode, pictures_of

PROBE = Probe(
    width=512, height=512, coded_width=512, coded_height=512, rotation=0, sar=(1, 1), stream=0, streams=1,
    container="mov", codec="h264", pix_fmt="yuv420p", transfer="sdr", wide_gamut=False, interlaced=False,
    encrypted=False, seekable=True, fps=(30, 1), source_fps=(30, 1), constant=True, start_s=0.0,
    container_start_s=0.0, duration_s=1.0, last_frame=29, declared_frames=30, packets=30,
)  # fmt: skip
SIZES = st.integers(8, 480).map(lambda n: 8 * n)


def shown(width: int, height: int, sar: tuple[int, int], rotation: int) -> Probe:
    from fractions import Fraction

    size = displayed_size(width, height, Fraction(*sar), rotation)
    return replace(
        PROBE, coded_width=width, coded_height=height, sar=sar, rotation=rotation, width=size[0], height=size[1]
    )


@given(
    st.integers(2, 4000),
    st.integers(2, 4000),
    st.sampled_from([(1, 1), (4, 3), (16, 11), (8, 9)]),
    st.sampled_from([0, 90, 180, 270]),
    st.tuples(st.integers(8, 130), st.integers(8, 130)).map(lambda s: (8 * s[0], 8 * s[1])),
    st.sampled_from(["crop", "pad"]),
)
def test_plans_fit_the_picture_and_come_near_the_wanted_window(
    width: int, height: int, sar: tuple[int, int], rotation: int, size: tuple[int, int], fit: str
) -> None:
    probe = shown(width, height, sar, rotation)
    stored = (height, width) if rotation % 180 else (width, height)
    wanted = (centre_window if fit == "crop" else pad_window)(probe.width, probe.height, size)
    made = plan(probe, wanted, size)
    for axis in (0, 1):
        start, length = made.crop[axis], made.crop[axis + 2]
        assert 0 <= start < start + length <= stored[axis]
        assert 1 <= made.scaled[axis] <= size[axis]
        assert 0 <= made.pad[axis] <= size[axis] - made.scaled[axis]
        # The ends of what is visible lie within two output pixels and two stored ones of where they should.
        got, want = made.window.as_tuple(), wanted.as_tuple()
        shown_axis = (probe.width, probe.height)[axis]
        visible = (max(want[axis], 0.0), min(want[axis] + want[axis + 2], float(shown_axis)))
        pixel = shown_axis / stored[axis] * size[axis] / want[axis + 2]
        if length >= 16:
            for end in visible:
                landed = (end - got[axis]) * size[axis] / got[axis + 2]
                assert abs(landed - (end - want[axis]) * size[axis] / want[axis + 2]) <= 2 + 3 * pixel
    if fit == "crop":
        assert made.scaled == size
        assert made.pad == (0, 0)


def test_square_sources_keep_square_pixels() -> None:
    for width, height in ((512, 758), (640, 360), (1280, 720), (1920, 1080), (455, 256)):
        made = plan(shown(width, height, (1, 1), 0), centre_window(width, height, (768, 768)), (768, 768))
        assert made.window.width == made.window.height
        assert made.window.width >= min(width, height) - 1


def test_windows_by_hand() -> None:
    assert centre_window(640, 360, (768, 768)) == Window(140, 0, 360, 360)
    assert pad_window(640, 360, (768, 768)) == Window(0, -140, 640, 640)
    assert pad_window(512, 768, (768, 768)) == Window(-128, 0, 768, 768)
    assert centre_window(640, 360, (320, 640)) == Window(230, 0, 180, 360)


@pytest.mark.parametrize("fit", ["crop", "pad"])
@pytest.mark.parametrize(("width", "height"), [(320, 180), (181, 320), (200, 200)])
def test_the_recorded_window_is_where_things_are(tmp_path: Path, fit: str, width: int, height: int) -> None:
    """White discs at known places of the source are found at the places that the recorded window says."""
    ys, xs = np.mgrid[:height, :width]
    places = [(width / 2 - 40.0, height / 2 - 30.0), (width / 2 + 35.0, height / 2 + 25.0)]
    picture = np.full((height, width, 3), 20, np.uint8)
    for x, y in places:
        picture[(xs - x) ** 2 + (ys - y) ** 2 < 12**2] = 230
    path = encode(tmp_path / "discs.mkv", [picture] * 20, arguments=("-c:v", "ffv1", "-pix_fmt", "yuv444p"))
    frames = decode(path, ingest(path), size=256, fit=fit)
    image = pictures_of(frames)[0][..., 1].astype(float) - 20
    x0, y0, w, h = frames.crop
    rows, columns = np.mgrid[:256, :256]
    for x, y in places:
        # Pixel 0 is the centre of the first pixel, so edges lie half a pixel off.
        u, v = (x + 0.5 - x0) * 256 / w - 0.5, (y + 0.5 - y0) * 256 / h - 0.5
        near = ((columns - u) ** 2 + (rows - v) ** 2 < (20 * 256 / w) ** 2) & (image > 20)
        weights = image * near
        assert np.sum(weights * columns) / weights.sum() == pytest.approx(u, abs=0.35)
        assert np.sum(weights * rows) / weights.sum() == pytest.approx(v, abs=0.35)
    if fit == "pad" and width != height:
        assert pictures_of(frames)[0][0, 0].max() < 6
