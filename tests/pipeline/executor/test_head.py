"""Whether the cluster's head answers: real sockets in its place (tests/pipeline/executor/test_cluster.py kills a real
head)."""

import socket
import threading
import time
from types import SimpleNamespace

import pytest

from pipeline.executor import cluster
from pipeline.executor.cluster import ASK_S, ClusterLostError, ask, head_patience_s, wait_for_head


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> int:
    """A free port of this machine, in the place of the head's."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number = int(probe.getsockname()[1])
    context = SimpleNamespace(gcs_address=f"127.0.0.1:{number}")
    monkeypatch.setattr(cluster.ray, "get_runtime_context", lambda: context)
    return number


def patience(monkeypatch: pytest.MonkeyPatch, ray_waits_s: float) -> None:
    monkeypatch.setenv("RAY_gcs_rpc_server_reconnect_timeout_s", str(ray_waits_s))


def test_a_head_that_answers_costs_no_time(port: int) -> None:
    with socket.create_server(("127.0.0.1", port)):
        began = time.monotonic()
        wait_for_head()
        assert time.monotonic() - began < ASK_S


def test_a_head_that_stays_away_is_named_with_the_remedy(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    patience(monkeypatch, 0.1)
    with pytest.raises(ClusterLostError, match="Start the cluster again, head and nodes, then run the same") as error:
        wait_for_head()
    assert f"127.0.0.1:{port}" in str(error.value)
    assert isinstance(error.value, ConnectionError)  # which the command line turns into a message and exit code 1


def test_a_head_that_comes_back_is_waited_for(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    patience(monkeypatch, 600)
    servers = []
    timer = threading.Timer(0.3, lambda: servers.append(socket.create_server(("127.0.0.1", port))))
    timer.start()
    try:
        wait_for_head()
    finally:
        timer.join()
        for server in servers:
            server.close()
    assert servers


def test_the_driver_gives_up_before_ray_ends_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_gcs_rpc_server_reconnect_timeout_s", raising=False)
    assert head_patience_s() == 30
    patience(monkeypatch, 600)
    assert head_patience_s() == 300


def test_a_head_that_goes_while_it_is_asked_is_named_too(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    patience(monkeypatch, 0.1)
    server, never = socket.create_server(("127.0.0.1", port)), threading.Event()

    def question() -> None:
        server.close()
        never.wait(60)

    began = time.monotonic()
    with pytest.raises(ClusterLostError, match="Start the cluster again"):
        ask(question)
    assert time.monotonic() - began < 30
    never.set()


def test_slow_answers_are_waited_for_and_errors_are_the_questions_own(port: int) -> None:
    def slow() -> int:
        time.sleep(ASK_S * 1.2)
        return 5

    def wrong() -> None:
        raise KeyError("stage")

    with socket.create_server(("127.0.0.1", port)):
        assert ask(slow) == 5
        with pytest.raises(KeyError, match="stage"):
            ask(wrong)
