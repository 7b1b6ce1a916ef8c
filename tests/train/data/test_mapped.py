"""Ranges of a file as views of its pages, and as copies where that is not possible."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import train.data.mapped
from train.data.mapped import MappedFile

DATA = bytes(i * i % 251 for i in range(3 * 4096 + 77))
RANGES = st.integers(0, len(DATA)).flatmap(lambda o: st.tuples(st.just(o), st.integers(0, len(DATA) - o)))
NO_SUCH_ADVICE = 12345


def opened(path: Path, size: int = len(DATA)) -> MappedFile:
    return MappedFile(os.open(path, os.O_RDONLY), size)


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("mapped") / "file"
    path.write_bytes(DATA)
    return path


@given(span=RANGES, advice=st.sampled_from([train.data.mapped.MADV_POPULATE_READ, NO_SUCH_ADVICE]))
def test_ranges_are_those_of_the_file(path, span, advice):
    offset, size = span
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train.data.mapped, "MADV_POPULATE_READ", advice)
        file = opened(path)
        data = file.read(offset, size)
        assert data == DATA[offset : offset + size]
        if size and advice == NO_SUCH_ADVICE:
            assert isinstance(data, bytes)
        file.close()


def test_views_outlive_the_file_and_cannot_be_written(path):
    file = opened(path)
    data = memoryview(file.read(5, 5000))
    file.close()
    assert data == DATA[5:5005]
    assert data.readonly


def test_a_range_beyond_the_end_is_short(path):
    file = opened(path)
    assert file.read(len(DATA) - 3, 10) == DATA[-3:]
    file.close()


def test_a_file_that_is_cut_off_while_open_is_short_instead_of_a_crash(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(DATA)
    file = opened(path)
    assert file.read(2 * 4096, 100) == DATA[2 * 4096 :][:100]
    os.truncate(path, 4096 + 10)
    assert file.read(2 * 4096, 100) == b""
    assert file.read(4096, 100) == DATA[4096:][:10]
    file.close()


def test_an_empty_file(tmp_path):
    path = tmp_path / "file"
    path.touch()
    file = opened(path, 0)
    assert file.read(0, 10) == b""
    file.close()
