"""Atomic files on local disk: what readers see, whatever writers do."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.storage import TEMPORARY, Storage, StorageError


def test_paths_stay_inside_the_root(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    for path in ("../x", "/etc/passwd", "a/../../x", "a\\b", "s3://other/x"):
        with pytest.raises(StorageError, match="not a path inside"):
            storage.write(path, b"")


def test_write_replaces_and_write_if_absent_does_not(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    storage.write("a/b", b"one")
    storage.write("a/b", b"two")
    assert storage.read("a/b") == b"two"
    assert not storage.write_if_absent("a/b", b"three")
    assert storage.read("a/b") == b"two"
    assert storage.write_if_absent("a/c", b"new")
    assert list(storage.list("a")) == ["a/b", "a/c"]


def _claim(root: str, text: str, start: float, results: "multiprocessing.Queue[str]") -> None:
    time.sleep(max(0.0, start - time.time()))
    if Storage(root).write_if_absent("releases/0001.json", text.encode()):
        results.put(text)


def test_of_many_writers_exactly_one_wins(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[str] = context.Queue()
    start = time.time() + 2
    writers = [context.Process(target=_claim, args=(str(tmp_path), str(n), start, results)) for n in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(30)
    winner = results.get(timeout=5)
    assert results.empty()
    assert Storage(str(tmp_path)).read("releases/0001.json") == winner.encode()


def _write_for_ever(root: str) -> None:
    storage = Storage(root)
    while True:
        for letter in (b"a", b"b"):
            storage.write("file", letter * 3_000_000)


def test_a_killed_writer_leaves_a_whole_file_and_at_most_a_marked_leftover(tmp_path: Path) -> None:
    writer = multiprocessing.get_context("spawn").Process(target=_write_for_ever, args=(str(tmp_path),))
    writer.start()
    deadline = time.time() + 60
    while not (tmp_path / "file").exists() and time.time() < deadline:
        time.sleep(0.01)
    time.sleep(0.2)
    assert writer.pid is not None
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    data = Storage(str(tmp_path)).read("file")
    assert len(data) == 3_000_000
    assert len(set(data)) == 1
    others = [p.name for p in tmp_path.iterdir() if p.name != "file"]
    assert all(name.startswith(TEMPORARY) for name in others)


def test_equal_tables_give_equal_bytes_and_damage_is_named(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    table = pa.table({"x": list(range(1000)), "y": [b"\x00" * 100] * 1000})
    assert storage.write_table("one.parquet", table) == storage.write_table("two.parquet", table)
    assert storage.read_table("one.parquet").equals(table)
    data = bytearray(storage.read("one.parquet"))
    data[-20] ^= 0xFF
    storage.write("one.parquet", bytes(data[:-100]))
    with pytest.raises(StorageError, match=r"one\.parquet is damaged"):
        storage.read_table("one.parquet")
    with pytest.raises(StorageError, match=r"none\.parquet is missing"):
        storage.read_table("none.parquet")
