import io
import struct

import cv2
import numpy as np
import pytest

from schemas.artifacts.header import npy_bytes
from tests.train.shards import jpeg
from train.data.decode import DecodeError, decode_jpeg, decode_npy, npy_header

IMAGE = cv2.resize(np.random.default_rng(0).integers(0, 255, (6, 8, 3), np.uint8), (48, 40))


def empty(width: int, height: int) -> np.ndarray:
    return np.empty((height, width, 3), np.uint8)


def test_jpeg_pixels_are_those_of_another_decoder():
    data = jpeg(IMAGE)
    other = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    decoded = empty(48, 40)
    decode_jpeg(memoryview(data), decoded, 10_000)
    assert np.abs(decoded.astype(int) - other).max() <= 1


def test_image_bombs_are_refused_by_their_header():
    data = bytearray(jpeg(IMAGE))
    at = data.index(b"\xff\xc0") + 5
    struct.pack_into(">HH", data, at, 65000, 65000)
    with pytest.raises(DecodeError, match="65000 × 65000 pixels, above the limit"):
        decode_jpeg(bytes(data), empty(48, 40), 1 << 24)
    with pytest.raises(DecodeError, match="the sample's json says 40 × 48"):
        decode_jpeg(jpeg(IMAGE), empty(40, 48), 10_000)


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", b"GIF89a", jpeg(IMAGE)[:200]])
def test_what_is_no_jpeg_is_refused(data):
    with pytest.raises(DecodeError):
        decode_jpeg(data, empty(48, 40), 10_000)


@pytest.mark.parametrize("dtype", ["float32", "float16", "float64", "uint8"])
def test_npy_round_trip(dtype):
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    np.testing.assert_array_equal(decode_npy(npy_bytes(array), dtype, (2, None, 4)), array)
    shape, found, start = npy_header(npy_bytes(array))
    assert (shape, found, start % 64) == ((2, 3, 4), np.dtype(dtype), 0)


def test_object_arrays_are_refused():
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DecodeError, match="pickle: refused"):
        decode_npy(buffer.getvalue(), "float32", (1,))


def with_header(text: str, data: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + data


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"", "not a .npy"),
        (b"\x93NUMPY\x09\x00\x00\x00\x00\x00", "not a .npy"),
        (b"\x93NUMPY\x01\x00\xff\xff{}", "cut off"),
        (with_header("{'descr': '<f4'}"), "malformed"),
        (with_header("__import__('os').abort()"), "malformed"),
        (with_header("(" * 3000), "malformed"),
        (with_header("{'descr': '<f4', 'fortran_order': True, 'shape': (2,)}", b"x" * 8), "Fortran"),
        (with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}"), "malformed .npy shape"),
        (with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (2305843009213693952, 8)}"), "bytes of data"),
        (with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2)}", b"x" * 15), "bytes of data"),
        (with_header("{'descr': '<f8', 'fortran_order': False, 'shape': (2, 2)}", b"x" * 32), "contract says"),
        (with_header("{'descr': '<U8', 'fortran_order': False, 'shape': (2, 2)}"), "only C-ordered arrays of numbers"),
    ],
)
def test_hostile_npy_is_refused(data, cause):
    with pytest.raises(DecodeError, match=cause):
        decode_npy(data, "float32", (None, None) if b"shape': (2,)" not in data else (None,))
