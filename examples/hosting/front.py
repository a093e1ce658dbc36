"""TLS in front of one environment: takes connections by HTTPS, and asks the server behind as a proxy does.

    python front.py APP_HOME

Started by the host where APP_HOME/tls/front.json names a port, and ended with it. What a visitor claims of itself as a
proxy would (X-Forwarded-…) is not passed on.
"""

import http.client
import json
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from home import Home, OpsError

PATIENCE_SECONDS = 60.0
MAX_BODY_BYTES = 50_000_000
#: Headers of one connection, which are not passed from one to the next.
OF_THE_CONNECTION = frozenset({
    "connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "content-length",
    "expect",
})  # fmt: skip


class Front(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, port: int, behind: int, certificate: Path) -> None:
        self.behind = behind
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.load_cert_chain(certificate)
        super().__init__(("127.0.0.1", port), Passing)

    def finish_request(self, request: Any, client_address: Any) -> None:
        # In the connection's own thread: a handshake that fails or never ends must not stop the others.
        try:
            request.settimeout(PATIENCE_SECONDS)
            with self.context.wrap_socket(request, server_side=True) as secured:
                super().finish_request(secured, client_address)
        except OSError:
            return


class Passing(BaseHTTPRequestHandler):
    """One connection of a visitor."""

    protocol_version = "HTTP/1.1"
    server: Front
    methods: ClassVar = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_") and name[3:] in self.methods:
            return self.passed_on
        raise AttributeError(name)

    def passed_on(self) -> None:
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not length.isdecimal() or int(length) > MAX_BODY_BYTES:
            self.close_connection = True
            self.send_error(411 if "Transfer-Encoding" in self.headers else 413)
            return
        body = self.rfile.read(int(length))
        behind = http.client.HTTPConnection("127.0.0.1", self.server.behind, timeout=PATIENCE_SECONDS)
        try:
            behind.request(self.command, self.path, body or None, self._headers())
            answer = behind.getresponse()
            self._answer(answer, answer.read())
        except (OSError, http.client.HTTPException) as error:
            self.close_connection = True
            self.send_error(502, explain=f"The server behind did not answer: {error}.")
        finally:
            behind.close()

    def _headers(self) -> dict[str, str]:
        given = {
            name: value
            for name, value in self.headers.items()
            if name.lower() not in OF_THE_CONNECTION and not name.lower().startswith(("x-forwarded", "forwarded"))
        }
        return {**given, "X-Forwarded-Proto": "https", "X-Forwarded-For": self.client_address[0]}

    def _answer(self, answer: http.client.HTTPResponse, body: bytes) -> None:
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in OF_THE_CONNECTION:
                self.send_header(name, value)
        if self.command == "HEAD" and (length := answer.getheader("Content-Length")):
            self.send_header("Content-Length", length)
        elif answer.status not in (204, 304):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class names it so
        """The server behind writes down who asked for what."""


def main() -> None:
    home = Home(Path(sys.argv[1]).resolve())
    port = int(json.loads(home.front.read_text(encoding="utf-8"))["port"])
    with Front(port, int(home.read_settings()["PORT"]), home.certificate) as front:
        front.serve_forever()


if __name__ == "__main__":
    try:
        main()
    except (OpsError, OSError, KeyError, ValueError) as error:
        sys.exit(f"front: {error}")
