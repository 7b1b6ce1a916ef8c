"""`MikuDancePipeline`: a picture and driving frames in, frames out; the style of a diffusers pipeline.

pipeline = MikuDancePipeline.from_pretrained("runs/stage2/export/step-00060000").to("cuda")
frames = pipeline(reference, reference_pose, driving, generator=torch.Generator().manual_seed(0)).frames
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import DDIMScheduler
from diffusers.utils.logging import tqdm as progress_bar
from torch import Tensor

from train.data.batch import unit
from train.model.conditions import ConditionEncoder, Conditions
from train.model.config import LATENT_CHANNELS
from train.model.encoders import FACTOR, Encoders
from train.model.mikudance import MikuDance
from train.model.saving import SavedModel, SavedModelError, load_encoders, load_model
from train.sampling.config import SamplingConfig
from train.sampling.sampler import sample_latents

Progress = Callable[[int, int], None]
"""Called with (window passes done, window passes in all)."""


@dataclass(frozen=True)
class DrivingFrame:
    """What drives one frame. body, face, hand: uint8 `[H, W, 3]` drawings on black, of the output's size. motion:
    float `[2, H / 8, W / 8]`, scene motion arriving at this frame in pixels of the output, zero at the first; None for
    no camera motion (for the Plücker ablation `[6, H / 8, W / 8]` rays, as `train.model.motion` makes them).
    """

    body: np.ndarray
    face: np.ndarray
    hand: np.ndarray
    motion: np.ndarray | None = None


@dataclass(frozen=True)
class PipelineOutput:
    """frames: uint8 `[frames, H, W, 3]`."""

    frames: np.ndarray


class InputError(ValueError):
    """Pictures or driving frames that cannot be used; the message names the cause and the next step."""


class MikuDancePipeline:
    """A trained network with its encoders and sampler."""

    def __init__(
        self, *, saved: SavedModel, model: MikuDance, encoders: Encoders, scheduler: DDIMScheduler | None = None
    ) -> None:
        self.saved = saved
        self.model = model.eval().requires_grad_(False)
        self.encoders = encoders
        self.scheduler = scheduler or saved.noise.ddim_scheduler()
        self._conditioner = ConditionEncoder(
            encoders=encoders, model=saved.model, encoding=saved.encoding, stage=saved.stage
        )

    @classmethod
    def from_pretrained(
        cls, folder: str | Path, *, dtype: torch.dtype = torch.float32, stage: int | None = 2
    ) -> "MikuDancePipeline":
        """Opens an export. stage: the stage that is wanted; None takes either. Raises SavedModelError."""
        folder = Path(folder)
        saved, model = load_model(folder, dtype=dtype)
        if stage is not None and saved.stage != stage:
            raise SavedModelError(
                f"{folder} is of stage {saved.stage}, stage {stage} is needed; train it, or give another"
            )
        encoders = load_encoders(folder, chunk=saved.encoding.chunk, dtype=dtype)
        return cls(saved=saved, model=model, encoders=encoders)

    def to(self, device: torch.device | str) -> "MikuDancePipeline":
        """Moves the networks; returns itself."""
        self.model.to(device)
        self.encoders.to(device)
        return self

    @property
    def device(self) -> torch.device:
        return self.encoders.vae.device

    def __call__(
        self,
        reference: np.ndarray,
        reference_pose: np.ndarray,
        driving: Sequence[DrivingFrame],
        *,
        config: SamplingConfig | None = None,
        generator: torch.Generator | None = None,
        progress: Progress | None = None,
    ) -> PipelineOutput:
        """All frames at once; `stream` gives them one by one. Arguments as there.

        Without `progress` a bar is shown; `diffusers.utils.logging.disable_progress_bar()` turns it off.
        """
        with progress_bar(disable=progress is not None) as shown:

            def show(_done: int, total: int) -> None:
                shown.total = total
                shown.update(1)

            frames = self.stream(
                reference, reference_pose, driving, config=config, generator=generator, progress=progress or show
            )
            return PipelineOutput(frames=np.stack(list(frames)))

    def stream(
        self,
        reference: np.ndarray,
        reference_pose: np.ndarray,
        driving: Sequence[DrivingFrame],
        *,
        config: SamplingConfig | None = None,
        generator: torch.Generator | None = None,
        progress: Progress | None = None,
    ) -> Iterator[np.ndarray]:
        """Frames uint8 `[H, W, 3]` of an animation as long as `driving`.

        reference: uint8 `[H, W, 3]`, the picture. reference_pose: uint8 `[H, W, 3]`, its body drawing. driving: read
        once, frame by frame, so it may load from disk. generator: on the CPU; the same one gives the same frames.

        Memory does not grow with the length but for the latents (4 values a latent cell, 0.15 MB a frame at 768²):
        encoded guidance lies in a temporary file, features of the Reference UNet take `config.cache_bytes` at most, and
        frames are decoded as they are asked for. Raises InputError.
        """
        config = config or SamplingConfig(window=max(1, self.saved.frames), overlap=self.saved.frames // 3)
        self._check(reference, reference_pose, driving, config)
        with tempfile.TemporaryDirectory(prefix="mikudance-") as folder:
            guidance = self._encode(reference, reference_pose, driving, Path(folder))
            height, width = (side // FACTOR for side in reference.shape[:2])
            noise = torch.randn(len(driving), LATENT_CHANNELS, height, width, generator=generator)
            latents = sample_latents(
                self.model,
                guidance=guidance,
                noise=noise.to(self.device),
                scheduler=self.scheduler,
                config=config,
                progress=progress,
            )
        for part in latents.split(self.encoders.chunk):
            pictures = self.encoders.decode(part).add(1).mul(127.5).round().to(torch.uint8)
            yield from pictures.permute(0, 2, 3, 1).cpu().numpy()

    def _encode(
        self, reference: np.ndarray, reference_pose: np.ndarray, driving: Sequence[DrivingFrame], folder: Path
    ) -> "StoredGuidance":
        picture, drawing = self._tensor(reference[None]), self._tensor(reference_pose[None])
        motion_channels = self.saved.model.motion_channels if self.saved.stage == 2 else 0
        height, width = reference.shape[0] // FACTOR, reference.shape[1] // FACTOR
        mixed = self.saved.model.guidance == "mixed"
        channels = LATENT_CHANNELS * (5 if mixed else 1)
        guidance = StoredGuidance(
            folder=folder,
            length=len(driving),
            size=(height, width),
            channels=channels,
            motion_channels=motion_channels,
            pose_images=not mixed,
            tokens=self.encoders.tokens(unit(picture)),
        )
        scale = 1.0 if self.saved.model.motion == "plucker" else self.saved.model.motion_scale
        # The reference's own latents are the same in every frame; only the drawings are encoded again.
        once = self._conditioner.reference_latents(picture, drawing)
        for number in range(len(driving)):
            frame = driving[number]
            images = [self._tensor(image[None, None]) for image in (frame.body, frame.face, frame.hand)]
            latents = torch.cat([once, *map(self._conditioner.drawing_latents, images)], dim=2) if mixed else once
            motion = None
            if motion_channels:
                still = np.zeros((motion_channels, height, width), np.float32)
                motion = still if frame.motion is None else np.asarray(frame.motion, np.float32) * scale
            guidance.put(number, latents[0, 0], motion, torch.cat(images, dim=2)[0, 0])
        return guidance

    def _tensor(self, images: np.ndarray) -> Tensor:
        """uint8 `[…, H, W, 3]` as a tensor `[…, 3, H, W]` on the device."""
        return torch.from_numpy(np.ascontiguousarray(np.moveaxis(images, -1, -3))).to(self.device)

    def _check(
        self,
        reference: np.ndarray,
        reference_pose: np.ndarray,
        driving: Sequence[DrivingFrame],
        config: SamplingConfig,
    ) -> None:
        if reference.ndim != 3 or reference.shape[2] != 3 or reference.dtype != np.uint8:
            raise InputError(
                f"the reference is {reference.dtype} {reference.shape}; uint8 [height, width, 3] is needed"
            )
        height, width = reference.shape[:2]
        if height % FACTOR or width % FACTOR:
            raise InputError(f"the reference is {width} × {height} pixels; both must be multiples of {FACTOR}")
        if self.saved.model.uses_man and self.saved.stage == 2 and min(height, width) < 128:
            raise InputError(
                f"the reference is {width} × {height} pixels; 128 is the least side that MAN can normalise"
            )
        if reference_pose.shape != reference.shape:
            raise InputError(f"reference and its pose differ in size: {reference.shape} and {reference_pose.shape}")
        if not len(driving):
            raise InputError("there are no driving frames")
        if config.steps > self.saved.noise.timesteps:
            raise InputError(
                f"{config.steps} steps are more than the {self.saved.noise.timesteps} noise levels of training; take "
                "fewer steps"
            )
        if self.saved.stage == 2 and config.window > self.saved.model.motion_max_length:
            raise InputError(
                f"a window of {config.window} frames is longer than the {self.saved.model.motion_max_length} that the "
                "temporal layers reach; lower window"
            )
        for name in ("body", "face", "hand"):
            shape = getattr(driving[0], name).shape
            if shape != reference.shape:
                raise InputError(
                    f"the driving {name} drawing is {shape}, the reference {reference.shape}; draw them alike"
                )


class StoredGuidance:
    """Encoded guidance of a sequence in a folder, read back by window; see `train.sampling.sampler.Guidance`."""

    def __init__(
        self,
        *,
        folder: Path,
        length: int,
        size: tuple[int, int],
        channels: int,
        motion_channels: int,
        pose_images: bool,
        tokens: Tensor,
    ) -> None:
        self._length = length
        self._tokens = tokens

        def store(name: str, dtype: str, *shape: int) -> np.memmap:
            return np.memmap(folder / name, dtype=dtype, mode="w+", shape=(length, *shape))

        height, width = size
        self._pictures = store("pictures", "float32", channels, height, width)
        self._motion = store("motion", "float32", motion_channels, height, width) if motion_channels else None
        self._poses = store("poses", "uint8", 9, FACTOR * height, FACTOR * width) if pose_images else None

    def __len__(self) -> int:
        return self._length

    def put(self, number: int, pictures: Tensor, motion: np.ndarray | None, poses: Tensor) -> None:
        """Stores one frame: pictures `[channels, h, w]`, motion `[C, h, w]` in model units, poses uint8 `[9, H, W]`."""
        self._pictures[number] = pictures.float().cpu().numpy()
        if self._motion is not None and motion is not None:
            self._motion[number] = motion
        if self._poses is not None:
            self._poses[number] = poses.cpu().numpy()

    def frames(self, numbers: list[int]) -> Conditions:
        """Conditions of one clip with the given frames, on the device and in the type of the tokens."""
        like = self._tokens

        def load(stored: np.memmap | None) -> Tensor | None:
            return None if stored is None else torch.from_numpy(stored[numbers])[None].to(like.device)

        poses, motion = load(self._poses), load(self._motion)
        pictures = torch.from_numpy(self._pictures[numbers])[None].to(like)
        return Conditions(
            pictures=pictures,
            tokens=like,
            keep=torch.ones(1, device=like.device),
            motion=None if motion is None else motion.to(like.dtype),
            pose_images=None if poses is None else unit(poses, like.dtype),
        )
