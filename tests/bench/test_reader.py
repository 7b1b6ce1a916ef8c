"""The reader's bench: every contestant does the same work, and the ratios are ours over theirs."""

import numpy as np
import pytest
import torch

from bench.reader import report
from bench.reader_contest import Ours, measure, web_samples
from bench.reader_data import FRAMES, WINDOW, pil, turbo, window_of, write
from train.data.sample import WHOLE_ARRAYS


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("bench") / "film-2-64"
    write(root, clips=2, frames=FRAMES, side=64, textured=True, shard_samples=1)
    return root


def test_our_window_is_the_window_of_webdatasets_sample(root):
    ours = Ours(root)
    theirs = {sample["__key__"]: sample for sample in web_samples(root)}
    for encoded, (pictures, arrays, _) in zip(ours.undecoded(), ours.window(), strict=True):
        sample = {name: data for name, data in theirs[encoded.meta.clip_id].items() if not name.startswith("__")}
        for decode, tolerance in ((turbo, 0), (pil, 2)):
            expected, their_arrays = window_of(sample, encoded.window.frames[0], decode)
            assert expected.shape == pictures.shape == (1 + WINDOW, 3, 64, 64)
            assert int((expected[1:].short() - pictures[1:].short()).abs().max()) <= tolerance
        assert len(their_arrays) == len(WHOLE_ARRAYS) + 2
        assert sum(np.array_equal(a, b) for a in arrays.values() for b in their_arrays) == len(WHOLE_ARRAYS)
        batch = ours.reader.read(ours.order.samples(encoded.global_index, encoded.global_index + 1)[0])
        assert torch.equal(torch.cat([batch.reference, batch.target[0]]), pictures)


def test_contestants_print_rates(root):
    for contestant in ("ours undecoded", "webdataset undecoded"):
        rates = measure(contestant, root, root, 1)
        assert len(rates) == 2
        assert min(rates) > 0
    with pytest.raises(ValueError, match="no contestant 'nobody'"):
        measure("nobody", root, root, 1)


def test_ratios_are_ours_over_theirs(capsys):
    rounds = [
        {"ours undecoded": [1.0, 90.0], "webdataset undecoded": [1.0, 30.0]},
        {"ours undecoded": [1.0, 100.0], "webdataset undecoded": [1.0, 20.0]},
        {"ours undecoded": [1.0, 80.0], "webdataset undecoded": [1.0, 40.0]},
    ]
    report(rounds, {"ours resume, from nothing": 0.5, "webdataset resume": 5.0}, 7)
    lines = capsys.readouterr().out.splitlines()
    (theirs,) = (line for line in lines if "webdataset undecoded" in line)
    assert "3.00×   (2.00–5.00)" in theirs
    assert "10.0×" in lines[-1]
