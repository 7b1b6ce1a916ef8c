from pipeline.animation.kept import KeptPictures


def test_pictures_come_back_clip_by_clip() -> None:
    kept = KeptPictures()
    first, second = [b"a", b"", b"bcd"], [b"ef"]
    stored = [kept.add(first), kept.add(second), kept.add([])]
    assert [list(part) for part in stored] == [first, second, []]
    assert stored[0][-1] == b"bcd"
    assert list(stored[0][1:]) == [b"", b"bcd"]
    assert len(stored[0]) == 3
    assert not stored[2]
