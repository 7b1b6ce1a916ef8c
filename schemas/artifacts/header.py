"""The JSON header in the schema metadata of every artifact, and the encodings that artifact columns share."""

import io
import json
import math
from dataclasses import asdict, dataclass, field
from tokenize import TokenError
from typing import Any

import numpy as np
import pyarrow as pa

HEADER_KEY = b"mikudance"


class ArtifactError(ValueError):
    """An artifact that does not follow its schema; the message names the clip, the column and the cause."""


@dataclass(frozen=True)
class Header:
    """What an artifact says of itself.

    `status` is "ok" or the stage's own word for a lesser result ("static", "unsolved", "no_person", …);
    `quality` are measurements (thresholds live in the dataset's config); `extra` the fields of one stage.
    """

    stage: str
    clip_id: str
    status: str = "ok"
    quality: dict[str, float] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    schema_version: int = 1


def make_table(columns: dict[str, Any], schema: pa.Schema, header: Header) -> pa.Table:
    """A table under `schema` with `header` in its metadata. Raises ArtifactError where a column does not fit."""
    text = json.dumps(asdict(header), sort_keys=True, allow_nan=False, separators=(",", ":"))
    try:
        return pa.table(columns, schema=schema.with_metadata({HEADER_KEY: text.encode()}))
    except (pa.ArrowInvalid, pa.ArrowTypeError, KeyError) as error:
        raise ArtifactError(f"{header.stage} of {header.clip_id}: {error}") from error


def read_header(table: pa.Table, stage: str | None = None) -> Header:
    """The header of a table. Raises ArtifactError if there is none, or if another stage made the table."""
    metadata = table.schema.metadata or {}
    if HEADER_KEY not in metadata:
        raise ArtifactError("the table has no header: it was not made by this project, or its metadata was dropped")
    header = Header(**json.loads(metadata[HEADER_KEY]))
    if stage is not None and header.stage != stage:
        raise ArtifactError(f"{header.clip_id}: expected an artifact of stage {stage!r}, found {header.stage!r}")
    return header


def check_schema(table: pa.Table, schema: pa.Schema) -> None:
    """Raises ArtifactError unless the table's columns are exactly those of `schema` (metadata aside)."""
    if not table.schema.equals(schema, check_metadata=False):
        raise ArtifactError(f"columns are {table.schema.names} but the schema says {schema.names} (types count too)")


def npy_bytes(array: np.ndarray) -> bytes:
    """An array as `.npy` version 1 bytes, C-contiguous, no pickle."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
    return buffer.getvalue()


def npy_array(data: bytes) -> np.ndarray:
    """The array of `.npy` bytes. Raises ValueError for other bytes, object arrays, and a header that promises more data
    than there is (numpy would reserve the memory first).
    """
    buffer = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(buffer)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"version {version} is not read")
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(buffer)
    # numpy reads the header as Python literals, and a hostile one ends that with any of these.
    except (ValueError, TypeError, KeyError, SyntaxError, TokenError, RecursionError, MemoryError) as error:
        raise ValueError(f"not a .npy array: {error}") from error
    if dtype.hasobject:
        raise ValueError("Object arrays would need pickle: refused")
    if math.prod(shape) * dtype.itemsize != len(data) - buffer.tell():
        raise ValueError(f"{len(data) - buffer.tell()} bytes of data are not {dtype} {shape}")
    return np.load(io.BytesIO(data), allow_pickle=False)


def finite_quality(**values: float | int | bool | None) -> dict[str, float]:
    """Quality figures as floats; None and non-finite values are left out, because JSON has no NaN."""
    return {name: float(value) for name, value in values.items() if value is not None and np.isfinite(float(value))}


def list_column(array: np.ndarray, value_type: pa.DataType) -> pa.Array:
    """Rows of a [N, …] array as a list column, each row flattened in C order."""
    flat = np.ascontiguousarray(array).reshape(len(array), -1)
    offsets = np.arange(len(flat) + 1, dtype=np.int32) * flat.shape[1]
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat.reshape(-1), type=value_type))


def list_array(table: pa.Table, name: str, shape: tuple[int, ...], dtype: np.typing.DTypeLike) -> np.ndarray:
    """A list column back as [N, *shape] (one entry of `shape` may be −1). Raises ArtifactError on another length."""
    column = table.column(name).combine_chunks()
    values = np.asarray(column.flatten().to_numpy(zero_copy_only=False), dtype=dtype)
    try:
        return values.reshape(len(column), *shape) if len(column) else np.zeros((0, *(max(s, 0) for s in shape)), dtype)
    except ValueError as error:
        raise ArtifactError(
            f"column {name!r}: {values.size} values do not make {len(column)} rows of {shape}"
        ) from error
