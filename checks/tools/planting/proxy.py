"""A server in front of an environment that passes every GET on, and can spoil what comes back."""

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_OWN = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "host"})
SECONDS = 30.0


@dataclass
class Spoiling:
    """``without``: a header that is taken away. ``broken``: a path answered 500. ``slow``: path -> seconds more."""

    without: str = ""
    broken: str = ""
    slow: dict[str, float] = field(default_factory=dict)


@contextmanager
def spoiled(target: str, spoiling: Spoiling) -> Iterator[str]:
    """The address of a loopback server that asks ``target``; gone when the block is left."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(target, spoiling))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def _handler(target: str, spoiling: Spoiling) -> type[BaseHTTPRequestHandler]:
    parts = urlsplit(target)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.split("?", 1)[0]
            time.sleep(spoiling.slow.get(path, 0.0))
            status, headers, body = self._ask() if path != spoiling.broken else (500, [], b"planted")
            self.send_response_only(status)
            for name, value in headers:
                if name.lower() not in _OWN and name.lower() != spoiling.without.lower():
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _ask(self) -> tuple[int, list[tuple[str, str]], bytes]:
            kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
            connection = kind(parts.hostname or "", parts.port, timeout=SECONDS)
            try:
                # The application answers for its own name only.
                headers = {name: value for name, value in self.headers.items() if name.lower() not in _OWN}
                connection.request("GET", parts.path.rstrip("/") + self.path, headers={**headers, "Host": parts.netloc})
                answer = connection.getresponse()
                return answer.status, answer.getheaders(), answer.read()
            except (OSError, http.client.HTTPException) as error:
                return 502, [], str(error).encode()
            finally:
                connection.close()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    return Handler
