"""Shards whose tar holds more than samples: paths that leave, links, devices, sparse bombs, pickles."""

import hashlib
import io
import os
import pickle
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.dataset import Dataset
from pipeline.pack.rewrite import without_samples
from pipeline.verify import verify
from schemas.artifacts.header import npy_array
from schemas.release import Release, ShardEntry
from tests.hostile.conftest import SECRET
from tests.train.shards import ClipSpec, sample_members, write_release, write_shard
from train.data.config import ReaderConfig
from train.data.errors import DatasetError, ShardError
from train.data.fetch import LocalStore
from train.data.order import SampleRef
from train.data.release import load_release
from train.data.sample import SampleReader

SPEC = ClipSpec(number=1, frames=25, size=(64, 64))


def member(kind: bytes, name: str, target: str = "") -> Callable[[Path], tuple[bytes, bytes]]:
    def make(outside: Path) -> tuple[bytes, bytes]:
        info = tarfile.TarInfo(name.format(outside=outside))
        info.type, info.linkname = kind, target.format(outside=outside)
        data = b"planted" if kind == tarfile.REGTYPE else b""
        info.size = len(data)
        return info.tobuf(tarfile.GNU_FORMAT), data.ljust(-(-len(data) // 512) * 512, b"\0")

    return make


def sparse_bomb(_outside: Path) -> tuple[bytes, bytes]:
    """A GNU sparse member of 4 GiB, all of it holes: 512 bytes in the archive."""
    header = bytearray(tarfile.TarInfo(f"{SPEC.clip_id}.bomb.npy").tobuf(tarfile.GNU_FORMAT))
    header[156:157] = tarfile.GNUTYPE_SPARSE
    header[483:495] = b"%011o\0" % (1 << 32)  # the real size
    header[386:398] = b"%011o\0" % (1 << 32)
    header[398:410] = b"%011o\0" % 0
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header), b""


HOSTILE = {
    "climbs out": member(tarfile.REGTYPE, "../outside/planted"),
    "absolute": member(tarfile.REGTYPE, "{outside}/planted"),
    "inner climb": member(tarfile.REGTYPE, "a/../../outside/planted"),
    "symbolic link": member(tarfile.SYMTYPE, f"{SPEC.clip_id}.frame_900.jpg", "{outside}/secret"),
    "hard link": member(tarfile.LNKTYPE, f"{SPEC.clip_id}.frame_900.jpg", "../outside/secret"),
    "link to itself": member(tarfile.LNKTYPE, f"{SPEC.clip_id}.loop.npy", f"{SPEC.clip_id}.loop.npy"),
    "folder": member(tarfile.DIRTYPE, "../outside/planted"),
    "pipe": member(tarfile.FIFOTYPE, "pipe"),
    "device": member(tarfile.CHRTYPE, "zero"),
    "sparse bomb": sparse_bomb,
}


def rewritten(root: Path, entry: ShardEntry, extra: bytes) -> ShardEntry:
    """The shard with `extra` before its end, and all checksums made to fit."""
    path = root / entry.path
    data = path.read_bytes()
    with tarfile.open(path) as tar:
        last = tar.getmembers()[-1]
    end = last.offset_data + -(-last.size // 512) * 512
    data = data[:end] + extra + bytes(10240)
    path.write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    path.with_name(path.name + ".sha256").write_text(f"{sha256}  {path.name}\n")
    return entry.model_copy(update={"bytes": len(data), "sha256": sha256})


def dataset_with(root: Path, extra: bytes = b"", **changes: bytes) -> tuple[Dataset, ShardEntry]:
    """A dataset of one clip, published by somebody who means harm. changes: members by name, __ for the dot."""
    dataset = Dataset.create_or_open(str(root), None)
    members = sample_members(SPEC) | {name.replace("__", "."): data for name, data in changes.items()}
    entry = write_shard(root, f"one-000000-{'0' * 16}", [(SPEC, members)])
    if extra:
        entry = rewritten(root, entry, extra)
    write_release(root, Release(number=1, shards=(entry,)))
    return dataset, entry


def read(root: Path) -> object:
    store = LocalStore(root=str(root))
    config = ReaderConfig(stage=2, frames=4, size=(64, 64))
    return SampleReader(config=config, store=store, release=load_release(store)).read(SampleRef(0, 0, 0, False))


@pytest.mark.parametrize("name", HOSTILE)
def test_strange_members_are_findings_and_nothing_else_happens(tmp_path: Path, outside: Path, name: str) -> None:
    header, data = HOSTILE[name](outside)
    dataset, entry = dataset_with(tmp_path / "dataset", header + data)
    tracemalloc.start()
    findings = list(verify(dataset))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert any(f.kind == "shard" and f.damage and "not a plain file" in f.reason for f in findings) or name in {
        "climbs out", "absolute", "inner climb"
    }, findings  # fmt: skip
    assert any(f.path == entry.path and f.damage for f in findings)
    assert not any(SECRET.decode() in finding.reason for finding in findings)
    assert peak < 64 << 20


@pytest.mark.parametrize("name", HOSTILE)
def test_the_trainer_reads_by_offset_and_never_meets_them(tmp_path: Path, outside: Path, name: str) -> None:
    header, data = HOSTILE[name](outside)
    dataset_with(tmp_path / "dataset", header + data)
    assert read(tmp_path / "dataset").sample_ids == (SPEC.clip_id,)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["symbolic link", "hard link", "link to itself", "pipe", "sparse bomb"])
def test_a_takedown_refuses_to_copy_them(tmp_path: Path, outside: Path, name: str) -> None:
    header, data = HOSTILE[name](outside)
    dataset, entry = dataset_with(tmp_path / "dataset", header + data)
    before = sorted(path.name for path in (tmp_path / "dataset" / "shards").iterdir())
    with pytest.raises(tarfile.TarError, match="is no plain file"):
        without_samples(dataset.storage, entry, [SPEC.clip_id])
    assert sorted(path.name for path in (tmp_path / "dataset" / "shards").iterdir()) == before


class Trap:
    """Unpickled, it makes a file."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return os.mkdir, (str(self.place),)


def pickled_array(place: Path) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([Trap(place)], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def npy(header: str, data: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + data


def zipped() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, a=np.zeros(3))
    return buffer.getvalue()


ARRAYS: dict[str, Callable[[Path], bytes]] = {
    "pickled array": pickled_array,
    "bare pickle": lambda outside: pickle.dumps(Trap(outside / "planted")),
    "zip": lambda _: zipped(),
    "a petabyte promised": lambda _: npy("{'descr': '<f8', 'fortran_order': False, 'shape': (140737488355328,)}\n"),
    "negative": lambda _: npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}\n"),
    "code": lambda _: npy("{'descr': __import__('os').getcwd(), 'fortran_order': False, 'shape': ()}\n"),
    "nested": lambda _: npy("(" * 9000),
    "empty": lambda _: b"",
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_that_are_none(tmp_path: Path, outside: Path, name: str) -> None:
    data = ARRAYS[name](outside / "planted" if name == "pickled array" else outside)
    with pytest.raises(ValueError, match=r"not a \.npy array|bytes of data are not|would need pickle"):
        npy_array(data)
    dataset, entry = dataset_with(tmp_path / "dataset", intrinsics__npy=data)
    findings = [f for f in verify(dataset) if f.path == entry.path]
    assert findings
    assert all(f.damage for f in findings)
    with pytest.raises(ShardError, match=r"intrinsics\.npy"):
        read(tmp_path / "dataset")


@pytest.mark.parametrize("path", ["releases/0001.json", "shards"])
def test_pipes_in_place_of_files_are_not_waited_for(tmp_path: Path, path: str) -> None:
    _, entry = dataset_with(tmp_path / "dataset")
    place = tmp_path / "dataset" / (entry.path if path == "shards" else path)
    place.unlink()
    os.mkfifo(place)
    with pytest.raises((DatasetError, ShardError), match=r"no plain file|0 bytes, but the release says"):
        read(tmp_path / "dataset")


def test_deeply_nested_json_is_refused(tmp_path: Path) -> None:
    dataset_with(tmp_path / "dataset")
    (tmp_path / "dataset" / "releases" / "0001.json").write_text("[" * 200_000)
    with pytest.raises(DatasetError, match="not a release"):
        load_release(LocalStore(root=str(tmp_path / "dataset")))
    findings = list(verify(Dataset.open(str(tmp_path / "dataset"))))
    assert any(f.kind == "release" and f.damage for f in findings)


def test_an_index_that_points_into_another_sample_is_caught(tmp_path: Path) -> None:
    """Rows swapped so that a picture's bytes are served as another's array: sizes and kinds give it away."""
    dataset, entry = dataset_with(tmp_path / "dataset")
    path = tmp_path / "dataset" / entry.index_path
    table = pq.read_table(path)
    rows = table.to_pylist()
    a, b = (next(r for r in rows if r["member"] == name) for name in ("intrinsics.npy", "frame_000.jpg"))
    a["offset"], a["size"] = b["offset"], b["size"]
    pq.write_table(type(table).from_pylist(rows, schema=table.schema), path)
    entry = entry.model_copy(update={"index_sha256": hashlib.sha256(path.read_bytes()).hexdigest()})
    write_release(tmp_path / "dataset", Release(number=1, shards=(entry,)))
    with pytest.raises(ShardError, match=r"intrinsics\.npy"):
        read(tmp_path / "dataset")
    assert any(f.kind == "index" for f in verify(dataset))
