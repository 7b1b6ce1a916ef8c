"""Feature networks from files: TorchScript or ONNX, checked by sha256, never fetched."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from schemas.config import file_sha256
from train.evaluation.config import NetworkFile
from train.evaluation.protocol import KINETICS_MEAN, Sampling

SCRIPTS = frozenset({".pt", ".pth", ".jit", ".ts", ".torchscript"})
ONNX_ERRORS = (
    "Fail",
    "InvalidArgument",
    "InvalidGraph",
    "InvalidProtobuf",
    "NoSuchFile",
    "NotImplemented",
    "RuntimeException",
)


class NetworkError(ValueError):
    """A feature network that cannot be used; the message names the file, the cause and the next step."""


class FeatureNetwork:
    """A network with the preparation that its pictures need."""

    def __init__(self, *, file: NetworkFile, sampling: Sampling, device: torch.device, batch: int) -> None:
        """Raises NetworkError where the file is absent, altered or of an unknown kind."""
        self.file = file
        self.sampling = sampling
        self.batch = batch
        self._device = device
        self._values = file.values or sampling.values
        self._size = sampling.size if file.size is None else file.size
        self._run = _load(file, device)

    def prepare(self, picture: np.ndarray) -> Tensor:
        """A picture uint8 RGB [H, W, 3] as float32 [3, S, S] in the range the network takes, on the CPU.

        Resized as PIL's bicubic on floats does (antialiased, clipped to 0–255), which is clean-fid's way.
        """
        planes = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1))).float()
        side = self._size
        if side and planes.shape[1:] != (side, side):
            planes = functional.interpolate(planes[None], (side, side), mode="bicubic", antialias=True)[0].clamp(0, 255)
        if self._values == "unit":
            return planes / 255
        if self._values == "signed":
            return planes / 127.5 - 1
        return planes - torch.tensor(KINETICS_MEAN)[:, None, None] if self._values == "kinetics" else planes

    def features(self, items: list[Tensor]) -> np.ndarray:
        """Features float32 [N, D] of N pictures [3, S, S] or clips [3, T, S, S]."""
        count = len(items)
        out = self._checked(self._run(torch.stack(items).to(self._device)), count)
        return out.reshape(count, out.shape[1] if out.ndim > 1 else 1, -1).mean(-1).astype(np.float32)

    def distances(self, real: list[Tensor], made: list[Tensor]) -> np.ndarray:
        """N distances of N pairs of pictures [3, S, S], for LPIPS."""
        pair = [torch.stack(side).to(self._device) for side in (real, made)]
        out = self._checked(self._run(*pair), len(real)).reshape(len(real), -1)
        if out.shape[1] != 1:
            raise NetworkError(f"{self.file.path} gives {out.shape[1]} values a pair of pictures; LPIPS gives one")
        return out[:, 0].astype(np.float64)

    def _checked(self, out: np.ndarray, count: int) -> np.ndarray:
        if out.size == 0 or (out.shape or (0,))[0] != count:
            raise NetworkError(f"{self.file.path} gives {out.shape} for a batch of {count}; [N, D] is expected")
        if not np.isfinite(out).all():
            raise NetworkError(f"{self.file.path} gives values that are not finite; is `values` what it takes?")
        return out


class FeatureStream:
    """Features of one video as its frames come by; memory is one clip and one batch."""

    def __init__(self, network: FeatureNetwork) -> None:
        self._network = network
        self._clip: list[Tensor] = []
        self._skip = 0
        self._waiting: list[Tensor] = []
        self._done: list[np.ndarray] = []

    def push(self, picture: np.ndarray) -> None:
        """The next frame, uint8 RGB [H, W, 3]."""
        if self._skip:
            self._skip -= 1
            return
        sampling = self._network.sampling
        self._clip.append(self._network.prepare(picture))
        if len(self._clip) == sampling.frames:
            self._emit()
            del self._clip[: sampling.stride]
            self._skip = max(0, sampling.stride - sampling.frames)

    def finish(self) -> np.ndarray:
        """Features [N, D] of the whole video; [0, 0] for a video shorter than a clip that is not padded."""
        sampling = self._network.sampling
        if sampling.pad and self._clip:
            self._clip += [self._clip[-1]] * (sampling.frames - len(self._clip))
            self._emit()
        self._flush()
        return np.concatenate(self._done) if self._done else np.zeros((0, 0), np.float32)

    def _emit(self) -> None:
        one = self._network.sampling.frames == 1
        self._waiting.append(self._clip[0] if one else torch.stack(self._clip, dim=1))
        if len(self._waiting) == self._network.batch:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._done.append(self._network.features(self._waiting))
            self._waiting = []


def _load(file: NetworkFile, device: torch.device) -> Callable[..., np.ndarray]:
    if not file.path.is_file():
        raise NetworkError(f"{file.path} does not exist; put the network's file there, or leave the metric out")
    found = file_sha256(file.path)
    if found != file.sha256:
        raise NetworkError(f"{file.path} has sha256 {found}, the settings say {file.sha256}: another file, or damaged")
    suffix = file.path.suffix.lower()
    if suffix == ".onnx":
        return _onnx(file)
    if suffix in SCRIPTS:
        return _script(file, device)
    raise NetworkError(f"{file.path}: TorchScript ({', '.join(sorted(SCRIPTS))}) or .onnx is expected")


def _script(file: NetworkFile, device: torch.device) -> Callable[..., np.ndarray]:
    try:
        module = torch.jit.load(str(file.path), map_location=device).eval()
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise NetworkError(
            f"{file.path} is no TorchScript archive ({reason}); export it with torch.jit.save"
        ) from error

    @torch.no_grad()
    def run(*batches: Tensor) -> np.ndarray:
        try:
            return module(*batches, **file.options).float().cpu().numpy()
        except RuntimeError as error:
            shapes = " and ".join(str(tuple(b.shape)) for b in batches)
            reason = str(error).strip().splitlines()[-1]
            raise NetworkError(f"{file.path} does not take {shapes}: {reason}; see `size`, `values`") from error

    return run


def _onnx(file: NetworkFile) -> Callable[..., np.ndarray]:
    import onnxruntime

    broken = tuple(getattr(onnxruntime.capi.onnxruntime_pybind11_state, name) for name in ONNX_ERRORS)
    try:
        session: Any = onnxruntime.InferenceSession(str(file.path), providers=["CPUExecutionProvider"])
    except broken as error:
        raise NetworkError(f"{file.path} is no ONNX model that can be opened: {error}") from error
    names = [entry.name for entry in session.get_inputs()]

    def run(*batches: Tensor) -> np.ndarray:
        if len(batches) != len(names):
            raise NetworkError(f"{file.path} takes {len(names)} inputs, the metric gives {len(batches)}")
        feed = {name: batch.cpu().numpy() for name, batch in zip(names, batches, strict=True)}
        try:
            return np.asarray(session.run(None, feed)[0], np.float32)
        except broken as error:
            shapes = " and ".join(str(tuple(b.shape)) for b in batches)
            raise NetworkError(f"{file.path} does not take {shapes}: {error}; see `size` and `batch`") from error

    return run
