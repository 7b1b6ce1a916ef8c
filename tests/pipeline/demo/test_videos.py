from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.demo import DemoVideo, ShotTruth, render_demo
from pipeline.demo.character import Character
from pipeline.demo.scene import hall
from pipeline.demo.shot import render_shot
from pipeline.demo.videos import demo_cameras


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[DemoVideo]:
    return render_demo(tmp_path_factory.mktemp("demo"), size=64, frames=32)


def test_both_kinds_and_a_cut(videos: list[DemoVideo]) -> None:
    kinds = [video.kind for video in videos]
    assert kinds.count("character") >= 5
    assert kinds.count("camera") >= 3
    starts = {video.name: ShotTruth.load(video.truth).shot_starts.tolist() for video in videos}
    assert starts["character_cut"] == [0, 16]
    assert all(value == [0] for name, value in starts.items() if name != "character_cut")


def test_files_hold_what_was_rendered(videos: list[DemoVideo]) -> None:
    for video in videos:
        with av.open(str(video.path)) as container:
            stream = container.streams.video[0]
            assert stream.codec_context.name == "h264"
            assert stream.average_rate == 30
            decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        truth = ShotTruth.load(video.truth)
        assert len(decoded) == 32 == len(truth.cam_to_world)
        assert truth.mask.any() == (video.kind == "character")
    camera = demo_cameras(32)["character_dolly"]
    first = next(video for video in videos if video.name == "character_dolly")
    expected, _ = render_shot(camera, hall(0), Character(seed=0), size=(64, 64))
    with av.open(str(first.path)) as container:
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    # Brightness alone: H.264 halves the resolution of colour, which at 64 pixels is most of the picture.
    weights = np.array([0.2126, 0.7152, 0.0722])
    assert np.abs((np.stack(decoded).astype(int) - expected) @ weights).mean() < 3.5


def test_equal_arguments_equal_bytes(videos: list[DemoVideo], tmp_path: Path) -> None:
    again = render_demo(tmp_path, size=64, frames=32)
    assert [v.path.read_bytes() for v in again] == [v.path.read_bytes() for v in videos]
    assert [v.truth.read_bytes() for v in again] == [v.truth.read_bytes() for v in videos]


def test_too_short_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 32 frames"):
        render_demo(tmp_path, frames=20)
