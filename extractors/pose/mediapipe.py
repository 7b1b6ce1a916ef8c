"""The embedded pose backend: MediaPipe's networks, decoded here, read many times over and tracked through the clip."""

from typing import Literal

import numpy as np
from pydantic import Field

from extractors.pose.details import FaceReader, missing, read_hands
from extractors.pose.figures import pose_figures
from extractors.pose.fuse import Consensus, path
from extractors.pose.layout import BODY_FROM_POSE
from extractors.pose.masks import MaskPlan, character_mask
from extractors.pose.mediapipe_files import WHEEL_VARIABLE, ensure_files, have_files, pinned_digest
from extractors.pose.networks import POSE_DETECTOR, Detector, HandLandmarker, PoseLandmarker
from extractors.pose.readings import Reader, Reading
from extractors.pose.smooth import smooth
from extractors.pose.track import SearchPlan, read_clip
from extractors.protocols import PoseResult
from schemas.artifacts.header import finite_quality
from schemas.artifacts.pose import PoseArtifact
from schemas.config import BackendConfig, Problem

_BODY = list(BODY_FROM_POSE)


class MediaPipeConfig(BackendConfig):
    """MediaPipe's networks on the CPU: no GPU, no weights to find; drawn characters are read fairly, people well."""

    backend: Literal["mediapipe"] = "mediapipe"
    search_every: int = Field(12, ge=1, description="Frames between searches while nobody is followed.")
    search_again: int = Field(48, ge=1, description="Frames between searches while somebody is followed.")
    search_sides: tuple[float, ...] = Field(
        (0.45, 0.7, 1.1, 1.7),
        description="Sides of the regions that a search tries blindly, as shares of the frame's shorter side.",
    )
    search_step: float = Field(0.4, gt=0.05, le=1, description="Distance of those regions as a share of their side.")
    finalists: int = Field(3, ge=1, le=10, description="Candidates of a search that are read closer.")
    detector_score: float = Field(0.2, gt=0, lt=1, description="Lowest score of a detection that is followed up.")
    person_support: float = Field(
        0.35, gt=0, lt=1, description="Agreement of readings from which a person is believed to be there."
    )
    lost_support: float = Field(0.28, gt=0, lt=1, description="Agreement below which a followed person is lost.")
    shortest_run: int = Field(5, ge=1, description="Frames in a row that a person must be seen to be believed.")
    joint_score: float = Field(0.25, ge=0, lt=1, description="Joints below this score are given as missing.")
    face_score: float = Field(0.5, ge=0, lt=1, description="Faces below this score are given as missing.")
    hand_score: float = Field(0.5, ge=0, lt=1, description="Hands below this score are given as missing.")
    smoothing: int = Field(2, ge=0, le=15, description="Frames on either side that smooth a joint's track; 0: none.")
    mask_side: int = Field(256, ge=32, le=1024, description="Longer side of the character mask in cells.")
    mask_threshold: float = Field(0.4, gt=0, lt=1, description="Probability from which a cell is the character's.")
    mask_carry: bool = Field(
        True, description="Carry the mask by colour into frames of the clip where the person was not found."
    )
    mask_margin: float = Field(0.008, ge=0, lt=0.2, description="Growth of the mask as a share of its longer side.")

    def weights_digest(self) -> str:
        """The digest of the pinned files: known without having them, so planning needs no download."""
        return pinned_digest()

    def problem(self) -> Problem | None:
        from importlib.util import find_spec

        if find_spec("ai_edge_litert") is None:
            return Problem(cause="ai-edge-litert is not installed", remedy="pip install 'mikudance[pipeline]'")
        if not have_files() and find_spec("pip") is None:
            return Problem(
                cause="the pose networks are not here yet, and this Python has no pip to fetch them with",
                remedy=f"python -m ensurepip, or set {WHEEL_VARIABLE} to a wheel of mediapipe 0.10.21",
            )
        return None

    def build(self) -> "MediaPipePose":
        return MediaPipePose(self)


class MediaPipePose:
    """See `PoseExtractor`. One instance of body, face and hands: the main character; a person lost and found again is
    taken for the same one.
    """

    def __init__(self, config: MediaPipeConfig) -> None:
        files = ensure_files()
        self._config = config
        self._plan = SearchPlan(
            every=config.search_every,
            again=config.search_again,
            detect=config.detector_score,
            sides=config.search_sides,
            step=config.search_step,
            finalists=config.finalists,
            support=config.person_support,
            lost=config.lost_support,
            shortest=config.shortest_run,
        )
        self._detector = Detector(files["pose_detection"], POSE_DETECTOR)
        self._landmarker = PoseLandmarker(files["pose_landmark_full"])
        self._faces = FaceReader.load(files)
        self._hands = HandLandmarker(files["hand_recrop"], files["hand_landmark_full"])

    def __call__(self, frames: np.ndarray, *, fps: float, seed: int) -> PoseResult:
        """Deterministic; fps and seed change nothing."""
        length, height, width = frames.shape[:3]
        scale = min(1.0, self._config.mask_side / max(width, height))
        reader = Reader(self._landmarker, frames, (max(1, round(width * scale)), max(1, round(height * scale))))
        pool = read_clip(reader, self._detector, self._plan)
        found = motion(pool, self._config.smoothing)
        if not any(found):
            return PoseResult(empty(length, reader.grid), "no_person", finite_quality(persons=0, person_frames=0.0))
        body = np.stack([self._body(c, reader.size) if c else missing(17) for c in found])
        face, hands = self._details(frames, found)
        plan = MaskPlan(
            threshold=self._config.mask_threshold,
            joint_score=self._config.joint_score,
            margin=round(self._config.mask_margin * max(reader.grid)),
            carry=self._config.mask_carry,
        )
        mask, carried = character_mask(frames, pool, body, plan)
        pose = PoseArtifact(
            body[:, None].astype(np.float32), face[:, None].astype(np.float32), hands.astype(np.float32), mask
        )
        return PoseResult(pose, "ok", measure(pose, found, carried))

    def _body(self, found: Consensus, size: tuple[int, int]) -> np.ndarray:
        """[17, 3]; joints that are unsure or outside the frame are missing."""
        points, score = found.points[_BODY], found.confidence[_BODY]
        inside = (points >= -0.5).all(-1) & (points < np.array(size) - 0.5).all(-1)
        keep = inside & (score >= self._config.joint_score)
        return np.where(keep[:, None], np.column_stack([points, score]), missing(17))

    def _details(self, frames: np.ndarray, found: list[Consensus | None]) -> tuple[np.ndarray, np.ndarray]:
        """Face [L, 68, 3] and hands [L, 2, 21, 3]."""
        self._faces.last = None
        face = np.stack([missing(68)] * len(frames))
        hands = np.stack([np.stack([missing(21)] * 2)] * len(frames))
        for frame, body in enumerate(found):
            if body is None:
                self._faces.last = None
                continue
            face[frame] = self._faces(frames[frame], body.points, self._config.face_score)
            hands[frame] = read_hands(self._hands, frames[frame], body.points, body.confidence, self._config.hand_score)
        return face, hands


def motion(pool: list[list[Reading]], reach: int) -> list[Consensus | None]:
    """The person's joints in every frame, chosen and smoothed within each run of frames that have readings."""
    found: list[Consensus | None] = [None] * len(pool)
    start = 0
    while start < len(pool):
        end = start
        while end < len(pool) and pool[end]:
            end += 1
        if end > start:
            run = path(pool[start:end])
            points = np.stack([c.points for c in run])
            confidence = np.stack([c.confidence for c in run])
            extent = np.linalg.norm(np.ptp(points[:, _BODY], axis=1), axis=-1)
            smoothed = smooth(points, confidence**2, reach, 0.02 * extent)
            found[start:end] = [Consensus(p, c.confidence, c.support) for p, c in zip(smoothed, run, strict=True)]
        start = end + 1
    return found


def empty(length: int, grid: tuple[int, int]) -> PoseArtifact:
    """No person in any frame. grid: (width, height) of the mask."""
    return PoseArtifact(
        body=np.tile(missing(17), (length, 1, 1, 1)).astype(np.float32),
        face=np.tile(missing(68), (length, 1, 1, 1)).astype(np.float32),
        hand=np.tile(missing(21), (length, 2, 1, 1)).astype(np.float32),
        mask=np.zeros((length, grid[1], grid[0]), bool),
    )


def measure(pose: PoseArtifact, found: list[Consensus | None], carried: np.ndarray) -> dict[str, float]:
    """Those of every backend (`pose_figures`), and support: mean agreement of readings; mask_carried: share of frames
    whose mask comes from a neighbour by colour alone.
    """
    there = np.array([c is not None for c in found])
    support = float(np.mean([c.support for c in found if c is not None]))
    own = finite_quality(support=support, mask_carried=carried.mean())
    return pose_figures(pose, persons=1, there=there) | own
