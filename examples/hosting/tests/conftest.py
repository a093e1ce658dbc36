"""A real host with a real gunicorn, and releases that are one small file each."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

HOSTING = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(HOSTING))

from home import Home  # noqa: E402 - found only after the line above

GOOD = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"{version}"]
"""


class Site:
    """One environment under a host; `url` is where it answers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = Home(folder / "production")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self.home.data.mkdir(parents=True)
        settings = {"PORT": str(self.port), "WSGI_MODULE": "site_of_test", "PYTHONPATH": "{RELEASE_DIR}"}
        self.home.write_settings({**settings, "WEB_WORKERS": "1"})
        self.host = self.start_host()

    def start_host(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, str(HOSTING), str(self.folder)])

    def add_release(self, version: str, code: str = GOOD) -> None:
        release = self.home.release(version, version * 12)
        release.mkdir(parents=True)
        (release / "venv").symlink_to(sys.prefix)
        (release / "release.json").write_text(json.dumps({"version": version}))
        (release / "site_of_test.py").write_text(code.replace("{version}", version))

    def switch(self, verb: str, version: str = "1") -> subprocess.CompletedProcess[str]:
        digest = version * 12
        variables = {"APP_HOME": str(self.home.root), "GONOGO_VERSION": version, "GONOGO_BUILD_DIGEST": digest}
        command = [sys.executable, str(HOSTING / "switch.py"), verb]
        return subprocess.run(
            command, check=False, env=os.environ | variables, capture_output=True, text=True, timeout=60
        )

    def answer(self, timeout: float = 10) -> str:
        with urllib.request.urlopen(self.url, timeout=timeout) as response:  # noqa: S310 - loopback only
            return response.read().decode()

    def state(self) -> dict[str, object]:
        return json.loads(self.home.state.read_text())


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def wait_until(true: object, seconds: float = 15) -> None:
    """Wait until a callable returns something true; fail the test when it does not."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    if site.host.poll() is None:
        site.host.send_signal(signal.SIGTERM)
        assert site.host.wait(40) == 0
