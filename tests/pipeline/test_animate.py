"""A tiny random network of the true architecture behind the whole command."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from extractors.geometry.published import published_scene_motion
from pipeline.animate import AnimateConfig, AnimateError, Animator, animate, driven
from pipeline.animation.dataset import clip_inputs
from pipeline.animation.driving import Driving
from pipeline.animation.notes import notes
from pipeline.animation.reference import ReferencePicture, mapped_depth
from pipeline.dataset import Dataset
from pipeline.demo.videos import render_demo
from pipeline.pack.read import read_sample
from stages.jpeg import encode_jpeg
from tests.pipeline.animation.driven import SIZE, clip, driving
from tests.pipeline.made import Video, made_config, make, write_video
from tests.pipeline.small import small_config
from tests.train.tiny import tiny_encoders, tiny_model
from train.evaluation.media import Sequence
from train.model.saving import SavedModel, SavedModelError, save_model

FAST = AnimateConfig(steps=1, guidance=1.0, size=SIZE, device="cpu")


def picture() -> ReferencePicture:
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    return ReferencePicture(image, clip(0, 1).body[0], np.random.default_rng(1).random((16, 16), np.float32))


def drawn(checkpoint: Path, **changes: object) -> np.ndarray:
    config = FAST.model_copy(update=changes)
    frames = driven(driving(clip(0, 5)), picture(), config, 1)
    return np.stack(list(Animator(checkpoint, config).draw(picture(), frames)))


def test_guidance_reaches_the_result_and_the_seed_fixes_it(checkpoint: Path) -> None:
    made = drawn(checkpoint)
    assert made.shape == (5, *SIZE, 3)
    assert np.array_equal(made, drawn(checkpoint))
    for change in ({"seed": 1}, {"scene_motion": False}, {"camera_only": True}, {"depth_scale": 8.0}):
        assert not np.array_equal(made, drawn(checkpoint, **change)), change


def test_side_by_side_ends_with_the_result(checkpoint: Path) -> None:
    """Reference, drawing, scene motion and result; no driving frames were kept here."""
    rows = drawn(checkpoint, side_by_side=True)
    width = SIZE[0]
    assert rows.shape == (5, SIZE[1], 4 * width + 3 * 4, 3)
    assert np.array_equal(rows[2, :, :width], picture().image)
    assert np.array_equal(rows[:, :, -width:], drawn(checkpoint))


def test_a_network_trained_on_published_maps_gets_published_maps(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the network decides: at the sample's own size its clip's stored maps, for a picture the same formula."""
    monkeypatch.setattr("tests.pipeline.made.made_config", lambda: made_config(scene_motion={"compat": "published"}))
    make(tmp_path / "d", [write_video(tmp_path / "videos", "a", Video(0))], splits=("test",))
    opened = Dataset.open(str(tmp_path / "d"))
    release = opened.newest_release()
    assert release is not None
    entry = release.shards[0]
    stored = read_sample(opened, entry, entry.samples[0])["scene_motion.npy"][0].astype(np.float32)
    model = tiny_model(2, motion_compat="published", motion_scale=1.0)
    saved = SavedModel(stage=2, model=model.config, size=SIZE)
    save_model(tmp_path / "published", saved=saved, model=model, encoders=tiny_encoders())
    animator = Animator(tmp_path / "published", FAST)
    inputs = clip_inputs(opened, entry, entry.samples[0], (96, 96), FAST, compat=animator.compat)
    for number in (0, 1, 7, 20):
        frame = inputs.frames.numbers[number]
        wanted = stored[frame] if number else np.zeros_like(stored[0])
        np.testing.assert_allclose(inputs.frames.motion(number)[0], wanted, rtol=2e-3, atol=2e-5)
    assert 0 < np.abs(inputs.frames.motion(7)[0]).max() < 0.2
    signals = driving(clip(0, 5))
    fed = animator._camera_guidance(driven(signals, picture(), FAST, 1, animator.compat), 3)
    depth = torch.from_numpy(mapped_depth(picture().inverse_depth, signals.clips[0].inverse_depth, SIZE, 1.0))
    wanted = published_scene_motion(depth[None], torch.from_numpy(signals.clips[0].cam_to_world))[0, 3]
    assert fed is not None
    np.testing.assert_allclose(fed, wanted.numpy())
    assert Animator(checkpoint, FAST).compat == "paper"
    with pytest.raises(AnimateError, match="knows no unit of depth"):
        Animator(tmp_path / "published", FAST.model_copy(update={"depth_scale": 2.0}))


def test_camera_only_leaves_the_pictures_own_pose_out(checkpoint: Path) -> None:
    config = FAST.model_copy(update={"camera_only": True})
    frames = driven(driving(clip(0, 2)), picture(), config, 1)
    animator = Animator(checkpoint, config)
    made, bare = (np.stack(list(animator.draw(p, frames))) for p in (picture(), replace(picture(), body=None)))
    assert np.array_equal(made, bare)


def test_a_camera_clip_has_no_pose_at_all(tmp_path: Path) -> None:
    make(tmp_path / "d", [write_video(tmp_path / "videos", "a", Video(0))], splits=("test",), kinds=("camera",))
    opened = Dataset.open(str(tmp_path / "d"))
    release = opened.newest_release()
    assert release is not None
    (entry,) = release.shards
    inputs = clip_inputs(opened, entry, entry.samples[0], (96, 96), FAST)
    assert inputs.picture.body is None
    assert not np.any(inputs.frames.drawings(3))


def test_optical_flow_stops_at_a_cut(tmp_path: Path) -> None:
    model = tiny_model(2, motion="flow")
    save_model(tmp_path, saved=SavedModel(stage=2, model=model.config), model=model, encoders=tiny_encoders())
    textures = [
        cv2.resize(
            np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8), SIZE, interpolation=cv2.INTER_CUBIC
        )
        for seed in (1, 2)
    ]
    shots = [[encode_jpeg(np.roll(texture, 2 * n, 1)) for n in range(3)] for texture in textures]
    frames = driven(driving(clip(0, 3, jpegs=shots[0]), clip(3, 3, jpegs=shots[1])), picture(), FAST, 1)
    animator = Animator(tmp_path, FAST)
    flows = [animator._camera_guidance(frames, number) for number in range(6)]
    assert [number for number, flow in enumerate(flows) if flow is None] == [0, 3]
    for number in (1, 2, 4, 5):
        assert np.median(flows[number][0]) == pytest.approx(2, abs=0.5)


def test_wrong_use_is_refused_in_words(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="multiples of 8"):
        AnimateConfig(size=(130, 128))
    with pytest.raises(ValueError, match="nothing that moves"):
        AnimateConfig(camera_only=True, scene_motion=False)
    with pytest.raises(AnimateError, match="at least 128"):
        Animator(checkpoint, AnimateConfig(size=(64, 64)))
    with pytest.raises(AnimateError, match="window 40: this checkpoint sees 32 frames at most"):
        Animator(checkpoint, AnimateConfig(window=40))
    with pytest.raises(AnimateError, match="2000 steps: this checkpoint knows 1000 noise levels"):
        Animator(checkpoint, AnimateConfig(steps=2000))
    if not torch.cuda.is_available():
        with pytest.raises(AnimateError, match="finds no CUDA device"):
            Animator(checkpoint, AnimateConfig(device="cuda"))
    with pytest.raises(AnimateError, match="overlap 4 must be smaller than the window of 4"):
        Animator(checkpoint, AnimateConfig(overlap=4))
    with pytest.raises(SavedModelError, match="does not exist"):
        Animator(tmp_path, FAST)
    first = tiny_model(1)
    save_model(tmp_path / "one", saved=SavedModel(stage=1, model=first.config), model=first, encoders=None)
    with pytest.raises(SavedModelError, match="stage 1, stage 2 is needed"):
        Animator(tmp_path / "one", FAST)


def test_frames_count_the_animations_own(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many frames come out, of a video as of a dataset's clips, whatever lies between them."""
    signals = driving(clip(0, 20))

    class Reader:
        pose = depth = None

        def __init__(self, *_: object, **__: object) -> None: ...

        def read(self, *_: object, frames: int | None, **__: object) -> Driving:
            return replace(signals, frames=min(frames or signals.frames, signals.frames))

    monkeypatch.setattr("pipeline.animate.DrivingReader", Reader)
    monkeypatch.setattr("pipeline.animate.read_reference", lambda *_, **__: picture())
    for count, step, wanted in ((3, 4, 3), (9, 4, 5), (1, 4, 1)):
        config = FAST.model_copy(update={"frames": count, "frame_step": step, "sound": False})
        made = animate(Path("a.png"), Path("a.mp4"), checkpoint, tmp_path / f"{count}.mp4", config=config)
        assert made.frames == wanted


@pytest.mark.parametrize("kind", ["flow", "plucker", "none"])
def test_ablations_are_guided_as_they_were_trained(kind: str, dataset: str, tmp_path: Path) -> None:
    model = tiny_model(2, motion=kind)
    save_model(tmp_path, saved=SavedModel(stage=2, model=model.config), model=model, encoders=tiny_encoders())
    animator = Animator(tmp_path, FAST)
    opened = Dataset.open(dataset)
    release = opened.newest_release()
    assert release is not None
    entry = next(shard for shard in release.shards if shard.split == "test")
    inputs = clip_inputs(opened, entry, entry.samples[0], SIZE, FAST, keep_frames=animator.needs_frames)
    guidance = animator._camera_guidance(inputs.frames, 3)
    if kind == "none":
        assert guidance is None
        return
    assert guidance is not None
    if kind == "flow":
        # The wall slides: its flow and its scene motion are of one kind, and of like size.
        motion = inputs.frames.motion(3)[0]
        assert guidance.shape == motion.shape
        assert np.median(np.abs(guidance[0] - motion[0])) < 0.35 * np.median(np.abs(motion[0]))
        return
    direction, moment = guidance[3:], guidance[:3]
    np.testing.assert_allclose(np.linalg.norm(direction, axis=0), 1, rtol=1e-5)
    np.testing.assert_allclose((direction * moment).sum(0), 0, atol=1e-5)
    assert np.abs(moment).max() > 0
    with pytest.raises(AnimateError, match="Plücker rays"):
        animate(tmp_path / "a.png", tmp_path / "a.mp4", tmp_path, tmp_path / "out.mp4", config=FAST)


def test_notes_say_what_limits_the_result() -> None:
    flat = ReferencePicture(picture().image, None, None)
    parts = (clip(0, 5, person=False), clip(4, 5, camera="unsolved"), clip(8, 5, motion="unaligned"))
    said = " / ".join(notes(driving(*parts), flat, FAST))
    for words in ("no person was found in 1 of 3", "not known in 1 of 3", "guessed in 1 of 3", "taken for a plane"):
        assert words in said
    assert not list(notes(driving(clip(0, 5)), picture(), FAST))


@pytest.mark.slow
def test_a_rendered_video_end_to_end(checkpoint: Path, tmp_path: Path) -> None:
    """Real stages, a real person finder: the character's pose is drawn where the renderer put it, sound aside."""
    videos = render_demo(tmp_path / "videos", size=256, frames=32)
    video = next(v for v in videos if v.name == "character_dolly")
    art = next(iter(Sequence("v", video.path).frames()))
    Image.fromarray(art).save(tmp_path / "art.png")
    config = FAST.model_copy(update={"frames": 20, "side_by_side": True})
    made = animate(
        tmp_path / "art.png", video.path, checkpoint, tmp_path / "out.mp4", config=config, stages=small_config()
    )
    shown = np.stack(list(Sequence("out", made.path).frames()))
    assert shown.shape == (20, 128, 5 * 128 + 4 * 4, 3)
    guidance = shown[:, :, 2 * 132 : 2 * 132 + 128]
    assert (guidance.max((1, 2, 3)) > 100).all()
    empty = next(v for v in videos if v.name == "camera_dolly")
    with pytest.raises(AnimateError, match="no person was found in the driving video"):
        animate(tmp_path / "art.png", empty.path, checkpoint, tmp_path / "none.mp4", config=FAST)
