"""The VMD camera track: files, curves and poses, against values computed by hand."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extractors.camera.vmd import (
    VmdError,
    bezier,
    parse_camera_track,
    sample_track,
    track_cameras,
    track_poses,
)
from extractors.geometry.cameras import intrinsics_vector, project
from extractors.geometry.rigid import invert, relative_to_first
from tests.paths import test_data

LINEAR = (20, 107, 20, 107) * 6
SQUARE = {"size": (768, 768), "source_size": (1280, 720), "crop": (280.0, 0.0, 720.0, 720.0)}


def key(frame, *, distance=-45.0, centre=(0, 10, 0), rotation=(0, 0, 0), curves=LINEAR, fov=30, orthographic=0):
    return struct.pack("<If3f3f24BIB", frame, distance, *centre, *rotation, *curves, fov, orthographic)


def motion_file(*keys, bones=0, tail=bytes(8)):
    name = "カメラ・照明".encode("shift_jis").ljust(20, b"\0")
    head = b"Vocaloid Motion Data 0002".ljust(30, b"\0") + name
    return (
        head + struct.pack("<I", bones) + bytes(111 * bones) + struct.pack("<II", 0, len(keys)) + b"".join(keys) + tail
    )


def parse(*keys):
    return parse_camera_track(motion_file(*keys), "clip.vmd")


def poses(track, *frames):
    return track_poses(sample_track(track, np.array(frames, float)))


def mmd(cam_to_world):
    """Right, up, forward and eye in MMD's axes."""
    flip = np.diag([1.0, -1, 1])
    axes = flip @ cam_to_world[:3, :3] @ flip
    return axes[:, 0], axes[:, 1], axes[:, 2], flip @ cam_to_world[:3, 3]


def test_the_default_camera():
    """Eye 45 before the target at height 10, level, looking into the scene."""
    track = parse_camera_track(test_data("vmd/mikumikudayo/デフォルトカメラ.vmd").read_bytes(), "デフォルトカメラ.vmd")
    assert track.frames.tolist() == [0]
    assert track.fov.tolist() == [30]
    right, up, forward, eye = mmd(poses(track, 0)[0])
    np.testing.assert_allclose([right, up, forward], np.eye(3), atol=1e-12)
    np.testing.assert_allclose(eye, [0, 10, -45])


def test_the_test_camera_by_hand():
    """Rotation (−π/2, π/2, π/4): Rz(−45°) turns right to (√½, −√½, 0), Rx(90°) tilts forward straight down, and
    Ry(−90°) turns about the vertical, which leaves forward alone. The eye is 45 above the target.
    """
    track = parse_camera_track(test_data("vmd/mikumikudayo/テスト用カメラ.vmd").read_bytes(), "テスト用カメラ.vmd")
    right, up, forward, eye = mmd(poses(track, 0)[0])
    half = np.sqrt(0.5)
    np.testing.assert_allclose(forward, [0, -1, 0], atol=1e-6)
    np.testing.assert_allclose(right, [half, 0, half], atol=1e-6)
    np.testing.assert_allclose(up, [-half, 0, half], atol=1e-6)
    np.testing.assert_allclose(eye, [0, 55, 0], atol=1e-4)


def test_a_general_key_by_hand():
    """Distance −30.5, centre (1, 2, 3), rotation (0.1, −0.2, 0.3): forward = Ry(0.2) · Rx(−0.1) · (0, 0, 1)
    = (cos 0.1 sin 0.2, sin 0.1, cos 0.1 cos 0.2) = (0.197677, 0.099833, 0.975170), eye = centre − 30.5 · forward.
    """
    track = parse_camera_track(test_data("vmd/mmd_anim_fixtures/simple_camera.vmd").read_bytes(), "simple_camera.vmd")
    assert track.frames.tolist() == [0, 45]
    assert track.fov.tolist() == [35, 60]
    assert track.orthographic.tolist() == [False, True]
    np.testing.assert_allclose(track.curves[0, 0] * 127, [20, 21, 22, 23])
    np.testing.assert_allclose(track.curves[1] * 127, np.repeat([[0] * 4, [127] * 4], 3, axis=0))
    right, _, forward, eye = mmd(poses(track, 0)[0])
    np.testing.assert_allclose(forward, [0.197677, 0.099833, 0.975170], atol=1e-6)
    np.testing.assert_allclose(eye, [-5.029148, -1.044919, -26.742696], atol=1e-5)
    # right = Ry(0.2) · Rx(−0.1) · (cos 0.3, −sin 0.3, 0), by hand: Rx gives (0.955336, −0.294044, 0.029503)
    np.testing.assert_allclose(right, [0.942155, -0.294044, -0.160880], atol=1e-5)


@pytest.mark.parametrize(
    ("rotation", "eye"),
    [
        ((-0.5, 0, 0), (0, 10 + 45 * np.sin(0.5), -45 * np.cos(0.5))),  # from above
        ((0, 0.5, 0), (45 * np.sin(0.5), 10, -45 * np.cos(0.5))),  # from the target's left, the viewer's right
        ((0, 0, 0.5), (0, 10, -45)),  # roll leaves the eye
    ],
)
def test_each_rotation_alone(rotation, eye):
    np.testing.assert_allclose(mmd(poses(parse(key(0, rotation=rotation)), 0)[0])[3], eye, atol=1e-5)


def test_the_target_lies_in_the_middle_of_the_picture():
    track = parse(key(0, rotation=(-0.4, 0.7, 0.2), centre=(3, 8, -2), distance=-20.0))
    seen = invert(poses(track, 0))[0] @ [3, -8, -2, 1]
    np.testing.assert_allclose(seen[:3], [0, 0, 20], atol=1e-5)


def test_curves_by_hand():
    """x1 = x2 = 0, y1 = y2 = 1: x = t³ and y = 1 − (1 − t)³, so y(0.125) = 0.875. The default curve is the diagonal."""
    assert bezier(np.array([0, 0, 1, 1.0]), np.array(0.125)) == pytest.approx(0.875, abs=1e-12)
    share = np.linspace(0, 1, 50)
    np.testing.assert_allclose(bezier(np.tile(np.array([20, 107, 20, 107]) / 127, (50, 1)), share), share, atol=1e-12)


@given(st.tuples(*[st.integers(0, 127)] * 4), st.floats(0, 1), st.floats(0, 1))
def test_curves_stay_between_and_rise(curve, a, b):
    curves = np.array(curve) / 127
    low, high = sorted([a, b])
    y = bezier(np.tile(curves, (4, 1)), np.array([0, low, high, 1]))
    assert (y[0], y[3]) == (0, 1)
    assert ((y >= 0) & (y <= 1)).all()
    assert y[2] >= y[1] - 1e-9


def test_each_channel_has_its_own_curve():
    """At an eighth of the way every channel is an eighth up, but the one whose curve is steep (seven eighths)."""
    for channel in range(6):
        curves = list(LINEAR)
        curves[4 * channel : 4 * channel + 4] = 0, 0, 127, 127  # 0.875 at an eighth
        end = key(80, distance=-1.0, centre=(8, 18, 8), rotation=(0.8, 0.8, 0.8), fov=110, curves=curves)
        sample = sample_track(parse(key(0, distance=-9.0), end), np.array([10.0]))
        shares = [*((sample.centre[0] - [0, 10, 0]) / 8), *sample.rotation[0] / 0.8, (sample.distance[0] + 9) / 8]
        shares.append((sample.fov[0] - 30) / 80)
        own = [channel] if channel < 3 else [3, 4, 5] if channel == 3 else [channel + 2]
        np.testing.assert_allclose(shares, [0.875 if i in own else 0.125 for i in range(8)], atol=1e-6)


def test_neighbouring_keys_are_a_cut():
    track = parse(key(0), key(10, centre=(0, 10, 10)), key(11, centre=(0, 50, 0)), key(21, centre=(0, 60, 0)))
    heights = sample_track(track, np.array([10, 10.5, 10.999, 11, 16, 500, -3])).centre[:, 1]
    np.testing.assert_allclose(heights, [10, 10, 10, 50, 55, 60, 10])


def test_keys_in_any_order_and_the_last_of_equals():
    track = parse(key(30, fov=50), key(0, fov=20), key(30, fov=40))
    assert track.frames.tolist() == [0, 30]
    assert track.fov.tolist() == [20, 40]


def test_video_times_meet_the_right_frames():
    """A video at 60 fps whose track starts 2 s in; rounding of times must not cross a cut."""
    track = parse(key(0, fov=20), key(60, fov=80), key(61, fov=30))
    times = 2 + np.arange(124) / 60
    lenses = track_cameras(track, times, offset_s=2.0, **SQUARE).intrinsics
    fov = 2 * np.degrees(np.arctan(768 / 2 / lenses[:, 1]))
    np.testing.assert_allclose(fov[:121], 20 + np.arange(121) / 2, atol=1e-9)
    np.testing.assert_allclose(fov[121:], [80, 30, 30], atol=1e-9)


def test_the_view_angle_spans_the_source_pictures_height():
    """fy = H/2 / tan(15°) for the picture's own height, whatever the crop; the middle stays the middle."""
    track = parse(key(0))
    lens = track_cameras(track, np.zeros(2), **SQUARE).intrinsics[0]
    np.testing.assert_allclose(lens, [384 / np.tan(np.radians(15)), 384 / np.tan(np.radians(15)), 383.5, 383.5])
    tall = track_cameras(track, np.zeros(2), size=(768, 768), source_size=(720, 1280), crop=(0, 280, 720, 720))
    np.testing.assert_allclose(tall.intrinsics[0, :2], 640 / np.tan(np.radians(15)) * 768 / 720)
    padded = track_cameras(track, np.zeros(2), size=(640, 640), source_size=(1280, 720), crop=(0, -280, 1280, 1280))
    np.testing.assert_allclose(padded.intrinsics[0], [*[180 / np.tan(np.radians(15))] * 2, 319.5, 319.5])


def test_status_says_what_the_track_does():
    times = np.arange(31) / 30
    static = track_cameras(parse(key(0), key(100)), times, **SQUARE)
    assert static.status == "static"
    assert (static.cam_to_world == np.eye(4)).all()
    zoom = track_cameras(parse(key(0), key(30, fov=60)), times, **SQUARE)
    assert zoom.status == "rotation"
    assert (zoom.cam_to_world[:, :3, 3] == 0).all()
    pan = track_cameras(parse(key(0, distance=0.0), key(30, distance=0.0, rotation=(0, 1, 0))), times, **SQUARE)
    assert pan.status == "rotation"
    orbit = track_cameras(parse(key(0), key(30, rotation=(0, 1, 0))), times, **SQUARE)
    assert orbit.status == "moving"
    assert orbit.focal_source == "track"
    np.testing.assert_array_equal(orbit.cam_to_world[0], np.eye(4))
    np.testing.assert_allclose(np.linalg.norm(orbit.cam_to_world[30, :3, 3]), 2 * 45 * np.sin(0.5), atol=1e-5)
    assert orbit.cam_to_world[30, 0, 3] > 0  # ry > 0 takes the eye to the viewer's right
    assert len(orbit.sparse) == 31


def test_orthographic_cameras_are_refused_only_where_the_clip_shows_them():
    track = parse(key(0), key(30), key(60, orthographic=1))
    assert track_cameras(track, np.arange(30) / 30, **SQUARE).status == "static"
    with pytest.raises(VmdError, match=r"clip.vmd: the camera is orthographic at 2\.00 s"):
        track_cameras(track, np.array([0.0, 2.0]), **SQUARE)


def test_the_zoom_shot_of_the_real_render():
    """The render's second shot has keys at its first and last frame: its field of view is the linear curve between
    them, and with the eye's path as centre the relative poses are the truth's.
    """
    truth = np.load(test_data("mmd_shots/ground_truth.npz"))
    shot = slice(84, 169)
    eyes = truth["c2w"][shot][[0, -1], :3, 3] * [1, 1, -1]  # that file's world is MMD's with z turned round
    track = parse(
        key(84, distance=0.0, centre=eyes[0], fov=round(truth["fov_deg_vertical"][84])),
        key(168, distance=0.0, centre=eyes[1], fov=round(truth["fov_deg_vertical"][168])),
    )
    whole = (0.0, 0.0, 512.0, 512.0)
    found = track_cameras(track, np.arange(84, 169) / 30, size=(512, 512), source_size=(512, 512), crop=whole)
    np.testing.assert_allclose(found.intrinsics, intrinsics_vector(truth["K"][shot]), rtol=1e-6)
    np.testing.assert_allclose(found.cam_to_world, relative_to_first(truth["c2w"][shot]), atol=1e-4)
    points = (truth["w2c"][84] @ [*truth["kp3d_world"][84, 0], 1])[:3]  # a bone, seen where the truth says
    np.testing.assert_allclose(project(points, found.intrinsics[0])[0], truth["kp2d"][84, 0], atol=1e-4)


@pytest.mark.parametrize(
    "relative",
    [
        "babylon_mmd/physics_toggle_test_yyb10th.vmd", "babylon_mmd/physics_toggle_test_v2_yyb10th.vmd",
        "mikumikudayo/ひこうき.vmd", "mikumikudayo/座標軸.vmd", "unity_mmd_loader/mmt_test_model_test_motion.vmd",
        "unity_mmd_loader/test_vertex_morph_motion.vmd", "mmd_anim_fixtures/ik_multi_bone_nondefault.vmd",
    ],
)  # fmt: skip
def test_motions_without_a_camera_say_so(relative):
    path = test_data("vmd") / relative
    with pytest.raises(VmdError, match=r"holds no camera key .*the file that was saved with the camera") as caught:
        parse_camera_track(path.read_bytes(), path.name)
    assert path.name in str(caught.value)


def test_the_malformed_file_is_refused():
    data = test_data("vmd/malformed_vmd/joint_orient_test.vmd").read_bytes()
    with pytest.raises(VmdError, match="not a motion file"):
        parse_camera_track(data, "joint_orient_test.vmd")


def test_names_are_shift_jis():
    with pytest.raises(VmdError, match="カメラ・照明"):
        parse_camera_track(motion_file(), "empty.vmd")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a motion file"),
        (b"RIFF" + bytes(100), "not a motion file"),
        (b"Vocaloid Motion Data file".ljust(60, b"\0"), "not a motion file"),
        (motion_file(key(0))[:40], "truncated in the header"),
        (motion_file(key(0))[:50], "truncated before the bone keys"),
        (motion_file(key(0))[:56], "truncated before the morph keys"),
        (motion_file(key(0))[:60], "truncated before the camera keys"),
        (motion_file(key(0), key(5))[:150], "says 2 camera keys at byte 58, which need 122 bytes, but 88 are left"),
        (motion_file(key(0), tail=b"\0"), "truncated before the light keys"),
        (motion_file(key(0), tail=struct.pack("<I", 4_000_000_000)), "says 4000000000 light keys"),
        (motion_file(key(0))[:50] + struct.pack("<I", 2**32 - 1), "says 4294967295 bone keys"),
        (motion_file(key(0, fov=0)), "at frame 0 has a view angle outside"),
        (motion_file(key(7, distance=float("nan"))), "at frame 7 has a number that is not finite"),
        (motion_file(key(3, curves=(200,) * 24)), "at frame 3 has an interpolation byte above 127"),
    ],
)
def test_broken_files_say_what_is_broken(data, message):
    with pytest.raises(VmdError, match=message) as caught:
        parse_camera_track(data, "broken.vmd")
    assert str(caught.value).startswith("broken.vmd: ")


@settings(max_examples=200)
@given(st.data())
def test_no_bytes_crash_the_parser(data):
    """Truncated, changed and random files give a track or a VmdError, nothing else."""
    whole = motion_file(key(0), key(20, fov=50, rotation=(0.1, 2, 3)), key(21), bones=1)
    kind = data.draw(st.sampled_from(["cut", "change", "random", "tail"]))
    if kind == "cut":
        raw = whole[: data.draw(st.integers(0, len(whole)))]
    elif kind == "change":
        changed = bytearray(whole)
        for _ in range(data.draw(st.integers(1, 8))):
            changed[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
        raw = bytes(changed)
    elif kind == "random":
        raw = data.draw(st.binary(max_size=300))
    else:
        raw = whole[:50] + data.draw(st.binary(max_size=400))
    try:
        track = parse_camera_track(raw, "fuzz.vmd")
    except VmdError as error:
        message = str(error)
    else:
        message = ""
    if message:
        assert message.startswith("fuzz.vmd: ")
        return
    assert len(track.frames) > 0
    assert (np.diff(track.frames) > 0).all()
    try:
        cameras = track_cameras(track, np.arange(40) / 30, **SQUARE)
    except VmdError:
        assert track.orthographic.any()
        return
    assert np.isfinite(cameras.cam_to_world).all()
    assert np.isfinite(cameras.intrinsics).all()
