"""Settings of the reader."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from schemas.config import FrozenConfig

if TYPE_CHECKING:
    from train.data.reader import Reader


class ReaderConfig(FrozenConfig):
    """What is read, in which order and how; `build` makes the reader."""

    stage: Literal[1, 2] = Field(1, description="1: pairs of single frames; 2: windows of frames with scene motion.")
    split: str = Field("train", description="Split of the release to read.")
    release: int | None = Field(None, ge=1, description="Release number; none takes the newest.")
    digest: str = Field("", description="Digest the release must have; empty accepts any.")
    size: tuple[int, int] = Field((768, 768), description="(width, height) of the pictures, pixels, multiples of 8.")
    frames: int = Field(1, ge=1, description="Frames of a window: 1 in stage 1, 24 in the paper's stage 2.")
    frame_step: int | None = Field(
        None, ge=1, description="Frames of the clip between two of the window; none takes each clip's stored step."
    )
    camera_share: float | None = Field(
        None, ge=0, le=1, description="Share of camera-only clips in every stretch; none takes all clips as they come."
    )
    style_share: float = Field(0.0, ge=0, le=1, description="Rate at which stage 1 takes a clip's stylised pair.")
    crop_scale: float = Field(
        1.0, gt=0, le=1, description="Least side of the random crop over the largest crop of the output's aspect ratio."
    )
    seed: int = Field(0, ge=0, description="Seed of the order and of every draw about a sample.")
    shuffle_window: int = Field(4096, ge=1, description="Samples shuffled together after the shards are permuted.")
    workers: int = Field(4, ge=0, description="Worker processes a rank; 0 reads in the training process.")
    prefetch: int = Field(
        2, ge=1, description="Micro batches each worker keeps ahead in /dev/shm (0.17 GB a sample of 24 frames, 768²)."
    )
    timeout_s: float = Field(600.0, gt=0, description="Seconds to wait for a worker's next batch before giving up.")
    cache_dir: Path | None = Field(
        None, description="Folder of the block cache of remote datasets; none: $MIKUDANCE_CACHE or ~/.cache/mikudance."
    )
    cache_bytes: int = Field(32 << 30, ge=0, description="Bytes the block cache may hold, shared by a node; 0: none.")
    block_bytes: int = Field(1 << 20, ge=4096, description="Bytes of a cached block, the unit of remote reads.")
    attempts: int = Field(5, ge=1, description="Tries of a remote read before it is an error.")
    max_pixels: int = Field(1 << 24, ge=64, description="Pixels a picture of the dataset may have (image bombs).")

    @model_validator(mode="after")
    def _fits(self) -> "ReaderConfig":
        if any(side <= 0 or side % 8 for side in self.size):
            raise ValueError(f"size {self.size} must be positive multiples of 8, the latent grid's cell")
        if self.stage == 1 and self.frames != 1:
            raise ValueError(f"stage 1 trains on single frames: set frames to 1, not {self.frames}")
        if self.stage == 2 and self.frames < 2:
            raise ValueError("stage 2 trains on windows: set frames to 2 or more (24 in the paper)")
        if self.stage == 2 and self.style_share:
            raise ValueError("stylised pairs are single frames: set style_share to 0 in stage 2")
        return self

    def build(self, *, root: str, global_batch: int) -> "Reader":
        """The reader of the dataset at `root` (a folder, or a URI that fsspec opens)."""
        from train.data.reader import Reader

        return Reader(config=self, root=root, global_batch=global_batch)
