"""A server in front of an environment that passes every request on, and can spoil what comes back."""

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
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

    ``kept``: a path where people log out; it takes the visitor's cookies away and does not tell the application, which
    is told when the server goes. ``expired``: it is reached by TLS, with a certificate that was valid until yesterday.
    ``site``: pages of its own are answered (address with query -> body), and the environment is never asked.
    """

    without: str = ""
    broken: str = ""
    slow: dict[str, float] = field(default_factory=dict)
    kept: str = ""
    expired: bool = False
    site: Callable[[str], bytes] | None = None


@dataclass(frozen=True)
class _Asked:
    """A request as the environment gets it."""

    method: str
    address: str
    sent: bytes | None
    headers: Mapping[str, str]


#: Status, headers, body.
_Answer = tuple[int, list[tuple[str, str]], bytes]


@dataclass
class _Front:
    """What the server stands in front of. ``held``: requests that the environment gets when the server goes."""

    target: str
    spoiling: Spoiling
    held: list[_Asked] = field(default_factory=list)

    @property
    def base(self) -> str:
        parts = urlsplit(self.target)
        return f"{parts.scheme}://{parts.netloc}"

    def ask(self, request: _Asked) -> _Answer:
        parts = urlsplit(self.target)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=SECONDS)
        try:
            address = parts.path.rstrip("/") + request.address
            connection.request(request.method, address, request.sent, headers=dict(request.headers))
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        except (OSError, http.client.HTTPException) as error:
            return 502, [], str(error).encode()
        finally:
            connection.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    #: Under load many come at once.
    request_queue_size = 128
    tls: ssl.SSLContext | None = None

    def __init__(self, front: _Front) -> None:
        self.front = front
        super().__init__(("127.0.0.1", 0), _Handler)

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
    front = _Front(target, spoiling)
    server = _Server(front)
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
        for request in front.held:
            front.ask(request)


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        spoiling, path = self.server.front.spoiling, self.path.split("?", 1)[0]
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0)) or None
        time.sleep(spoiling.slow.get(path, spoiling.slow.get(EVERY, 0.0)))
        status, headers, body = self._answered(path, sent)
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in _OWN and name.lower() != spoiling.without.lower():
                self.send_header(name, self._here(value) if name.lower() == "location" else value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - the interface's name

    def _answered(self, path: str, sent: bytes | None) -> _Answer:
        front, spoiling = self.server.front, self.server.front.spoiling
        if path == spoiling.broken:
            return 500, [], b"planted"
        if spoiling.site is not None:
            return 200, [("Content-Type", "text/html; charset=utf-8")], spoiling.site(self.path)
        headers = {name: self._there(value) for name, value in self.headers.items() if name.lower() not in _OWN}
        # The application answers for its own name only.
        request = _Asked(self.command, self.path, sent, {**headers, "Host": urlsplit(front.target).netloc})
        if path == spoiling.kept:
            front.held.append(request)
            return 302, [("Location", "/"), *self._forgotten()], b""
        return front.ask(request)

    def _forgotten(self) -> list[tuple[str, str]]:
        """Takes every cookie away that the visitor sent."""
        names = SimpleCookie(self.headers.get("Cookie", "")).keys()
        return [("Set-Cookie", f"{name}=; Path=/; Max-Age=0") for name in names]

    def _here(self, address: str) -> str:
        """A redirect to the environment's own address leads back here, else who follows it goes around us."""
        base = self.server.front.base
        return self._own() + address.removeprefix(base) if address.startswith(f"{base}/") else address

    def _there(self, value: str) -> str:
        """Where a form was sent from (Origin, Referer), as the environment knows itself."""
        own = self._own()
        return (
            self.server.front.base + value.removeprefix(own) if value == own or value.startswith(f"{own}/") else value
        )

    def _own(self) -> str:
        return f"http://127.0.0.1:{self.connection.getsockname()[1]}"

    def log_message(self, *_: object) -> None:
        """Quiet."""
