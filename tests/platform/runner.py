"""The real local runner in a process of its own, with a folder and ports that belong to one test."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil

from config.services.home import BASE_DIR, Home
from config.services.ports import free_port
from config.services.sweep import MARK

NOT_INHERITED = (
    "DATABASE_URL",
    "REDIS_URL",
    "STORAGE_URL",
    "GONOGO_HOME",
    "GONOGO_TEST_REDIS",
    "DJANGO_SETTINGS_MODULE",
    "DATABASE_POOL_SIZE",
    "PYTEST_XDIST_WORKER",
)


def eventually(condition: Callable[[], Any], within: float = 30.0) -> Any:
    """Return the first true value of `condition`; fail after `within` seconds."""
    until = time.monotonic() + within
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < until, f"not true within {within} s: {condition}"
        time.sleep(0.05)


class Runner:
    """`python -m config.services up` in front of nobody."""

    def __init__(self, root: Path, **variables: str) -> None:
        self.home = Home(root)
        self.port = free_port()
        kept = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
        self.variables = {
            **kept,
            "GONOGO_HOME": str(root),
            "GONOGO_PORT": str(self.port),
            "STATIC_MANIFEST": "false",
            "WEB_CONCURRENCY": "1",
            "WORKER_CONCURRENCY": "1",
            **variables,
        }
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> "Runner":
        self.process = subprocess.Popen(
            [sys.executable, "-m", "config.services", "up"],
            cwd=BASE_DIR,
            env=self.variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        return self

    def wait_until_ready(self) -> "Runner":
        process = self.process
        assert process is not None

        def is_ready() -> bool:
            assert process.poll() is None, self.output()
            return self.facts().get("state") == "ready" and self.home.is_locked()

        eventually(is_ready, within=90)
        return self

    def facts(self) -> dict[str, Any]:
        return self.home.read(self.home.status)

    def part(self, name: str) -> dict[str, Any]:
        part: dict[str, Any] = self.facts()["parts"][name]
        return part

    def output(self) -> str:
        assert self.process is not None
        assert self.process.stdout is not None
        return self.process.stdout.read()

    def command(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run another command of the runner on the same folder to its end."""
        return self._run("-m", "config.services", *arguments)

    def prepare(self, *steps: str) -> "subprocess.CompletedProcess[str]":
        return self._run("-m", "config.services.prepare", *steps)

    def _run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=BASE_DIR,
            env=self.variables,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def get(self, path: str) -> int:
        try:
            with urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                status: int = answer.status
                return status
        except OSError as error:
            return int(getattr(error, "code", 0))

    def living(self) -> list[str]:
        """Return every process which this runner or one of its children has started and which still lives."""
        found = []
        for process in psutil.process_iter():
            try:
                marked = process.environ().get(MARK) == str(self.home.root)
                if (marked or str(self.home.root) in " ".join(process.cmdline())) and process.status() != "zombie":
                    found.append(f"{process.pid} {' '.join(process.cmdline())[:120]}")
            except psutil.Error:
                continue
        return found

    def stop(self) -> None:
        """End it whatever state it is in."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
