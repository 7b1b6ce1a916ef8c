"""An S3-compatible server (moto) that can be told to fail, in a process of its own.

    python -m tests.pipeline.s3 PORT

Of its own, because delta-rs waits for answers with Python's lock held, and would wait for itself. Faults are set and
read at `/_faults`: `every` turns each n-th request away with 503 SlowDown, 500 InternalError and a 503 without words in
turn; `cut` does so with all whose method, path and query hold a text; `lost` does a request that holds a text once, and
answers 500; `hold` keeps requests waiting that hold a text.
"""

import json
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlencode

ANSWERS = (
    ("503 Slow Down", b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"),
    ("500 Internal Server Error", b"<Error><Code>InternalError</Code><Message>Try again.</Message></Error>"),
    ("503 Service Unavailable", b""),
)
HOLD_S = 60.0


class Faulty:
    """A WSGI application in front of moto's."""

    def __init__(self, inner: Callable[..., Any]) -> None:
        self._inner = inner
        self._lock = threading.Lock()
        self._set = {"every": 0, "cut": "", "lost": "", "hold": ""}
        self._seen = {"requests": 0, "refused": 0, "lost": 0, "held": 0}

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Any:
        if environ["PATH_INFO"] == "/_faults":
            return self._control(environ, start)
        asked = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}?{environ.get('QUERY_STRING', '')}"
        with self._lock:
            self._seen["requests"] += 1
            every = int(self._set["every"])
            refused = bool(every) and self._seen["requests"] % every == 0
            refused |= bool(self._set["cut"]) and str(self._set["cut"]) in asked
            self._seen["refused"] += refused
            held = bool(self._set["hold"]) and str(self._set["hold"]) in asked
            self._seen["held"] += held
            lost = bool(self._set["lost"]) and str(self._set["lost"]) in asked
            if lost:
                self._seen["lost"] += 1
                self._set["lost"] = ""
            number = self._seen["refused"]
        if held:
            time.sleep(HOLD_S)
        if refused:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            return _answer(start, *ANSWERS[number % len(ANSWERS)])
        if lost:
            b"".join(self._inner(environ, lambda *_: None))
            return _answer(start, *ANSWERS[1])
        return self._inner(environ, start)

    def _control(self, environ: dict[str, Any], start: Callable[..., Any]) -> Any:
        given = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
        with self._lock:
            self._set |= {name: values[0] or (0 if name == "every" else "") for name, values in given.items()}
            return _answer(start, "200 OK", json.dumps(self._seen).encode())


def _answer(start: Callable[..., Any], status: str, body: bytes) -> list[bytes]:
    start(status, [("Content-Length", str(len(body))), ("Content-Type", "application/xml")])
    return [body]


def faults(server: str, **settings: str | int) -> dict[str, int]:
    """Sets faults (none given: only looks) and returns what the server has counted so far."""
    with urllib.request.urlopen(f"{server}/_faults?{urlencode(settings)}") as answer:
        return dict(json.loads(answer.read()))


@contextmanager
def served() -> Iterator[str]:
    """A running server's address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "tests.pipeline.s3", str(port)]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        running.terminate()
        running.wait(30)


def main() -> None:
    from moto.server import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import run_simple

    app = Faulty(DomainDispatcherApplication(create_backend_app))
    run_simple("127.0.0.1", int(sys.argv[1]), app, threaded=True, request_handler=MotoRequestHandler)


if __name__ == "__main__":
    main()
