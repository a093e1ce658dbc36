"""Asking declared requests of a real server."""

import ssl
import subprocess
import threading
import time
from datetime import timedelta
from http.server import HTTPServer
from pathlib import Path
from typing import Any

import pytest

from checks.errors import Cancelled
from checks.plan import Request
from checks.tools import http
from checks.tools.origins import origin, same_address, same_place
from tests.kinds_deploy.local_server import LocalServer, Reply, _handler, serving


def ask(base: str, *requests: Request, check: Any = lambda: None) -> list[http.Answer]:
    return http.ask_all(base, requests, answered=lambda answer: None, check=check)


def within(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def test_status_text_and_time_as_declared_pass() -> None:
    with serving({"/a": Reply(200, "schön".encode())}) as server:
        (answer,) = ask(server.url, Request(path="/a", text="schön"))
    assert answer.passed
    assert answer.status == 200
    assert 0 < answer.seconds < 1


def test_each_request_is_reported_although_the_first_failed() -> None:
    with serving({"/b": Reply()}) as server:
        answers = ask(server.url, Request(path="/a"), Request(path="/b"), Request(path="/c", text="x"))
    assert [answer.passed for answer in answers] == [False, True, False]
    assert answers[0].problems == ("answered 404, expected 200",)
    assert answers[2].problems == ("answered 404, expected 200", "the text 'x' is not in the answer")


def test_a_slow_answer_fails_and_says_how_slow() -> None:
    with serving({"/a": Reply(delay=0.4)}) as server:
        (answer,) = ask(server.url, Request(path="/a", within=within(0.1)))
    assert not answer.passed
    assert answer.status == 200
    assert "limit 0.1 s" in answer.problems[0]


def test_no_answer_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "PATIENCE_SECONDS", 0.1)
    with serving({"/a": Reply(delay=3)}) as server:
        begin = time.monotonic()
        (answer,) = ask(server.url, Request(path="/a", within=within(0.2)))
    assert answer.status is None
    assert "no answer within" in answer.problems[0]
    assert time.monotonic() - begin < 5


def test_a_dropped_connection_is_a_failure_with_a_sentence() -> None:
    with serving({"/a": Reply(drop=True)}) as server:
        (answer,) = ask(server.url, Request(path="/a"))
    assert answer.problems == ("the server closed the connection without an answer",)


def test_nobody_listening_is_a_failure_with_a_sentence() -> None:
    with serving() as server:
        url = server.url
    (answer,) = ask(url, Request(path="/a"))
    assert "no connection to 127.0.0.1" in answer.problems[0]


def test_a_redirect_on_the_same_host_is_followed() -> None:
    with serving({"/a": Reply(302, headers={"Location": "/b"}), "/b": Reply(body=b"there")}) as server:
        (answer,) = ask(server.url, Request(path="/a", text="there"))
    assert answer.passed
    assert answer.redirected_to.endswith("/b")


def test_a_declared_redirect_is_not_followed() -> None:
    with serving({"/a": Reply(302, headers={"Location": "/b"})}) as server:
        (answer,) = ask(server.url, Request(path="/a", status=302))
        assert answer.passed
        assert server.seen == ["/a"]


@pytest.mark.parametrize("target", ["http://169.254.169.254/latest/", "//localhost/x", "http://127.0.0.1:1/"])
def test_a_redirect_to_another_place_is_reported_and_not_followed(target: str) -> None:
    with serving({"/a": Reply(302, headers={"Location": target})}) as server:
        (answer,) = ask(server.url, Request(path="/a"))
    assert "redirects to another host, not followed" in answer.problems[0]
    assert answer.status == 302


def test_a_redirect_in_a_circle_ends() -> None:
    with serving({"/a": Reply(302, headers={"Location": "/a"})}) as server:
        (answer,) = ask(server.url, Request(path="/a"))
    assert answer.problems == ("redirects more than 5 times",)


def test_an_endless_body_is_read_only_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MAX_BODY_BYTES", 100_000)
    with serving({"/a": Reply(body=b"a" * 2_000_000 + b"needle")}) as server:
        (answer,) = ask(server.url, Request(path="/a", text="needle"))
    assert answer.problems == ("the text 'needle' is not in the first 100,000 bytes of the answer",)


def test_a_stop_is_obeyed_while_waiting() -> None:
    begin = time.monotonic()

    def check() -> None:
        if time.monotonic() - begin > 0.5:
            raise Cancelled

    with serving({"/a": Reply(delay=4)}) as server, pytest.raises(Cancelled):
        ask(server.url, Request(path="/a"), check=check)
    assert time.monotonic() - begin < 8


@pytest.fixture
def self_signed(tmp_path: Path) -> ssl.SSLContext:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
         "-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    return context


def test_a_certificate_nobody_vouches_for_is_a_failure(self_signed: ssl.SSLContext) -> None:
    server = HTTPServer(("127.0.0.1", 0), _handler(lambda: LocalServer(0, {"/a": Reply()})))
    server.socket = self_signed.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        (answer,) = ask(f"https://127.0.0.1:{server.server_address[1]}", Request(path="/a"))
    finally:
        server.shutdown()
        server.server_close()
    assert answer.status is None
    assert "certificate is not valid" in answer.problems[0]


@pytest.mark.parametrize(
    ("base", "path", "expected"),
    [
        ("http://host", "/a", "http://host/a"),
        ("http://host/", "/a", "http://host/a"),
        ("http://host/app/", "/a?b=c", "http://host/app/a?b=c"),
        ("http://host/app?x=1#y", "/a", "http://host/app/a"),
    ],
)
def test_a_path_is_put_below_the_address(base: str, path: str, expected: str) -> None:
    assert http.address_of(base, path) == expected


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("http://host", "http://host:80/a", True),
        ("http://host", "https://host/a", True),
        ("https://host", "http://host/a", False),
        ("http://host:8000", "https://host:8443", False),
        ("http://host", "http://HOST./", True),
        ("http://host", "http://host.evil", False),
    ],
)
def test_which_addresses_are_one_place(first: str, second: str, same: bool) -> None:
    assert same_place(first, second) is same


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("https://shop.example/", "https://SHOP.example:443", True),
        ("http://shop.example", "https://shop.example", True),
        ("https://shop.example", "http://shop.example", True),
        ("https://shop.example/staging", "https://shop.example", False),
        ("http://shop.example:99999", "http://shop.example:99999", False),
        ("", "", False),
    ],
)
def test_which_addresses_are_one(first: str, second: str, same: bool) -> None:
    assert same_address(first, second) is same


@pytest.mark.parametrize("url", ["file:///etc/passwd", "http://", "ftp://host", "http://user:word@host/"])
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="address"):
        origin(url)
