"""Cuts in made scenes whose cuts are known: textured stages under moving cameras, flashes, fades, low frame rates."""

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from stages.video.cuts import SIZE, CutConfig, detect, is_repeat, standing_out


def stage_of(seed: int) -> np.ndarray:
    """A textured stage, uint8 [4·SIZE, 4·SIZE, 3], of its own colours."""
    rng = np.random.default_rng(seed)
    layers = [
        cv2.resize(rng.normal(0, 1, (n, n, 3)).astype(np.float32), (4 * SIZE, 4 * SIZE), interpolation=cv2.INTER_CUBIC)
        for n in (6, 24, 96)
    ]
    texture = sum(weight * layer for weight, layer in zip((40, 25, 12), layers, strict=True))
    return np.clip(rng.uniform(60, 190, 3) + texture, 0, 255).astype(np.uint8)


def shot(
    seed: int, frames: int, *, pan: float = 2.0, turn: float = 0.3, zoom: float = 1.002, dance: float = 8.0
) -> np.ndarray:
    """A camera that pans (pixels a frame), turns (degrees) and zooms before a stage, and a dancer that jumps about."""
    rng = np.random.default_rng(seed)
    world = stage_of(seed)
    heading = rng.uniform(0, 2 * np.pi)
    pictures = []
    for i in range(frames):
        matrix = cv2.getRotationMatrix2D((2.0 * SIZE, 2.0 * SIZE), turn * i, zoom**i)
        matrix[:, 2] += -1.5 * SIZE + pan * (i - frames / 2) * np.array([np.cos(heading), np.sin(heading)])
        picture = cv2.warpAffine(world, matrix, (SIZE, SIZE), borderMode=cv2.BORDER_REFLECT)
        x = int(SIZE / 2 + dance * np.sin(0.9 * i) + dance * np.sin(0.31 * i + seed))
        y = int(SIZE / 2 + dance * np.cos(0.7 * i))
        cv2.ellipse(picture, (x, y), (14, 34), 6.0 * i % 180, 0, 360, (200, 40, 220), -1)
        cv2.circle(picture, (x, y - 36), 10, (230, 220, 240), -1)
        pictures.append(picture)
    return np.stack(pictures)


def cuts_in(video: np.ndarray) -> tuple[int, ...]:
    return detect(iter(video), CutConfig()).cuts


@settings(max_examples=25, derandomize=True, phases=(Phase.explicit, Phase.generate))
@given(
    st.lists(
        st.tuples(st.integers(15, 40), st.floats(0, 7), st.floats(-2, 2), st.floats(0.985, 1.015), st.floats(0, 12)),
        min_size=1,
        max_size=5,
    ),
    st.integers(0, 10_000),
)
def test_every_cut_between_moving_shots_and_none_inside_them(shots: list[tuple], seed: int) -> None:
    parts = [
        shot(seed + 17 * i, frames, pan=pan, turn=turn, zoom=zoom, dance=dance)
        for i, (frames, pan, turn, zoom, dance) in enumerate(shots)
    ]
    expected = tuple(int(n) for n in np.cumsum([len(part) for part in parts])[:-1])
    assert cuts_in(np.concatenate(parts)) == expected


@pytest.mark.parametrize("length", [1, 2, 3])
@pytest.mark.parametrize("colour", [0, 255])
def test_flashes_do_not_cut(length: int, colour: int) -> None:
    video = shot(3, 60)
    video[30 : 30 + length] = colour
    assert cuts_in(video) == ()


def test_a_flash_on_a_cut_leaves_the_cut() -> None:
    video = np.concatenate([shot(1, 30), np.full((1, SIZE, SIZE, 3), 255, np.uint8), shot(2, 30)])
    assert len(cuts_in(video)) == 1
    assert cuts_in(video)[0] in (30, 31)


def test_a_fade_through_black_ends_the_shot_where_the_black_begins_and_ends() -> None:
    down = np.linspace(1, 0, 20)[:, None, None, None]
    first, second = shot(1, 50).astype(float), shot(2, 50).astype(float)
    first[-20:] *= down
    second[:20] *= down[::-1]
    black = np.zeros((6, SIZE, SIZE, 3))
    video = np.concatenate([first, black, second]).astype(np.uint8)
    dark = np.flatnonzero(video.reshape(len(video), -1).max(axis=1) < 40)
    assert cuts_in(video) == (dark[0], dark[-1] + 1)


@pytest.mark.parametrize("hold", [2, 3, 4])
def test_animation_drawn_on_twos_threes_or_fours_has_no_cut(hold: int) -> None:
    video = np.repeat(shot(5, 90 // hold, pan=3.0 * hold, dance=10), hold, axis=0)
    assert cuts_in(video) == ()
    repeated = detect(iter(video), CutConfig()).repeated
    np.testing.assert_array_equal(repeated, [i % hold != 0 for i in range(len(video))])


def test_a_whip_pan_is_no_cut() -> None:
    world = np.concatenate([stage_of(8), stage_of(8)[:, ::-1]], axis=1)
    steps = np.concatenate([np.full(25, 1.0), np.linspace(2, 30, 8), np.linspace(30, 2, 8), np.full(25, 1.0)])
    places = np.cumsum(steps)
    video = np.stack([world[100 : 100 + SIZE, int(x) : int(x) + SIZE] for x in places])
    assert cuts_in(video) == ()


def test_the_same_stage_from_another_place_is_a_cut() -> None:
    world = stage_of(4)
    first = np.stack([world[100:228, 40 + i : 168 + i] for i in range(40)])
    second = np.stack([world[130:258, 300 + i : 428 + i] for i in range(40)])
    assert cuts_in(np.concatenate([first, second])) == (40,)


def test_cuts_between_still_pictures() -> None:
    stills = [np.repeat(shot(seed, 1), length, axis=0) for seed, length in ((1, 40), (2, 20), (1, 30), (3, 16))]
    assert cuts_in(np.concatenate(stills)) == (40, 60, 90)


def test_a_leap_of_the_character_is_no_cut() -> None:
    video = shot(6, 50, pan=0, turn=0, zoom=1, dance=2)
    video[25:] = shot(6, 50, pan=0, turn=0, zoom=1, dance=40)[25:]
    assert cuts_in(video) == ()


def test_streams_of_no_and_one_frame() -> None:
    empty: Iterator[np.ndarray] = iter(())
    assert detect(empty, CutConfig()).count == 0
    single = detect(iter(shot(1, 1)), CutConfig())
    assert (single.count, single.cuts) == (1, ())


def test_the_head_of_a_result_forgets_what_comes_after() -> None:
    result = detect(iter(np.concatenate([shot(1, 20), shot(2, 20), shot(3, 20)])), CutConfig())
    head = result.head(40)
    assert (head.count, head.cuts, len(head.repeated), len(head.scores)) == (40, (20,), 40, 1)


def test_coding_noise_is_a_repetition_and_a_blink_is_not() -> None:
    rng = np.random.default_rng(0)
    picture = shot(1, 1)[0]
    noisy = np.clip(picture + rng.normal(0, 0.7, picture.shape), 0, 255).round().astype(np.uint8)
    assert is_repeat(picture, noisy, 1.0)
    blink = picture.copy()
    blink[60:64, 60:66] ^= 0x40
    assert not is_repeat(picture, blink, 1.0)


def test_a_difference_is_measured_by_its_surroundings() -> None:
    # By hand: the neighbours of place 3 are 4, 6, 5 and 8; the second largest is 6.
    assert standing_out([0.0, 4.0, 6.0, 30.0, 5.0, 8.0], 3, 7) == pytest.approx(5.0)
    assert standing_out([0.0, 0.0, 12.0, 0.0], 2, 7) == pytest.approx(12.0)
