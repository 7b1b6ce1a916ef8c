from pathlib import Path

from train.metrics import MetricsWriter, read_metrics


def test_a_resumed_run_overwrites_the_steps_it_takes_again(tmp_path: Path) -> None:
    first = MetricsWriter(folder=tmp_path, first_step=1, last_step=5)
    for step in range(1, 6):
        first.write(step, {"loss": 1 / 3 * step})
    first.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 6, "lo')  # a kill in the middle of a line
    again = MetricsWriter(folder=tmp_path, first_step=4, last_step=5)
    again.write(4, {"loss": 0.5})
    again.close()
    lines = read_metrics(tmp_path / "metrics.jsonl")
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    assert lines[1]["loss"] == 2 / 3
    assert lines[3]["loss"] == 0.5


def test_no_file_is_no_metrics(tmp_path: Path) -> None:
    assert read_metrics(tmp_path / "absent.jsonl") == []
