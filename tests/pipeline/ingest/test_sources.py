"""Sources from files, folders, globs and manifests."""

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from pipeline.ingest.sources import KnownFile, SourceError, SourceFile, assign_split, discover
from stages.ingest import IngestConfig, Splits
from stages.video.ffmpeg import Limits

CONFIG = IngestConfig()


def find(
    *arguments: Path | str, kind: str = "character", known: dict[str, KnownFile] | None = None
) -> list[SourceFile]:
    return discover([str(a) for a in arguments], kind=kind, config=CONFIG, known=known or {})  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.mp4", "a.MOV", "deep/er/c.webm", "notes.txt", ".hidden.mp4", ".cache/d.mp4"):
        path = tmp_path / "videos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path / "videos"


def test_a_folder_gives_its_videos_through_all_levels(folder: Path) -> None:
    found = find(folder, kind="camera")
    assert [Path(s.path).relative_to(folder).as_posix() for s in found] == ["a.MOV", "b.mp4", "deep/er/c.webm"]
    for source in found:
        digest = hashlib.sha256(Path(source.path).read_bytes()).hexdigest()
        assert (source.sha256, source.source_id, source.kind, source.error) == (digest, digest[:16], "camera", None)
        assert source.bytes == Path(source.path).stat().st_size


def test_files_globs_and_repetitions(folder: Path) -> None:
    found = find(folder / "b.mp4", f"{folder}/*.mp4", f"{folder}/**/*", folder / "b.mp4")
    assert [Path(s.path).name for s in found] == ["b.mp4", "a.MOV", "c.webm"]
    assert find(folder / "notes.txt")[0].source_id == hashlib.sha256(b"notes.txt").hexdigest()[:16]


def test_relative_arguments_keep_their_uri(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    found = find("videos", "videos/notes.txt")
    assert [s.uri for s in found] == ["videos/a.MOV", "videos/b.mp4", "videos/deep/er/c.webm", "videos/notes.txt"]
    assert all(Path(s.path).is_absolute() for s in found)


def test_equal_content_is_reported_and_used_once(folder: Path) -> None:
    (folder / "z.mp4").write_bytes((folder / "b.mp4").read_bytes())
    found = {Path(s.path).name: s for s in find(folder)}
    assert found["b.mp4"].duplicate_of is None
    assert found["z.mp4"].duplicate_of == found["b.mp4"].source_id


@pytest.mark.parametrize("argument", ["nothing.mp4", "*.mkv", "empty", "*.txt", "*", "e*"])
def test_arguments_that_name_no_video(tmp_path: Path, argument: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("no video")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match=argument.replace("*", r"\*")):
        find(argument)


def test_remote_addresses_are_refused() -> None:
    with pytest.raises(SourceError, match="only local files"):
        find("https://example.org/a.mp4")


def test_an_empty_or_unreadable_file_is_a_source_with_an_error(folder: Path) -> None:
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "gone.mp4").symlink_to(folder / "nowhere.mp4")
    found = {Path(s.path).name: s for s in find(folder)}
    assert "empty (0 bytes)" in (found["empty.mp4"].error or "")
    assert "No such file" in (found["gone.mp4"].error or "")
    assert found["empty.mp4"].source_id.startswith("unread-")
    assert found["empty.mp4"].source_id != found["gone.mp4"].source_id
    assert found["empty.mp4"].duplicate_of is None
    small = discover([str(folder / "b.mp4")], kind="camera", config=IngestConfig(limits=Limits(max_bytes=3)), known={})
    assert "limits.max_bytes = 3" in (small[0].error or "")
    assert str(folder / "b.mp4") in (small[0].error or "")


def test_an_unchanged_file_is_not_read_again(folder: Path) -> None:
    path = folder / "b.mp4"
    stat = path.stat()
    known = {str(path): KnownFile(stat.st_size, stat.st_mtime_ns, "f" * 64)}
    assert find(path, known=known)[0].sha256 == "f" * 64
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert find(path, known=known)[0].sha256 == hashlib.sha256(b"b.mp4").hexdigest()


def test_a_camera_track_beside_the_video_is_found(folder: Path) -> None:
    (folder / "b.vmd").write_bytes(b"track")
    found = {Path(s.path).name: s for s in find(folder)}
    assert found["b.mp4"].camera_track == str(folder / "b.vmd")
    assert found["b.mp4"].camera_track_sha256 == hashlib.sha256(b"track").hexdigest()
    assert found["a.MOV"].camera_track is None


CSV = """uri,kind,licence,split,focal,camera_track,camera_track_offset_s,artist,episode
b.mp4,camera,CC-BY-4.0,test,1.25,tracks/x.vmd,0.5,Ann,007
deep/er/c.webm,,,,,,,"Bo, Cy",
"""


def csv_manifest(folder: Path) -> Path:
    path = folder / "list.csv"
    path.write_text(CSV)
    return path


def parquet_manifest(folder: Path) -> Path:
    path = folder / "list.parquet"
    columns = {
        "uri": ["b.mp4", "deep/er/c.webm"],
        "kind": ["camera", None],
        "licence": ["CC-BY-4.0", None],
        "split": ["test", None],
        "focal": [1.25, None],
        "camera_track": ["tracks/x.vmd", None],
        "camera_track_offset_s": [0.5, None],
        "artist": ["Ann", "Bo, Cy"],
        "episode": ["007", None],
    }
    pa.parquet.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize("write", [csv_manifest, parquet_manifest])
def test_a_manifest_says_what_its_columns_say(folder: Path, write: Callable[[Path], Path]) -> None:
    (folder / "tracks").mkdir()
    (folder / "tracks" / "x.vmd").write_bytes(b"track")
    first, second = find(write(folder))
    assert (first.uri, first.path, first.kind) == ("b.mp4", str(folder / "b.mp4"), "camera")
    assert (first.licence, first.split, first.focal) == ("CC-BY-4.0", "test", 1.25)
    assert (first.camera_track, first.camera_track_offset_s) == (str(folder / "tracks" / "x.vmd"), 0.5)
    assert first.extra == {"artist": "Ann", "episode": "007"}
    assert (second.kind, second.licence, second.split, second.focal) == ("character", "", "", None)
    assert (second.camera_track, second.extra["artist"]) == (None, "Bo, Cy")


def test_a_manifest_row_whose_file_is_absent_is_a_source_with_an_error(folder: Path) -> None:
    path = folder / "list.csv"
    path.write_text("uri,license,camera_track\nabsent.mp4,MIT,\nb.mp4,,absent.vmd\n")
    absent, trackless = find(path)
    assert "No such file" in (absent.error or "")
    assert absent.licence == "MIT"
    assert "absent.vmd" in (trackless.error or "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,kind\na.mp4,camera\n", "no column `uri` .found path, kind."),
        ("uri,kind\na.mp4,camera\nb.mp4,cameraman\n", "row 2, column `kind`: 'cameraman' is none of character, camera"),
        ("uri,split\na.mp4,valid\n", "row 1, column `split`: 'valid' is none of train, val, test"),
        ("uri,focal\na.mp4,wide\n", "row 1, column `focal`: 'wide' is no number"),
        ("uri,focal\na.mp4,-1\n", "row 1, column `focal`: -1 is not above 0"),
        ("uri,camera_track_offset_s\na.mp4,inf\n", "row 1, column `camera_track_offset_s`: 'inf' is no number"),
        ("uri,kind\n,camera\n", "row 1, column `uri`: empty"),
        ("uri,kind\ns3://bucket/a.mp4,camera\n", "row 1: s3://bucket/a.mp4: only local files"),
        ("uri,kind\n", "no rows"),
        ("uri,uri\na,b\n", "column `uri` stands there twice"),
        ("uri,kind\na.mp4,camera,what\n", "cannot be read"),
    ],
)
def test_manifest_errors_name_file_row_and_column(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "list.csv"
    path.write_text(text)
    with pytest.raises(SourceError, match=message) as raised:
        find(path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("uri,kind\nb.mp4,camera\na.MOV,\nb.mp4,character\n", r"row 1 and .*row 3 name the same video .*b\.mp4"),
        ("uri,split\nb.mp4,train\nsame.mp4,test\n", r"row 1 and .*row 2 name the same video .*split train and test"),
    ],
)
def test_rows_that_contradict_each_other_about_one_video_are_both_named(folder: Path, text: str, message: str) -> None:
    (folder / "same.mp4").write_bytes((folder / "b.mp4").read_bytes())
    (folder / "list.csv").write_text(text)
    with pytest.raises(SourceError, match=message):
        find(folder / "list.csv")


def test_rows_that_agree_or_say_nothing_are_taken_once(folder: Path) -> None:
    (folder / "list.csv").write_text("uri,kind,split\nb.mp4,camera,\nb.mp4,,test\nb.mp4,camera,test\n")
    for arguments in ((folder / "list.csv",), (folder / "b.mp4", folder / "list.csv")):
        found = discover([str(a) for a in arguments], kind="character", config=CONFIG, known={}, kind_given=False)
        assert [(source.kind, source.kind_given, source.split) for source in found] == [("camera", True, "test")]


def test_columns_that_look_misspelt_are_told_of_and_spaces_do_not_count(folder: Path) -> None:
    (folder / "list.csv").write_text("uri, kind ,liscence,Split,artist,focal_mm\nb.mp4,camera,CC,test,Ann,35\n")
    told: list[str] = []
    (source,) = discover([str(folder / "list.csv")], kind="character", config=CONFIG, known={}, warn=told.append)
    assert (source.kind, source.kind_given, source.licence) == ("camera", True, "")
    assert source.extra == {"liscence": "CC", "Split": "test", "artist": "Ann", "focal_mm": "35"}
    assert [text.partition("column ")[2] for text in told] == [
        "`liscence` is kept but means nothing here; did you mean `licence`?",
        "`Split` is kept but means nothing here; did you mean `split`?",
        "`focal_mm` is kept but means nothing here; did you mean `focal`?",
    ]


def test_no_number_in_a_parquet_manifest_is_an_absent_value(folder: Path) -> None:
    table = pa.table({"uri": ["b.mp4", "a.MOV"], "focal": [1.2, float("nan")], "note": [float("nan"), 2.0]})
    pa.parquet.write_table(table, folder / "list.parquet")
    first, second = find(folder / "list.parquet")
    assert (first.focal, second.focal) == (1.2, None)


def test_splits_follow_the_shares_and_nothing_else() -> None:
    splits = Splits(train=0.8, val=0.15, test=0.05)
    ids = [hashlib.sha256(str(i).encode()).hexdigest()[:16] for i in range(20_000)]
    drawn = [assign_split(i, splits) for i in ids]
    assert drawn == [assign_split(i, splits) for i in ids]
    for name, share in (("train", 0.8), ("val", 0.15), ("test", 0.05)):
        # Four standard deviations of a binomial draw of 20,000.
        assert abs(drawn.count(name) / len(ids) - share) < 4 * (share * (1 - share) / len(ids)) ** 0.5
    # A larger share of validation moves sources out of training only.
    more = [assign_split(i, Splits(train=0.75, val=0.2, test=0.05)) for i in ids]
    assert all(a == b or (a, b) == ("train", "val") for a, b in zip(drawn, more, strict=True))


def test_many_sources_take_time_in_proportion(tmp_path: Path) -> None:
    """10,000 rows in a few seconds: the target is 120,000 sources."""
    path = tmp_path / "v.mp4"
    path.write_bytes(b"v")
    names = [f"{i}.mp4" for i in range(10_000)]
    manifest = tmp_path / "list.csv"
    manifest.write_text("uri\n" + "\n".join(names) + "\n")
    started = time.perf_counter()
    found = find(manifest)
    assert len(found) == 10_000
    assert all(s.error for s in found)
    assert time.perf_counter() - started < 15
