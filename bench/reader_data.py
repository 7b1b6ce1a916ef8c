"""What the contestants of `bench.reader` share: the samples, a window decoded from a whole sample, and the clock."""

import io
import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
import torch
from PIL import Image

from schemas.release import Release
from schemas.sample import frame_member
from tests.train.shards import ClipSpec, sample_members, write_release, write_shard
from train.data.fetch import LocalStore
from train.data.release import load_release

FRAMES, WINDOW, STEP = 85, 24, 3
Members = dict[str, bytes]


def write(root: Path, *, clips: int, frames: int, side: int, textured: bool, shard_samples: int) -> Release:
    """A dataset of equal clips under `root`, or the one that is there. With `textured`, the pictures are JPEGs as the
    decode stage writes them (quality 95, 4:4:4), with fine texture of such a strength that one of 768² has the 260 kB
    of a film frame.
    """
    if (root / "releases" / "0001.json").exists():
        return load_release(LocalStore(root=str(root)))
    rng = np.random.default_rng(0)
    noise = sum(
        cv2.resize(
            rng.normal(0, 9, (side // s + 2, side // s + 2, 3)), (2 * side, 2 * side), interpolation=cv2.INTER_CUBIC
        )
        for s in (2, 4, 8, 32, 128)
    )
    canvas = (noise + 120).clip(0, 255).astype(np.uint8)
    corners = [(i % side, 2 * i % side) for i in range(frames if textured else 0)]
    pictures = [_jpeg_444(canvas[y : y + side, x : x + side]) for y, x in corners]
    shards = []
    for start in range(0, clips, shard_samples):
        part = []
        for number in range(start, min(clips, start + shard_samples)):
            spec = ClipSpec(number=number, frames=frames, size=(side, side), styles=0)
            members = sample_members(spec)
            part.append((spec, members | {frame_member(i): data for i, data in enumerate(pictures)}))
        shards.append(write_shard(root, f"train-character-{start:06d}", part))
    return write_release(root, Release(number=1, shards=tuple(shards)))


def _jpeg_444(picture: np.ndarray) -> bytes:
    sampling = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 95, *sampling])
    assert done
    return data.tobytes()


def best_rate(samples: Callable[[], Iterable[object]], passes: int) -> tuple[float, float]:
    """Samples a second of wall time and of CPU time (all threads of this process), each of the fastest of some passes:
    the one that other load on the machine disturbed least. On a busy machine only the CPU time means something.
    """
    rates = []
    for _ in range(passes):
        wall, cpu = time.perf_counter(), time.process_time()
        count = sum(1 for _ in samples())
        rates.append((count / (time.perf_counter() - wall), count / (time.process_time() - cpu)))
    return max(rate for rate, _ in rates), max(rate for _, rate in rates)


def pil(data: bytes) -> np.ndarray:
    """What webdataset's own image handler does with one picture."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def turbo(data: bytes) -> np.ndarray:
    """One picture by libjpeg-turbo straight into a new array: the least that a peer's user can do."""
    return np.asarray(simplejpeg.decode_jpeg(data, colorspace="RGB"))


def window_of(
    members: Members, start: int, decode: Callable[[bytes], np.ndarray]
) -> tuple[torch.Tensor, list[np.ndarray]]:
    """A decoded window from a whole sample's bytes: the reference and 24 frames as one uint8 tensor [25, 3, H, W], as a
    batch needs them and our reader gives them; the arrays, and the window's motion. Kinder to the peers than their own
    decoders, which decode every frame of a sample, and than their collation: the transposition is left to the device.
    """
    meta = json.loads(members["json"])
    frames = list(range(start, start + WINDOW * STEP, STEP))
    pictures = np.stack([decode(members[frame_member(i)]) for i in (meta["references"][-1], *frames)])
    arrays = []
    for name, data in members.items():
        if name.endswith(".npy"):
            array = np.load(io.BytesIO(data), allow_pickle=False)
            arrays.append(array[0, frames] if name.startswith("scene_motion") else array)
    return torch.from_numpy(pictures).permute(0, 3, 1, 2), arrays
