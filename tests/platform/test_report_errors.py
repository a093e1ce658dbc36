"""The program's own errors go to Sentry where a DSN is set, without the values that they happened with."""

import gzip
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
#: A page that breaks while it holds a secret, asked for with a form that holds another.
BREAKS = """
import django
django.setup()
import sentry_sdk
from django.test import Client

def broken(request):
    import http.client, os, subprocess
    given = subprocess.run(["sh", "-c", "env; : $0", "argument-of-a-child"], capture_output=True, text=True).stdout
    print([line for line in given.splitlines() if line.startswith("SUBPROCESS_")])
    host, port = os.environ["CALLED"].split(":")
    caller = http.client.HTTPConnection(host, int(port))
    caller.request("POST", "/hook/kept-in-an-address", body=b"{}")
    caller.getresponse().read()
    local = "held-in-a-variable".upper()
    raise RuntimeError("The page broke.")

from django.urls import path
from config import urls
urls.urlpatterns.insert(0, path("broken/", broken))
client = Client(raise_request_exception=False, headers={"host": "localhost"})
answer = client.post("/broken/", {"password": "sent-in-a-form"}, secure=True)
sentry_sdk.flush(10)
print(answer.status_code)
"""


class Received(HTTPServer):
    bodies: list[bytes]


@pytest.fixture
def collector() -> Iterator[Received]:
    """What Sentry's client sends, as a server of Sentry would take it."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            packed = self.headers.get("Content-Encoding") == "gzip"
            server.bodies.append(gzip.decompress(body) if packed else body)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_args: object) -> None:
            """Quiet."""

    server = Received(("127.0.0.1", 0), Handler)
    server.bodies = []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def test_an_error_is_reported_without_what_it_happened_with(collector: Received) -> None:
    dsn = f"http://key@127.0.0.1:{collector.server_address[1]}/1"
    done = subprocess.run(
        [sys.executable, "-c", BREAKS], cwd=ROOT, capture_output=True, text=True, timeout=60,
        env=os.environ | {"SENTRY_DSN": dsn, "CALLED": f"127.0.0.1:{collector.server_address[1]}"},
    )  # fmt: skip
    assert done.stdout.strip().endswith("500"), done.stderr
    sent = b"".join(collector.bodies).decode()
    assert "['SUBPROCESS_" not in done.stdout, "children get what the plan gives them"
    assert "The page broke." in sent
    assert "RuntimeError" in sent
    assert "HELD-IN-A-VARIABLE" not in sent
    assert "sent-in-a-form" not in sent
    assert b"{}" in collector.bodies, "the call before the error went through"
    assert "kept-in-an-address" not in sent
    assert "argument-of-a-child" not in sent
