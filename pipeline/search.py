"""Searches everything that a dataset holds for names: the proof that something is gone."""

import io
import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.dataset import Dataset

_NAME = r"[\w./-]"  # characters that continue a path: "a.mp4" is not found in "data/a.mp4"


@dataclass(frozen=True)
class Trace:
    """A place where a name was found. path: relative to the dataset."""

    path: str
    needle: str


def search(dataset: Dataset, needles: Sequence[str], *, allowed: Sequence[str] = ()) -> Iterator[Trace]:
    """Every file of the dataset, its name included, that holds one of `needles`; hexadecimal ones match anywhere,
    others (paths) as whole names. `allowed`: prefixes of files that may hold hexadecimal ones (the tombstones).

    Searched are: tar member names and the json of every sample, metadata and every text column of Parquet files
    (binary columns hold pictures and arrays, which name nothing), and all bytes of other files.
    """
    hexadecimal = [needle for needle in needles if re.fullmatch(r"[0-9a-f]+", needle)]
    names = [needle for needle in needles if needle not in hexadecimal]
    paths = [f"(?<!{_NAME}){re.escape(needle)}(?!{_NAME})" for needle in names]
    everywhere = re.compile("|".join([*map(re.escape, hexadecimal), *paths]).encode())
    only_names = re.compile("|".join(paths).encode()) if paths else None
    for path in dataset.storage.list(""):
        pattern = only_names if path.startswith(tuple(allowed)) else everywhere
        if pattern is None:
            continue
        for text in _texts(dataset, path):
            if match := pattern.search(text):
                yield Trace(path, match[0].decode())
                break


def _texts(dataset: Dataset, path: str) -> Iterator[bytes]:
    yield path.encode()
    try:
        with dataset.storage.open(path) as file:
            if path.endswith(".tar"):
                yield from _of_tar(file)
            elif path.endswith(".parquet"):
                yield from _of_parquet(file)
            else:
                yield file.read()
    except (tarfile.TarError, pa.ArrowInvalid):
        yield dataset.storage.read(path)  # damaged: whatever it is, its bytes can be searched


def _of_tar(file: Any) -> Iterator[bytes]:
    with tarfile.open(fileobj=file, mode="r:") as tar:
        for member in tar:
            yield member.name.encode()
            if member.name.endswith(".json") and (data := tar.extractfile(member)):
                yield data.read()


def _of_parquet(file: Any) -> Iterator[bytes]:
    whole = pq.ParquetFile(io.BytesIO(file.read()) if not file.seekable() else file)
    schema = whole.schema_arrow
    for key, value in (schema.metadata or {}).items():
        yield key + b"=" + value
    columns = [field.name for field in schema if _has_text(field.type)]
    for batch in whole.iter_batches(columns=columns) if columns else ():
        for column in batch.columns:
            yield "\n".join(str(value) for value in column.to_pylist()).encode()


def _has_text(kind: pa.DataType) -> bool:
    if pa.types.is_nested(kind):
        return any(_has_text(kind.field(i).type) for i in range(kind.num_fields))
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind)
