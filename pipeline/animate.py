"""Animates a picture: the pipeline's stages read the driving video, the trained network draws. The one module beside
the CLI that joins the two halves of the project; the trainer is imported when it is called.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from pipeline.animation.driving import Driving, DrivingClip, DrivingReader
from pipeline.animation.frames import Compat, DrivenFrames, body_drawing
from pipeline.animation.notes import notes
from pipeline.animation.output import Sound, check_output, side_by_side, write_animation
from pipeline.animation.reference import Fit, ReferencePicture, mapped_depth, read_reference
from pipeline.audit.pictures import motion_colours
from pipeline.config import DatasetConfig
from schemas.config import FrozenConfig
from stages.scene_motion import CELL

if TYPE_CHECKING:
    from train.data.crop import Crop

Say = Callable[[str], None]
Progress = Callable[[int, int], None]
LONGEST = 0.03
"""Scene motion that is drawn in full colour: of the output's longer side, or as it is in the published code's unit."""


class AnimateError(ValueError):
    """An animation that cannot be made; the message names the cause and the next step."""


class AnimateConfig(FrozenConfig):
    """How a picture is animated."""

    keyless: ClassVar[frozenset[str]] = frozenset({"cache_bytes"})

    size: tuple[int, int] | None = Field(None, description="(width, height) of the output; null: the checkpoint's.")
    fit: Fit = Field("crop", description="crop: the middle of the picture fills the frame; pad: all of it is kept.")
    frames: int | None = Field(None, ge=1, description="Frames of the animation at most; null: all.")
    frame_step: int | None = Field(
        None, ge=1, description="Driving frames from one output frame to the next; null: 1, in a dataset its own."
    )
    depth_scale: float = Field(1.0, gt=0, description="Factor on the picture's inverse depth: above 1 more parallax.")
    scene_motion: bool = Field(True, description="Whether the driving camera moves the scene.")
    camera_only: bool = Field(False, description="The picture shows no character: poses are left out.")
    side_by_side: bool = Field(False, description="Reference, driving frame, guidance and result in a row.")
    sound: bool = Field(True, description="Keep the driving video's sound (mp4, webm).")
    steps: int = Field(20, ge=1, description="DDIM steps.")
    guidance: float = Field(3.5, ge=1, description="Classifier-free guidance scale.")
    window: int | None = Field(None, ge=1, description="Frames the network sees at once; null: as in training.")
    overlap: int | None = Field(None, ge=0, description="Frames that windows share; null: a third of the window.")
    cache_bytes: int = Field(
        8 << 30, ge=0, description="Device memory for features of the Reference UNet; with less it only takes longer."
    )
    seed: int = Field(0, ge=0, description="Seed of the noise.")
    device: Literal["auto", "cuda", "cpu"] = Field("auto", description="Where the network runs.")
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = Field(
        "auto", description="auto: float16 on a GPU, float32 on a CPU."
    )

    @model_validator(mode="after")
    def _consistent(self) -> "AnimateConfig":
        if self.camera_only and not self.scene_motion:
            raise ValueError("camera_only without scene_motion leaves nothing that moves; drop one of the two")
        for side in self.size or ():
            if side < 64 or side % CELL:
                raise ValueError(f"size {self.size}: sides must be multiples of {CELL}, 64 at least")
        return self


@dataclass(frozen=True)
class Animation:
    """What was made: frames written, their rate, and what the reader of the result should know."""

    path: Path
    frames: int
    fps: float
    notes: tuple[str, ...] = ()


class Animator:
    """A checkpoint loaded once, for any number of animations."""

    def __init__(self, checkpoint: Path, config: AnimateConfig) -> None:
        """Raises SavedModelError for what is no checkpoint of stage 2, AnimateError for a size or window it cannot
        draw.
        """
        import torch

        from train.sampling.pipeline import MikuDancePipeline

        if config.device == "cuda" and not torch.cuda.is_available():
            raise AnimateError("device cuda: torch finds no CUDA device here; say auto or cpu")
        device = ("cuda" if torch.cuda.is_available() else "cpu") if config.device == "auto" else config.device
        name = ("float16" if device == "cuda" else "float32") if config.dtype == "auto" else config.dtype
        dtype = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}[name]
        self.config = config
        self.network = MikuDancePipeline.from_pretrained(checkpoint, dtype=dtype).to(device)
        model = self.network.saved.model
        self.size = config.size or self.network.saved.size
        if model.uses_man and min(self.size) < 128:
            raise AnimateError(f"size {self.size}: this checkpoint needs sides of at least 128 pixels")
        self.window = config.window or max(1, self.network.saved.frames)
        self.overlap = min(self.window // 3, self.window - 1) if config.overlap is None else config.overlap
        if config.steps > self.network.saved.noise.timesteps:
            raise AnimateError(
                f"{config.steps} steps: this checkpoint knows {self.network.saved.noise.timesteps} noise levels; take "
                "fewer steps (20 are the paper's)"
            )
        if self.compat == "published" and config.depth_scale != 1:
            raise AnimateError(
                "depth_scale: this checkpoint takes the published code's scene motion, which knows no unit of depth; "
                "leave it at 1"
            )
        if self.window > model.motion_max_length:
            raise AnimateError(f"window {self.window}: this checkpoint sees {model.motion_max_length} frames at most")
        if self.overlap >= self.window:
            raise AnimateError(f"overlap {self.overlap} must be smaller than the window of {self.window} frames")

    def draw(
        self, picture: ReferencePicture, frames: DrivenFrames, progress: Progress | None = None
    ) -> Iterator[np.ndarray]:
        """The animation's frames, uint8 RGB [H, W, 3]; side by side with the guidance if the settings say so."""
        import torch

        from train.sampling.config import SamplingConfig
        from train.sampling.pipeline import DrivingFrame

        class Guidance:
            """`frames` as the network's pipeline wants them."""

            def __len__(self) -> int:
                return len(frames)

            def __getitem__(self, number: int) -> DrivingFrame:
                body, face, hand = frames.drawings(number)
                return DrivingFrame(body=body, face=face, hand=hand, motion=guidance(frames, number))

        config, guidance = self.config, self._camera_guidance
        drawing = body_drawing(None if config.camera_only else picture.body, self.size)
        made = self.network.stream(
            picture.image,
            drawing,
            Guidance(),  # type: ignore[arg-type]
            config=SamplingConfig(
                steps=config.steps,
                guidance=config.guidance,
                window=self.window,
                overlap=self.overlap,
                cache_bytes=config.cache_bytes,
            ),
            generator=torch.Generator().manual_seed(config.seed),
            progress=progress,
        )
        for number, frame in enumerate(made):
            yield side_by_side(self._panels(picture, frames, number, frame)) if config.side_by_side else frame

    @property
    def needs_frames(self) -> bool:
        """Whether the driving's own pictures are wanted: to be shown, or for the ablation by optical flow."""
        return self.config.side_by_side or self.network.saved.model.motion == "flow"

    @property
    def compat(self) -> Compat:
        """Which scene motion the network takes."""
        return self.network.saved.model.motion_compat

    def _camera_guidance(self, frames: DrivenFrames, number: int) -> np.ndarray | None:
        """What the network was trained with: scene motion, or the ablations' flow or rays; None is zero."""
        kind = self.network.saved.model.motion
        if kind == "scene_motion":
            return frames.motion(number)[0]
        if kind == "none" or not self.config.scene_motion:
            return None
        import torch

        from train.model.motion import camera_rays, optical_flow

        if kind == "flow":
            pair = [frames.picture(n) for n in (number - 1, number)] if frames.follows(number) else []
            known = [picture for picture in pair if picture is not None]
            if len(known) < 2:
                return None
            return optical_flow(torch.from_numpy(np.stack(known)).permute(0, 3, 1, 2)[None], factor=CELL)[0, 1].numpy()
        camera = frames.camera(number)
        if camera is None or frames.reference_pose is None:
            return None
        pose, lens = (torch.from_numpy(np.asarray(value, np.float64))[None, None] for value in camera)
        return camera_rays(
            cam_to_world=pose,
            intrinsics=lens,
            reference_cam_to_world=torch.from_numpy(frames.reference_pose)[None],
            size=self.size,
        )[0, 0].numpy()

    def _panels(
        self, picture: ReferencePicture, frames: DrivenFrames, number: int, frame: np.ndarray
    ) -> list[np.ndarray]:
        shown = frames.picture(number)
        motion, valid = frames.motion(number)
        longest = LONGEST if frames.compat == "published" else LONGEST * max(self.size)
        colours = motion_colours(motion, valid, longest, self.size)
        drawn = np.maximum.reduce(frames.drawings(number))
        return [picture.image, *([] if shown is None else [shown]), drawn, colours, frame]


def animate(
    reference: Path,
    driving: Path,
    checkpoint: Path,
    output: Path,
    *,
    config: AnimateConfig | None = None,
    stages: DatasetConfig | None = None,
    camera_track: Path | None = None,
    say: Say | None = None,
    progress: Progress | None = None,
) -> Animation:
    """Animates a picture file with a driving video and writes mp4, webm, gif, or a folder of png frames.

    stages: backends and settings of pose, camera and depth, as a dataset's. camera_track: the video's MMD camera file.
    say: told what is being done; progress: called with (window passes done, in all). Raises PictureError, StageError,
    ExtractionError, SavedModelError, AnimateError or OutputError, each with the cause and the next step.
    """
    config, tell = config or AnimateConfig(), say or (lambda text: None)
    check_output(output)
    tell("loading the network")
    animator = Animator(checkpoint, config)
    if animator.network.saved.model.motion == "plucker":
        raise AnimateError(
            f"{checkpoint} was trained with Plücker rays, which are relative to the picture's own camera; one that "
            "is no frame of the video has none; give another checkpoint, or animate a dataset's clips (--dataset)"
        )
    reader = DrivingReader(stages or DatasetConfig(), size=animator.size)
    tell("reading the picture")
    picture = read_reference(
        reference,
        size=animator.size,
        fit=config.fit,
        pose=reader.pose,
        depth=reader.depth,
        wants_person=not config.camera_only,
        wants_depth=config.scene_motion,
    )
    step = config.frame_step or 1
    signals = reader.read(
        driving,
        kind="camera" if config.camera_only else "character",
        step=step,
        frames=None if config.frames is None else (config.frames - 1) * step + 1,
        keep_frames=animator.needs_frames,
        camera_track=camera_track,
        progress=tell,
    )
    if not config.camera_only and not any(clip.person for clip in signals.clips):
        raise AnimateError(
            f"{driving}: no person was found in the driving video, so there is no pose to follow; give another video, "
            "or say --camera-only to take its camera alone"
        )
    frames = driven(signals, picture, config, step, animator.compat)
    tell(f"drawing {len(frames)} frames")
    sound = Sound(driving, signals.start_s) if config.sound else None
    count = write_animation(output, animator.draw(picture, frames, progress), fps=frames.fps, sound=sound)
    return Animation(output, count, frames.fps, tuple(notes(signals, picture, config, animator.compat)))


def training_crop(frame: tuple[int, int], size: tuple[int, int]) -> "Crop":
    """The crop that training takes of a dataset's frames without augmentation: the largest, centred. (width, height)"""
    from train.data.crop import draw_crop

    return draw_crop(frame, size, 1.0, np.random.default_rng(0))


def driven(
    signals: Driving, picture: ReferencePicture, config: AnimateConfig, step: int, compat: Compat = "paper"
) -> DrivenFrames:
    """Frames of a video that is not the reference's own: the picture's depth is brought to each clip's unit."""

    def depth(clip: DrivingClip) -> np.ndarray:
        return mapped_depth(picture.inverse_depth, clip.inverse_depth, signals.size, config.depth_scale)

    poses, motion = not config.camera_only, config.scene_motion
    return DrivenFrames(signals, depth=depth, step=step, poses=poses, motion=motion, compat=compat)
