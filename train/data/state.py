"""Where a run stands in the order of samples: what a checkpoint keeps of the reader."""

from typing import Literal

from pydantic import Field

from schemas.config import FrozenConfig
from train.data.errors import StateError


class ReaderState(FrozenConfig):
    """Advanced at the optimizer step, never by prefetching. Holds no rank, world size or worker count, so that a run
    goes on with others.
    """

    schema_version: Literal[1] = 1
    release: int = Field(ge=1, description="Number of the release.")
    digest: str = Field(description="Digest of the release.")
    order: str = Field(description="Fingerprint of the settings that decide the order (`SampleOrder.fingerprint`).")
    seed: int = Field(description="The reader's seed.")
    global_batch: int = Field(ge=1, description="Samples of one optimizer step, over all ranks.")
    epoch_size: int = Field(ge=1, description="Samples of an epoch.")
    consumed: int = Field(0, ge=0, description="Samples trained on so far, over all ranks and epochs.")

    @property
    def epoch(self) -> int:
        """The epoch that the next sample belongs to, from 0."""
        return self.consumed // self.epoch_size

    @property
    def step(self) -> int:
        """Optimizer steps done."""
        return self.consumed // self.global_batch

    def advanced(self, steps: int = 1) -> "ReaderState":
        """The state `steps` optimizer steps later."""
        return self.model_copy(update={"consumed": self.consumed + steps * self.global_batch})

    def check(self, current: "ReaderState") -> None:
        """Raises StateError, with every reason, unless this saved state continues the run that `current` starts."""
        reasons = []
        if self.digest != current.digest:
            reasons.append(
                f"release {self.release} is no longer the one that the run started with (a takedown rewrites releases)"
                if self.release == current.release
                else f"the release was {self.release} and is now {current.release}: set `reader.release` to "
                f"{self.release} or to null"
            )
        elif self.seed != current.seed:
            reasons.append(f"the seed was {self.seed} and is now {current.seed}")
        elif self.order != current.order or self.epoch_size != current.epoch_size:
            reasons.append(
                "a setting that decides the order changed (stage, split, frames, frame_step, camera_share, "
                "style_share or shuffle_window)"
            )
        if self.global_batch != current.global_batch:
            reasons.append(
                f"the global batch was {self.global_batch} and is now {current.global_batch}: keep the product of "
                "ranks, micro batch and accumulation"
            )
        elif self.consumed % self.global_batch:
            reasons.append(f"{self.consumed} samples are not whole steps of {self.global_batch}: the state is damaged")
        if reasons:
            raise StateError("cannot resume reading: " + "; ".join(reasons) + ". Or start a new run from the weights.")
