"""The server that the test of the gate puts in front of an environment: all passes it, but what it spoils."""

import http.client
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from checks.tools.planting.proxy import EVERY, Spoiling, spoiled


class Echo(BaseHTTPRequestHandler):
    """Answers what it was sent, and redirects /old to its own /new."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(302 if self.path == "/old" else 200)
        if self.path == "/old":
            self.send_header("Location", f"http://{self.headers['Host']}/new")
        self.send_header("Set-Cookie", "one=1")
        self.send_header("Set-Cookie", "two=2")
        self.end_headers()
        self.wfile.write(self.command.encode() + b" " + body)

    do_GET = do_POST  # noqa: N815 - the interface's name

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def target() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join(5)


def ask(url: str, path: str, method: str = "GET", body: str | None = None) -> tuple[int, list[tuple[str, str]], bytes]:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    connection.request(method, path, body)
    answer = connection.getresponse()
    return answer.status, answer.getheaders(), answer.read()


def test_what_is_sent_arrives_and_what_is_answered_comes_back(target: str) -> None:
    with spoiled(target, Spoiling()) as url:
        status, headers, body = ask(url, "/form", "POST", "name=Ada")
        assert (status, body) == (200, b"POST name=Ada")
        assert [value for name, value in headers if name == "Set-Cookie"] == ["one=1", "two=2"]


def test_a_redirect_does_not_lead_around_it(target: str) -> None:
    with spoiled(target, Spoiling()) as url:
        _, headers, _ = ask(url, "/old")
        assert dict(headers)["Location"] == f"{url}/new"


def test_every_answer_is_slow_and_one_may_be_slower(target: str) -> None:
    with spoiled(target, Spoiling(slow={EVERY: 0.2, "/slower": 0.5})) as url:
        for path, least in (("/", 0.2), ("/slower?page=2", 0.5)):
            began = time.monotonic()
            ask(url, path)
            assert time.monotonic() - began >= least


def test_a_broken_path_takes_what_is_sent_and_never_asks_the_application(target: str) -> None:
    with spoiled(target, Spoiling(broken="/form")) as url:
        assert ask(url, "/form", "POST", "x" * 100_000)[::2] == (500, b"planted")


def test_it_is_gone_afterwards(target: str) -> None:
    with spoiled(target, Spoiling()) as url:
        ask(url, "/")
    with pytest.raises(ConnectionRefusedError):
        ask(url, "/")


def test_a_log_out_takes_the_cookies_and_reaches_the_application_when_the_server_goes() -> None:
    seen: list[tuple[str, str]] = []

    class Told(Echo):
        def do_POST(self) -> None:
            seen.append((self.path, self.headers.get("Origin", "")))
            super().do_POST()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Told)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    target = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        with spoiled(target, Spoiling(kept="/out")) as url:
            connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
            connection.request("POST", "/out", "token=1", {"Cookie": "session=abc; theme=dark", "Origin": url})
            answer = connection.getresponse()
            assert (answer.status, answer.getheader("Location")) == (302, "/")
            taken = [value for name, value in answer.getheaders() if name == "Set-Cookie"]
            assert taken == ["session=; Path=/; Max-Age=0", "theme=; Path=/; Max-Age=0"]
            assert seen == []
        assert seen == [("/out", target)]
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def test_pages_of_its_own_never_ask_the_environment() -> None:
    with spoiled("http://127.0.0.1:9", Spoiling(site=lambda address: address.encode())) as url:
        assert ask(url, "/any?q=1")[::2] == (200, b"/any?q=1")
