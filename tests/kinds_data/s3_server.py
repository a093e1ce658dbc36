"""A real S3 server on a loopback port (moto's), and weather in front of it: answers lost, cut, late, or refused."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

Environ = dict[str, Any]
#: Gets the request and the pieces of its answer; gives back what the client gets, and may raise to cut the connection.
Trouble = Callable[[Environ, Iterable[bytes]], Iterable[bytes]]


@dataclass
class Weather:
    """``rules``: (which requests, what happens to their answer). ``seen``: "METHOD /path?query" of every request."""

    app: Any
    rules: list[tuple[Callable[[Environ], bool], Trouble]] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        self.seen.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}?{environ['QUERY_STRING']}")
        trouble = next((does for wanted, does in self.rules if wanted(environ)), None)
        if trouble is refuse:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start_response("503 Slow Down", [("Content-Type", "application/xml"), ("Content-Length", "0")])
            return [b""]
        answer: Iterable[bytes] = self.app(environ, start_response)
        return trouble(environ, answer) if trouble else answer


def refuse(_environ: Environ, _answer: Iterable[bytes]) -> Iterable[bytes]:
    """503 Slow Down, and the request never reaches the store."""
    raise AssertionError("answered before it is asked")


def cut_after(size: int) -> Trouble:
    """The connection breaks after so many bytes of the answer."""

    def trouble(_environ: Environ, answer: Iterable[bytes]) -> Iterator[bytes]:
        whole = b"".join(answer)
        yield whole[:size]
        raise ConnectionAbortedError("the weather")

    return trouble


def silent_after(size: int, seconds: float) -> Trouble:
    """So many bytes, then nothing for so long, then the rest."""

    def trouble(_environ: Environ, answer: Iterable[bytes]) -> Iterator[bytes]:
        whole = b"".join(answer)
        yield whole[:size]
        time.sleep(seconds)
        yield whole[size:]

    return trouble


def slow(pieces: int, seconds: float) -> Trouble:
    """The whole answer in so many pieces, over so long."""

    def trouble(_environ: Environ, answer: Iterable[bytes]) -> Iterator[bytes]:
        whole = b"".join(answer)
        step = max(1, len(whole) // pieces)
        for at in range(0, len(whole), step):
            time.sleep(seconds / pieces)
            yield whole[at : at + step]

    return trouble


def at_most(times: int, wanted: Callable[[Environ], bool]) -> Callable[[Environ], bool]:
    """Only the first so many of the wanted requests."""
    left = [times]

    def one_of_them(environ: Environ) -> bool:
        if left[0] and wanted(environ):
            left[0] -= 1
            return True
        return False

    return one_of_them


def reads(environ: Environ) -> bool:
    """Whether it asks for an object's body."""
    return environ["REQUEST_METHOD"] == "GET" and "HTTP_RANGE" in environ


def writes_part(environ: Environ) -> bool:
    return environ["REQUEST_METHOD"] == "PUT" and "partNumber" in environ["QUERY_STRING"]


@contextmanager
def s3_server() -> Iterator[tuple[str, Weather]]:
    """The server's host:port, and its weather."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - the name of the library
            return

    weather = Weather(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, weather, threaded=True, request_handler=Quiet)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}", weather
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
