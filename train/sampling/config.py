"""Settings of sampling."""

from pydantic import Field, model_validator

from schemas.config import FrozenConfig


class SamplingConfig(FrozenConfig):
    """How a clip is drawn from noise. The defaults are the paper's 20 DDIM steps and the published guidance scale."""

    steps: int = Field(20, ge=1, description="Denoising steps.")
    guidance: float = Field(3.5, ge=1, description="Classifier-free guidance scale; 1 is without, at half the time.")
    window: int = Field(24, ge=1, description="Frames that the temporal layers see at once.")
    overlap: int = Field(8, ge=0, description="Frames that neighbouring windows share; predictions are averaged there.")
    cache_bytes: int = Field(
        8 << 30,
        ge=0,
        description="Memory for features of the Reference UNet (52 MB a frame in half precision at 768²). Frames "
        "beyond it are computed again in every step: slower, with the same result.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> "SamplingConfig":
        if self.overlap >= self.window:
            raise ValueError(f"overlap {self.overlap} must be smaller than window {self.window}")
        return self
