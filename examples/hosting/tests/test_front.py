import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import HOSTING, Site, free_port, wait_until
from cryptography import x509

Answer = http.client.HTTPResponse
TELLING = """
import json

def application(environ, start_response):
    told = {name: str(value) for name, value in environ.items() if name.startswith(("HTTP_", "wsgi.url", "REQUEST_M"))}
    told["body"] = environ["wsgi.input"].read().decode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
    return [json.dumps(told).encode()]
"""


def put_in_front(site: Site) -> int:
    """TLS in front of the environment, as prepare.py puts it there: the port."""
    make_certificate(site)
    port = free_port()
    site.home.front.write_text(json.dumps({"port": port}))
    wait_until(lambda: answers(port))
    return port


def make_certificate(site: Site) -> str:
    command = [sys.executable, str(HOSTING / "certificate.py")]
    environment = os.environ | {"APP_HOME": str(site.home.root)}
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def ask(
    site: Site, port: int, method: str = "GET", body: str | None = None, **headers: str
) -> http.client.HTTPResponse:
    trusting = ssl.create_default_context(cafile=str(site.home.authority))
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=trusting, timeout=10)
    connection.request(method, "/page?x=1", body, {name.replace("_", "-"): text for name, text in headers.items()})
    return connection.getresponse()


@pytest.fixture
def telling(site: Site) -> Site:
    site.add_release("1", TELLING)
    assert site.switch("forward").returncode == 0
    return site


def test_a_visitor_by_tls_reaches_the_server_which_knows_it(telling: Site) -> None:
    port = put_in_front(telling)
    answer = ask(telling, port, "POST", "name=x", Cookie="c=3", X_Forwarded_Proto="http", X_Forwarded_For="192.0.2.1")
    told = json.load(answer)
    assert (answer.status, answer.headers.get_all("Set-Cookie")) == (200, ["a=1", "b=2"])
    assert (told["wsgi.url_scheme"], told["REQUEST_METHOD"], told["body"]) == ("https", "POST", "name=x")
    assert (told["HTTP_COOKIE"], told["HTTP_HOST"]) == ("c=3", f"127.0.0.1:{port}")
    # What a visitor says of itself as a proxy would is not believed.
    assert told["HTTP_X_FORWARDED_FOR"] == "127.0.0.1"
    # The way without TLS stays as it was.
    assert json.loads(telling.answer())["wsgi.url_scheme"] == "http"


def test_one_connection_asks_again_and_a_head_has_no_body(telling: Site) -> None:
    port = put_in_front(telling)
    trusting = ssl.create_default_context(cafile=str(telling.home.authority))
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=trusting, timeout=10)
    for method in ("GET", "HEAD", "GET"):
        connection.request(method, "/")
        answer = connection.getresponse()
        assert (answer.status, bool(answer.read())) == (200, method == "GET")


def test_nobody_else_is_believed_to_be_the_server(telling: Site) -> None:
    port = put_in_front(telling)
    with pytest.raises(ssl.SSLCertVerificationError):
        ssl.create_default_context().wrap_socket(
            socket.create_connection(("127.0.0.1", port)), server_hostname="127.0.0.1"
        )
    assert oct(telling.home.certificate.stat().st_mode)[-3:] == "600"


def test_a_server_that_does_not_run_is_told(site: Site) -> None:
    wait_until(site.home.state.exists)
    # The host has its port already; the front will ask at one where nobody is.
    site.home.write_settings({**site.home.read_settings(), "PORT": str(free_port())})
    port = put_in_front(site)
    answer = ask(site, port)
    assert (answer.status, "The server behind did not answer" in answer.read().decode()) == (502, True)


def test_a_front_that_dies_is_started_again_and_ends_with_the_host(telling: Site) -> None:
    port = put_in_front(telling)
    (killed,) = fronts(telling)
    os.kill(killed, signal.SIGKILL)
    # One that is dying has no command any more, but its port still takes connections for a moment. The host starts
    # another when the first is gone, so what counts is the other.
    wait_until(lambda: fronts(telling) not in ([], [killed]))
    wait_until(lambda: answers(port))
    assert ask(telling, port).status == 200
    telling.host.send_signal(signal.SIGKILL)
    telling.host.wait()
    wait_until(lambda: not answers(port))


def fronts(site: Site) -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*") if is_front(path, site)]


def is_front(process: Path, site: Site) -> bool:
    try:
        command = (process / "cmdline").read_text()
    except OSError:
        return False
    return "front.py" in command and str(site.home.root) in command


def test_a_certificate_is_kept_while_it_is_valid_for_long_and_made_anew_then(site: Site) -> None:
    make_certificate(site)
    first = site.home.certificate.read_bytes()
    assert "is kept" in make_certificate(site)
    assert site.home.certificate.read_bytes() == first
    certificate = x509.load_pem_x509_certificate(first)
    assert certificate.not_valid_after_utc - datetime.now(UTC) > timedelta(days=360)
    site.home.authority.unlink()
    assert "was made" in make_certificate(site)
