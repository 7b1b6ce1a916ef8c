"""What a check found, and the limits it judges by."""

from dataclasses import asdict, dataclass
from typing import Any

from pydantic import Field

from schemas.config import FrozenConfig


class CheckLimits(FrozenConfig):
    """Limits of the checks. They stand apart from the measurements: changing one measures nothing again.

    The defaults lie well outside of what intact clips of rendered and of real MMD videos measured (docs/audit.md).
    """

    least_keypoints_in_frame: float = Field(0.9, ge=0, le=1, description="Least share of keypoints inside the frame.")
    most_camera_jerk: float = Field(
        0.05, gt=0, description="Most change of the screen's motion between two frames, share of the frame's width."
    )
    most_camera_orthonormal: float = Field(1e-4, gt=0, description="Most error of a rotation matrix.")
    least_depth_rank: float = Field(0.2, ge=-1, le=1, description="Least rank correlation of depth with camera points.")
    most_motion_mismatch_px: float = Field(
        0.5, gt=0, description="Most distance between stored scene motion and that of the stored cameras and depth."
    )
    most_warp_gain: float = Field(
        0.95, gt=0, description="Most grey difference after the warp over that before it, where the camera moves."
    )
    warp_from_grey: float = Field(
        4.0, ge=0, description="Grey difference before the warp below which the warp check is not judged."
    )
    most_static_change: float = Field(
        8.0, gt=0, description="Most grey difference of the background under a camera that is said to be static."
    )
    most_hash_bits: int = Field(15, ge=0, le=15, description="Bits of 256 by which near-duplicate frames may differ.")
    least_equal_frames: int = Field(2, ge=1, le=5, description="Hashed frames that must be equal for a near-duplicate.")
    least_kind_share: float = Field(
        0.02, ge=0, le=0.5, description="Least share of each kind in a split that holds both somewhere in the release."
    )
    most_failed_share: float = Field(0.05, ge=0, le=1, description="Most share of a stage's clips in quarantine.")


@dataclass(frozen=True)
class Finding:
    """One fault. subject: the clip, shard, artifact, split or source it is about."""

    check: str
    subject: str
    message: str
    value: float | None = None
    limit: float | None = None


@dataclass(frozen=True)
class CheckResult:
    """One check: how much it looked at, and what it found. note: why it did not (fully) run, else empty."""

    name: str
    question: str
    checked: int
    findings: tuple[Finding, ...] = ()
    note: str = ""

    @property
    def verdict(self) -> str:
        """failed, passed, or not_run where there was nothing to look at."""
        if self.findings:
            return "failed"
        return "passed" if self.checked else "not_run"

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return {"verdict": self.verdict, **asdict(self)}


def failed(results: list[CheckResult]) -> bool:
    """Whether any check found a fault."""
    return any(result.findings for result in results)
