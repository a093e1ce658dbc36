"""The imported advisories on loopback for as long as a tool asks, for workers beside which no web server stands.

with served() as url:
    context.capture(["pip-audit", "-s", "osv", "--osv-url", url, ...])
"""

import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from django.db import connection

from checks.advisories.querying import MAX_BODY_BYTES, answer

_PATIENCE: Final = 10


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _PATIENCE
    # Head and body leave together and at once; apart, each answer would wait 40 ms for an acknowledgement.
    wbufsize = 64 * 1024
    disable_nagle_algorithm = True
    server: "_Server"

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if self.path != self.server.path or not length.isdecimal() or int(length) > MAX_BODY_BYTES:
            self.close_connection = True
            return self._send(404, {"code": 5, "message": "There is nothing here."})
        return self._send(*answer(self.rfile.read(int(length))))

    def _send(self, status: int, document: dict[str, object]) -> None:
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def finish(self) -> None:
        """Each connection has a thread of its own, and that a connection to the database of its own."""
        super().finish()
        connection.close()

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class names it so
        """The tool's own output stands in the log already."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    path = ""


@contextmanager
def served() -> Iterator[str]:
    """The address of ``/v1/query``, below a path that only who was told it can guess; gone with the block."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.path = f"/{secrets.token_urlsafe(16)}/v1/query"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}{server.path}"
        finally:
            server.shutdown()
            thread.join()
