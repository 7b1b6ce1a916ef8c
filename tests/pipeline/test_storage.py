"""Atomic files on local disk: what readers see, whatever writers do."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.storage import TEMPORARY, Storage, StorageError, UnwritableError


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


def test_every_flipped_bit_and_every_cut_of_a_table_is_noticed_or_harmless(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    columns = {"x": pa.array(range(20)), "y": pa.array([b"\x07" * 9] * 20)}
    table = pa.table(columns).replace_schema_metadata({b"mikudance": b'{"quality":{"error":0.25},"status":"ok"}'})
    storage.write_table("t.parquet", table)
    data, noticed = storage.read("t.parquet"), 0

    def silent(bad: bytes) -> bool:
        (tmp_path / "t.parquet").write_bytes(bad)
        try:
            return not storage.read_table("t.parquet").equals(table, check_metadata=True)
        except StorageError:
            nonlocal noticed
            noticed += 1
            return False

    for place in range(len(data)):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[place] ^= 1 << bit
            assert not silent(bytes(flipped)), (place, bit)
    assert noticed > 0.9 * 8 * len(data)  # the rest lies in the name of the digest's entry
    assert not any(silent(data[:length]) for length in range(len(data)))
    assert not silent(data)


def test_a_table_of_another_program_is_read_and_metadata_come_back_as_written(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    table = pa.table({"x": [1, 2]}).replace_schema_metadata({b"k": b"v"})
    pq.write_table(table, tmp_path / "other.parquet")
    assert storage.read_table("other.parquet").equals(table, check_metadata=True)
    storage.write_table("own.parquet", table)
    assert storage.read_table("own.parquet").schema.metadata == {b"k": b"v"}
    storage.write_table("bare.parquet", pa.table({"x": [1]}))
    assert storage.read_table("bare.parquet").schema.metadata is None


def test_a_place_that_cannot_be_written_is_named_with_the_cause(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a file where a folder has to be")
    with pytest.raises(UnwritableError, match=r"a/b cannot be written \((Not a directory|File exists)\)"):
        Storage(str(tmp_path)).write("a/b", b"x")
