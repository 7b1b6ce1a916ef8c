"""Which of several reconstructions is believed."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from extractors.camera.choose import weigh
from extractors.camera.search import Mapper, Rival, Search
from extractors.camera.sfm import NoModelError, Solution, Solver, SolverError
from extractors.camera.tracks import Tracks
from extractors.geometry.rigid import invert
from tests.extractors.camera.scenes import path, room
from tests.extractors.camera.test_choose import exact

SOLVED = exact(path(20, np.array([2.0, 0, 0]), np.array([0, -0.3, 0])), room(200, 2), 400.0)


@dataclass(frozen=True)
class Prepared(Search):
    """A search whose hypotheses end in given solutions, in no model (None), or killed."""

    answers: tuple[Solution | Literal["killed"] | None, ...] = ()

    def _hypothesis(self, tracks: Tracks, mapper: Mapper, factor: float, undo_zoom: bool) -> Rival:
        number = [(m, f, z) for m, f, z in self._plan()].index((mapper, factor, undo_zoom))
        answer = self.answers[number] if number < len(self.answers) else None
        if isinstance(answer, str):
            raise SolverError("out of time")
        if answer is None:
            raise NoModelError("none")
        return Rival(answer, weigh(answer), False, 0.0)


def search(*answers: Solution | Literal["killed"] | None) -> Prepared:
    solver = Solver(noise=0.5, cpu_s=5, hang_s=5.0)
    return Prepared(solver, focal=400.0, known=False, key_step=3, zoom=None, answers=answers)


def half(solution: Solution, turn: float = 0.0) -> Solution:
    """A solution that explains two thirds of the tracks, with a wrong rotation of `turn` radians at its end."""
    used = solution.used.copy()
    used[:, ::3] = False
    wrong = path(20, np.zeros(3), np.array([0, turn, 0]))
    poses = invert(solution.cam_to_world @ wrong)
    return replace(solution, used=used, world_to_cam=poses)


def test_one_that_convinces_is_enough() -> None:
    found = search(SOLVED, half(SOLVED)).run(SOLVED.tracks)
    assert found.best is not None
    assert (found.tried, found.killed, found.believable) == (1, 0, 1)


def test_two_that_agree_are_enough() -> None:
    found = search(half(SOLVED), None, half(SOLVED)).run(SOLVED.tracks)
    assert found.best is not None
    assert (found.tried, found.believable) == (3, 2)
    assert found.apart < 0.01


def test_hypotheses_that_ran_out_of_time_are_counted() -> None:
    """On another machine they might have won, so the figures say that there were some."""
    assert search("killed", SOLVED).run(SOLVED.tracks).killed == 1
    lost = search("killed", half(SOLVED)).run(SOLVED.tracks)
    assert (lost.best, lost.killed) == (None, 1)


def test_half_a_solution_alone_is_not_believed() -> None:
    assert weigh(half(SOLVED)).believable
    assert search(half(SOLVED)).run(SOLVED.tracks).best is None


def test_half_solutions_that_disagree_are_not_believed() -> None:
    answers = [half(SOLVED), half(SOLVED, 0.2), half(SOLVED, -0.2)]
    assert all(weigh(answer).believable for answer in answers)
    assert search(*answers).run(SOLVED.tracks).best is None
