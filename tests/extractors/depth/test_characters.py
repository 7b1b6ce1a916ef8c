import numpy as np

from extractors.depth.characters import fill_characters, triangulate_place
from extractors.geometry.cameras import cell_centres, unproject
from pipeline.demo.camera import orbit, pan
from pipeline.demo.character import Character
from pipeline.demo.scene import hall
from pipeline.demo.shot import render_shot

CENTRE = (0.0, 0.95, 0.0)


def _floor(height: int = 60, width: int = 40) -> np.ndarray:
    """A wall at 0.1 down to row 30, below it a floor that comes nearer row by row."""
    column = np.concatenate([np.full(30, 0.1), 0.1 + 0.01 * np.arange(height - 30)])
    return np.repeat(column[:, None], width, 1).astype(np.float32)


def test_who_stands_on_the_floor_takes_the_depth_under_the_feet() -> None:
    scene, free = _floor(), np.ones((60, 40), bool)
    free[15:45, 15:25] = False
    result, source = fill_characters(scene, free, None)
    assert source == "ground"
    assert np.ptp(result[~free]) == 0
    assert abs(result[20, 20] - scene[45, 20]) < 0.025
    assert np.array_equal(result[free], scene[free])


def test_who_is_cut_off_takes_the_place_known_otherwise_and_else_the_surroundings() -> None:
    scene, free = np.full((60, 40), 0.1, np.float32), np.ones((60, 40), bool)
    free[15:, 15:25] = False
    scene[15:, 10:12] = 0.15
    result, source = fill_characters(scene, free, 0.3)
    assert (source, float(result[30, 20])) == ("place", np.float32(0.3))
    result, source = fill_characters(scene, free, 0.01)
    assert result[30, 20] >= 0.1  # never behind the scene around it
    result, source = fill_characters(scene, free, None)
    assert source == "surroundings"
    assert 0.1 <= result[30, 20] <= 0.15


def test_two_people_stand_where_they_stand_and_a_loose_hand_goes_with_its_owner() -> None:
    scene, free = _floor(), np.ones((60, 40), bool)
    free[15:40, 5:11] = False
    free[20:50, 25:32] = False
    free[18:20, 15:17] = False  # a hand
    result, _ = fill_characters(scene, free, None)
    assert result[20, 7] < result[30, 28]
    assert result[19, 16] == result[30, 28]


def test_a_picture_without_scene_is_left_alone() -> None:
    result, source = fill_characters(np.ones((4, 4), np.float32), np.zeros((4, 4), bool), None)
    assert source == "none"
    assert np.array_equal(result, np.ones((4, 4)))


def test_a_dancer_is_placed_by_an_orbit_and_not_by_a_pan() -> None:
    size = (96, 96)
    for camera, solvable in (
        (orbit(12, centre=CENTRE, radius=3.0, height=1.3, degrees=60, start=-30), True),
        (pan(12, eye=(0, 1.2, 3.0), start=(-5, 0), end=(5, 0)), False),
    ):
        _, truth = render_shot(camera, hall(), Character(), size=size, oversampling=1)
        lenses = np.stack([truth.K[:, 0, 0], truth.K[:, 1, 1], truth.K[:, 0, 2], truth.K[:, 1, 2]], 1)
        rays = unproject(cell_centres(size, size), 1.0, lenses[:, None, None])
        place = triangulate_place(truth.mask, rays, truth.cam_to_world)
        assert (place is not None) == solvable
        if place is not None:
            body = truth.keypoints_world[:, [5, 6, 11, 12]].mean((0, 1))
            assert np.linalg.norm(place[[0, 2]] - body[[0, 2]]) < 0.15
