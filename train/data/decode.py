"""Bytes of shard members to arrays, with the checks that foreign bytes need before memory is given to them."""

import ast
import struct
from functools import lru_cache

import numpy as np
import simplejpeg

from train.data.mapped import Data

MAGIC = b"\x93NUMPY"
MAX_HEADER = 4096


class DecodeError(ValueError):
    """A member that is not what the contract says; the caller adds shard, sample and member."""


def decode_jpeg(data: Data, out: np.ndarray, max_pixels: int) -> None:
    """Writes a JPEG into `out`, RGB uint8 [H, W, 3], contiguous, of the size that the JPEG must have: memory that is
    there already, because fresh memory for every picture costs a quarter of its decoding. The size in the file's header
    is checked before anything is decoded. Raises DecodeError.
    """
    size = out.shape[1::-1]
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(data)
        if width * height > max_pixels:
            raise DecodeError(f"{width} × {height} pixels, above the limit of {max_pixels} (setting max_pixels)")
        if (width, height) != size:
            raise DecodeError(f"{width} × {height} pixels, the sample's json says {size[0]} × {size[1]}")
        simplejpeg.decode_jpeg(data, colorspace="RGB", buffer=out)
    except DecodeError:
        raise
    except (ValueError, RuntimeError) as error:
        raise DecodeError(f"not a readable JPEG ({error})") from error


def npy_header(data: Data) -> tuple[tuple[int, ...], np.dtype, int]:
    """Shape, dtype and length of the header of `.npy` bytes (at least its start). Raises DecodeError: for other bytes,
    Fortran order, and dtypes that are not plain numbers (object arrays would need pickle).
    """
    if data[:6] != MAGIC or len(data) < 12 or data[6] not in (1, 2):
        raise DecodeError("not a .npy array of version 1 or 2")
    length_format, start = ("<H", 10) if data[6] == 1 else ("<I", 12)
    (length,) = struct.unpack_from(length_format, data, 8)
    if length > MAX_HEADER or start + length > len(data):
        raise DecodeError(f".npy header of {length} bytes is cut off or above the limit of {MAX_HEADER}")
    return (*_header_fields(bytes(data[start : start + length])), start + length)


@lru_cache(maxsize=256)
def _header_fields(text: bytes) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and dtype of a header's text; remembered, because the samples of a dataset share theirs."""
    try:
        header = ast.literal_eval(text.decode("latin-1").strip())
        dtype, shape, fortran = np.dtype(header["descr"]), header["shape"], header["fortran_order"]
    except (ValueError, SyntaxError, TypeError, KeyError, RecursionError, MemoryError) as error:
        raise DecodeError(f"malformed .npy header ({error})") from error
    if dtype.hasobject:
        raise DecodeError("an array of Python objects, which would need pickle: refused")
    if dtype.kind not in "biuf" or fortran is not False:
        raise DecodeError(f"dtype {dtype}, Fortran order {fortran}: only C-ordered arrays of numbers are read")
    if not isinstance(shape, tuple) or not all(type(side) is int and side >= 0 for side in shape):
        raise DecodeError(f"malformed .npy shape {shape!r}")
    return shape, dtype


def decode_npy(data: Data, dtype: str, shape: tuple[int | None, ...]) -> np.ndarray:
    """A whole `.npy` array that must have `dtype` and `shape` (None: any length). Raises DecodeError."""
    found, found_dtype, start = npy_header(data)
    check_layout(found, found_dtype, dtype, shape)
    count = int(np.prod(found, dtype=object))
    if count * found_dtype.itemsize != len(data) - start:
        raise DecodeError(f"{len(data) - start} bytes of data for {found_dtype} {found}")
    return np.frombuffer(data, found_dtype, count, start).reshape(found)


def check_layout(found: tuple[int, ...], found_dtype: np.dtype, dtype: str, shape: tuple[int | None, ...]) -> None:
    """Raises DecodeError unless a header's dtype and shape are those of the contract (None: any length)."""
    fits = len(found) == len(shape) and all(want in (None, side) for want, side in zip(shape, found, strict=True))
    if not fits or found_dtype != np.dtype(dtype):
        raise DecodeError(f"{found_dtype} {found}, the contract says {dtype} {shape}")
