import json

import fsspec
import pytest

from schemas.ids import clip_id
from schemas.release import Release
from tests.train.shards import small_dataset, write_release
from train.data.errors import DatasetError, ShardError
from train.data.fetch import LocalStore, RemoteStore
from train.data.release import load_release, newest_release_number, verify_shards


@pytest.fixture
def root(tmp_path):
    small_dataset(tmp_path, characters=2, cameras=1, frames=4, size=(16, 16))
    return tmp_path


def rewrite(root, **changes) -> Release:
    """Writes release 2 as release 1 with its first shard changed, unchecked."""
    release = Release.model_validate_json((root / "releases/0001.json").read_text())
    first = release.shards[0].model_copy(update=changes)
    return write_release(root, release.model_copy(update={"number": 2, "shards": (first, *release.shards[1:])}))


def test_newest_or_given_release(root):
    store = LocalStore(root=str(root))
    one = load_release(store)
    two = write_release(root, one.model_copy(update={"number": 2, "parent": one.digest()}))
    (root / "releases" / "notes.txt").write_text("not a release")
    assert newest_release_number(store) == 2
    assert load_release(store).digest() == two.digest()
    assert load_release(store, 1).digest() == one.digest()
    assert load_release(store, 1, one.digest()) == one
    with pytest.raises(DatasetError, match="the settings ask for"):
        load_release(store, 2, one.digest())
    with pytest.raises(DatasetError, match="no release 3; the newest is 2"):
        load_release(store, 3)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 8, 9])
def test_releases_are_found_where_the_listing_lags(count):
    """An object store whose listing shows nothing yet; the files themselves are there."""
    memory = fsspec.filesystem("memory")
    memory.pipe("/lagging/config.yaml", b"{}")
    for number in range(1, count + 1):
        memory.pipe(
            f"/lagging/releases/{number:04d}.json", Release(number=number, shards=()).model_dump_json().encode()
        )

    class Lagging:
        def __getattr__(self, name):
            return getattr(memory, name)

        def ls(self, *_, **__):
            return []

    store = RemoteStore(
        root="memory://lagging", filesystem=Lagging(), prefix="/lagging", cache=None, block_bytes=1024, attempts=1
    )
    try:
        assert newest_release_number(store) == count
        if count:
            assert load_release(store).number == count
            assert load_release(store, 1).number == 1
        with pytest.raises(DatasetError, match=f"the newest is {count}" if count else "pack a release"):
            load_release(store, count + 1)
    finally:
        memory.rm("/lagging", recursive=True)


def test_no_dataset(tmp_path):
    with pytest.raises(DatasetError, match="no such dataset folder"):
        LocalStore(root=str(tmp_path / "absent"))
    with pytest.raises(DatasetError, match="give the dataset's root"):
        load_release(LocalStore(root=str(tmp_path)))


@pytest.mark.parametrize(
    "path",
    [
        "../other/shards/x.tar",
        "shards/../../etc/x.tar",
        "/etc/passwd.tar",
        "shards//x.tar",
        "s3://elsewhere/x.tar",
        "shards/a\\..\\x.tar",
        "shards/x.tar\n",
        "shards/x.zip",
        "shards/.tar",
    ],
)
def test_paths_outside_the_shards_are_refused(root, path):
    rewrite(root, path=path)
    with pytest.raises(ShardError, match="is refused"):
        load_release(LocalStore(root=str(root)))


def test_lists_that_do_not_fit_are_refused(root):
    store = LocalStore(root=str(root))
    clips = load_release(store).shards[1].samples
    rewrite(root, frames=(4, 4))
    with pytest.raises(ShardError, match="frames or steps of others"):
        load_release(store)
    rewrite(root, samples=(clips[0],), frames=(4,), frame_steps=(0,))
    with pytest.raises(ShardError, match="not a clip"):
        load_release(store)
    rewrite(root, samples=("x.y",), frames=(4,), frame_steps=(1,))
    with pytest.raises(ShardError, match="not a clip"):
        load_release(store)
    rewrite(root, samples=(clips[0],), frames=(4,), frame_steps=(1,))
    with pytest.raises(ShardError, match=f"clip {clips[0]} stands in two shards"):
        load_release(store)


def test_a_clip_late_in_a_long_video_is_a_clip(root):
    late = clip_id("0" * 16, 1_234_567, 12_345)
    rewrite(root, samples=(late,), frames=(12_345,), frame_steps=(3,))
    assert late in load_release(LocalStore(root=str(root))).shards[0].samples


def test_malformed_releases_are_refused(root):
    store = LocalStore(root=str(root))
    (root / "releases/0002.json").write_text((root / "releases/0001.json").read_text())
    with pytest.raises(DatasetError, match="holds release 1"):
        load_release(store)
    text = json.loads((root / "releases/0001.json").read_text()) | {"number": 2, "surprise": 1}
    (root / "releases/0002.json").write_text(json.dumps(text))
    with pytest.raises(DatasetError, match="surprise"):
        load_release(store)


def test_verify_names_each_damaged_shard(root):
    store = LocalStore(root=str(root))
    release = load_release(store)
    assert list(verify_shards(store, release)) == []
    path = root / release.shards[1].path
    data = bytearray(path.read_bytes())
    data[700] ^= 1
    path.write_bytes(data)
    (root / release.shards[0].path).unlink()
    absent, damaged = verify_shards(LocalStore(root=str(root)), release)
    assert release.shards[0].path in absent
    assert "no such file" in absent
    assert release.shards[1].path in damaged
    assert "sha256" in damaged
