"""Moving cameras: hypotheses compete, the best is refined, and the evidence decides whether it is believed."""

from dataclasses import dataclass, replace

import numpy as np

from extractors.camera.choose import Evidence, disagreement, focal_deviation, weigh
from extractors.camera.sfm import Mapper, NoModelError, Solution, Solver, SolverError
from extractors.camera.tracks import Tracks
from extractors.protocols import ExtractionError

FOCAL_OBSERVED = 0.05
"""Standard deviation of the log focal length up to which a reconstruction's focal length is taken for a measurement."""
KEYFRAMES = 8
"""Keyframes that a clip has at least, if it has the frames."""
LIKELIER = 1.1
"""Ratio of losses up to which the likeliest focal length is preferred to a free one."""
ZOOM_RANGE = 0.02
ZOOM_FREEDOMS = 6
"""What a smooth zoom is taken to add to the unknowns, in the Bayesian information criterion that must favour it."""


@dataclass(frozen=True)
class Rival:
    """A hypothesis that ended in cameras. observed: its focal length is measured (else it is the assumed or given
    one). deviation: standard deviation of the log focal length before anything was assumed.
    """

    solution: Solution
    evidence: Evidence
    observed: bool
    deviation: float


@dataclass(frozen=True)
class Found:
    """What a search ended with. best: the best reconstruction, None where none convinces or is confirmed by another.
    tried: hypotheses run; killed: those of them that ran out of time or died; believable: those that ended so. apart:
    largest difference of rotation, in degrees, from the best to the second best, NaN if there is none.
    """

    best: Rival | None
    tried: int
    killed: int
    believable: int = 0
    apart: float = float("nan")


@dataclass(frozen=True)
class Search:
    """solver: runs the jobs. focal: assumed or known focal length in working pixels. known: it is known. key_step:
    frames from one keyframe of the mappers to the next, fewer in short clips. zoom: focal length of each frame over
    that of the first, as a turning camera would explain the clip (a further hypothesis), or None.
    """

    solver: Solver
    focal: float
    known: bool
    key_step: int
    zoom: np.ndarray | None

    def run(self, tracks: Tracks) -> Found:
        """The best believable reconstruction of the tracks. Raises ExtractionError where the solver's process died in
        every attempt: that says nothing about the clip.
        """
        rivals = list[Rival]()
        deaths = list[SolverError]()
        tried, sure = 0, False
        for mapper, factor, undo_zoom in self._plan():
            tried += 1
            try:
                rivals.append(self._hypothesis(tracks, mapper, factor, undo_zoom))
            except NoModelError:
                continue
            except SolverError as death:
                deaths.append(death)
                continue
            if sure := rivals[-1].evidence.convincing or _agree(rivals):
                break
        if len(deaths) == tried:
            raise ExtractionError(f"structure from motion could not run in any of {tried} attempts ({deaths[-1]})")
        rivals = sorted((r for r in rivals if r.evidence.believable), key=lambda rival: rival.evidence.loss)
        if not rivals or not sure:
            # Hypotheses that end each somewhere else, all half explaining the clip, know nothing.
            return Found(None, tried, len(deaths), len(rivals))
        best = rivals[0]
        if _flat(best.solution):
            tried += 1
            best = self._or_mirrored(best)
        if best.observed:
            best = self._with_zoom(best)
            if best.deviation > FOCAL_OBSERVED:
                best = self._likelier(best)
        apart = disagreement(rivals[1].solution, best.solution)[0] if len(rivals) > 1 else float("nan")
        return Found(best if best.evidence.believable else None, tried, len(deaths), len(rivals), apart)

    def _plan(self) -> list[tuple[Mapper, float, bool]]:
        """(mapper, focal length over the assumed one, undo the zoom first), the likeliest first."""
        plan: list[tuple[Mapper, float, bool]] = [("global", 1.0, False), ("incremental", 1.0, False)]
        if self.zoom is not None:
            plan += [("global", 1.0, True), ("incremental", 1.0, True)]
        if not self.known:
            plan += [("global", 0.5, False), ("incremental", 0.5, False), ("global", 2.0, False)]
        return plan

    def _hypothesis(self, tracks: Tracks, mapper: Mapper, factor: float, undo_zoom: bool) -> Rival:
        keys = self._keys(tracks)
        zoom = self.zoom if undo_zoom and self.zoom is not None else np.ones(len(tracks.xy))
        steadied = without_zoom(tracks, zoom)
        solution = self.solver.map(steadied, keys, mapper, self.focal * factor, fix_focal=self.known)
        deviation = focal_deviation(solution)
        observed = not self.known and deviation < FOCAL_OBSERVED
        if not observed and not self.known:
            # Any focal length explains the clip (a camera that does not turn): the likeliest one does it, too.
            fixed = self.solver.map(steadied, keys, mapper, self.focal, fix_focal=True)
            if weigh(fixed).loss < LIKELIER * weigh(solution).loss:
                solution = fixed
            else:
                observed = True
        solution = replace(solution, tracks=tracks, focal=solution.focal * zoom)
        return Rival(solution, weigh(solution), observed, deviation)

    def _likelier(self, best: Rival) -> Rival:
        """The likeliest focal length with a zoom, if that explains the clip as well: a zoom seen with next to no turn
        is also explained by an absurd focal length.
        """
        tracks = best.solution.tracks
        try:
            fixed = self.solver.map(tracks, self._keys(tracks), "global", self.focal, fix_focal=True)
            free = self.solver.refine(fixed, "free zoom", free_zoom=True)
            profile = smooth_focal(free.focal)
            profile /= profile[0]
            start = replace(free, tracks=without_zoom(tracks, profile), focal=fixed.focal)
            solution = self.solver.refine(start, "likelier", fix_focal=True)
        except SolverError:
            return best
        solution = replace(solution, tracks=tracks, focal=solution.focal * profile)
        evidence = weigh(solution)
        as_good = evidence.believable and evidence.loss < LIKELIER * best.evidence.loss
        return Rival(solution, evidence, False, best.deviation) if as_good else best

    def _keys(self, tracks: Tracks) -> np.ndarray:
        """Frames that the mappers place. A short clip moves far from frame to frame, and has none to spare."""
        last = len(tracks.xy) - 1
        return np.unique(np.r_[np.arange(0, last, max(1, min(self.key_step, last // KEYFRAMES))), last])

    def _or_mirrored(self, best: Rival) -> Rival:
        try:
            solution = self.solver.refine(mirror(best.solution), "mirrored", fix_focal=not best.observed)
        except SolverError:
            return best
        evidence = weigh(solution)
        better = evidence.believable and evidence.loss < best.evidence.loss
        return replace(best, solution=solution, evidence=evidence) if better else best

    def _with_zoom(self, best: Rival) -> Rival:
        """With a smoothly changing focal length, if that explains the clip clearly better; else refined as it is."""
        try:
            free = self.solver.refine(best.solution, "free zoom", free_zoom=True)
            smooth = smooth_focal(free.focal)
            profile = smooth / smooth[0]
            if np.ptp(np.log(smooth)) < ZOOM_RANGE or not _zoom_pays(best.solution, free):
                free, profile = best.solution, np.ones_like(smooth)
            start = replace(free, tracks=without_zoom(free.tracks, profile), focal=free.focal / profile)
            solution = self.solver.refine(start, best.solution.name)
        except SolverError:
            return best
        solution = replace(solution, tracks=best.solution.tracks, focal=solution.focal * profile)
        return replace(best, solution=solution, evidence=weigh(solution))


def _zoom_pays(constant: Solution, free: Solution) -> bool:
    """Bayesian information criterion, Gaussian errors. A track counts as one measurement of two coordinates, since its
    errors from frame to frame are anything but independent.
    """
    tracks = int((free.used.sum(axis=0) >= 5).sum())
    gain = 2 * tracks * np.log(weigh(constant).error / weigh(free).error)
    return bool(gain > ZOOM_FREEDOMS * np.log(max(tracks, 2)))


def _agree(rivals: list[Rival]) -> bool:
    """The last hypothesis ended where an earlier one did, and both are believable."""
    last = rivals[-1]
    for other in rivals[:-1]:
        if not (last.evidence.believable and other.evidence.believable):
            continue
        turn, shift = disagreement(last.solution, other.solution)
        if turn < 1 and shift < 0.03 and abs(np.log(last.evidence.loss / other.evidence.loss)) < 0.1:
            return True
    return False


def _flat(solution: Solution) -> bool:
    """The scene is shallow for its distance, so that its perspective may not tell it from its mirror image."""
    depth = solution.in_cameras()[..., 2][solution.used]
    low, middle, high = np.quantile(depth, (0.1, 0.5, 0.9))
    return bool(high - low < 0.25 * middle)


def without_zoom(tracks: Tracks, zoom: np.ndarray) -> Tracks:
    """The tracks as a camera of constant focal length would have seen them; zoom [L]: focal length over the first."""
    return replace(tracks, xy=(tracks.xy - tracks.centre) / zoom[:, None, None] + tracks.centre)


def smooth_focal(focal: np.ndarray) -> np.ndarray:
    """Focal lengths [L] with the noise taken out: a smoothing spline through their logarithms, strength by
    generalised cross-validation.
    """
    from scipy.interpolate import make_smoothing_spline  # slow to load: not for commands that only read settings

    if len(focal) < 5:
        return np.full_like(focal, np.median(focal))
    frames = np.arange(len(focal), dtype=float)
    return np.exp(make_smoothing_spline(frames, np.log(focal))(frames))


def mirror(solution: Solution) -> Solution:
    """The depth-reversed twin: under weak perspective the scene turned inside out, with all rotations reversed, gives
    nearly the same pictures (Necker reversal).
    """
    flip = np.diag([1.0, 1.0, -1.0])
    first = solution.world_to_cam[0]
    points = solution.points @ first[:3, :3].T + first[:3, 3]
    middle = np.nanmedian(points, axis=0)
    relative = solution.world_to_cam @ np.linalg.inv(first)
    poses = np.tile(np.eye(4), (len(relative), 1, 1))
    poses[:, :3, :3] = flip @ relative[:, :3, :3] @ flip
    # Where the middle of the scene is in each camera stays as it was.
    where = relative[:, :3, :3] @ middle + relative[:, :3, 3]
    poses[:, :3, 3] = where - poses[:, :3, :3] @ middle
    return replace(solution, world_to_cam=poses)
