"""A server in front of an environment that passes every request on, and can spoil what comes back."""

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from checks.tools.planting.certificate import expired

_OWN = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "host"})
SECONDS = 30.0
EVERY = "*"


@dataclass
class Spoiling:
    """``without``: a header that is taken away. ``broken``: a path answered 500. ``slow``: path or EVERY -> seconds.

    ``expired``: it is reached by TLS, with a certificate that was valid until yesterday.
    """

    without: str = ""
    broken: str = ""
    slow: dict[str, float] = field(default_factory=dict)
    expired: bool = False


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    #: Under load many come at once.
    request_queue_size = 128
    tls: ssl.SSLContext | None = None

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        if self.tls is not None:
            # The handshake waits for the thread of this visitor; one who breaks it off keeps nobody else waiting.
            connection = self.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Quiet: who asks for all that TLS has ever been breaks most handshakes off."""


@contextmanager
def spoiled(target: str, spoiling: Spoiling) -> Iterator[str]:
    """The address of a loopback server that asks ``target``; gone when the block is left."""
    server = _Server(("127.0.0.1", 0), _handler(target, spoiling))
    if spoiling.expired:
        server.tls = expired()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"{'https' if spoiling.expired else 'http'}://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def _handler(target: str, spoiling: Spoiling) -> type[BaseHTTPRequestHandler]:
    parts = urlsplit(target)
    base = f"{parts.scheme}://{parts.netloc}"

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.split("?", 1)[0]
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0)) or None
            time.sleep(spoiling.slow.get(path, spoiling.slow.get(EVERY, 0.0)))
            status, headers, body = self._ask(sent) if path != spoiling.broken else (500, [], b"planted")
            self.send_response_only(status)
            for name, value in headers:
                if name.lower() not in _OWN and name.lower() != spoiling.without.lower():
                    self.send_header(name, self._here(value) if name.lower() == "location" else value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - the interface's name

        def _here(self, address: str) -> str:
            """A redirect to the environment's own address leads back here, else who follows it goes around us."""
            own = f"http://127.0.0.1:{self.connection.getsockname()[1]}"
            return own + address.removeprefix(base) if address.startswith(f"{base}/") else address

        def _ask(self, sent: bytes | None) -> tuple[int, list[tuple[str, str]], bytes]:
            kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
            connection = kind(parts.hostname or "", parts.port, timeout=SECONDS)
            try:
                # The application answers for its own name only.
                headers = {name: value for name, value in self.headers.items() if name.lower() not in _OWN}
                there = {**headers, "Host": parts.netloc}
                connection.request(self.command, parts.path.rstrip("/") + self.path, sent, headers=there)
                answer = connection.getresponse()
                return answer.status, answer.getheaders(), answer.read()
            except (OSError, http.client.HTTPException) as error:
                return 502, [], str(error).encode()
            finally:
                connection.close()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    return Handler
