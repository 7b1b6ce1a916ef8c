"""What the reader of an animation should know."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pipeline.animation.driving import Driving
from pipeline.animation.frames import Compat
from pipeline.animation.reference import ReferencePicture

if TYPE_CHECKING:
    from pipeline.animate import AnimateConfig


def notes(
    signals: Driving, picture: ReferencePicture, config: "AnimateConfig", compat: Compat = "paper"
) -> Iterator[str]:
    """What limits the result, in words."""
    if not config.camera_only:
        lost = [clip.first for clip in signals.clips if not clip.person]
        if lost:
            yield f"no person was found in {len(lost)} of {len(signals.clips)} clips (from frame {lost[0]} on)"
    if not config.scene_motion:
        return
    unsolved = [clip.first for clip in signals.clips if clip.camera == "unsolved"]
    if unsolved:
        yield f"the camera is not known in {len(unsolved)} of {len(signals.clips)} clips: no scene motion there"
    guessed = [clip.first for clip in signals.clips if clip.motion == "unaligned"]
    if guessed and compat == "paper":
        yield f"the unit of depth is guessed in {len(guessed)} of {len(signals.clips)} clips; see --depth-scale"
    if picture.inverse_depth is None and any(clip.camera == "moving" for clip in signals.clips):
        yield (
            "the picture is taken for a plane: the depth backend of the settings reads a video's camera or its files, "
            "which a single picture has not; --set depth.backend.backend=onnx (with a network's file) gives it depth"
        )
