"""Throwaway servers for one test session: real PostgreSQL and Redis on free loopback ports."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from config.services.errors import ServiceError
from config.services.ports import free_port
from config.services.postgres import throwaway
from config.services.redis import RedisServer

#: Where the controller of parallel processes lets them put their folders, which it removes at the end.
FOLDER = "GONOGO_TEST_FOLDER"


class Server(Protocol):
    def start(self, output: int) -> "subprocess.Popen[bytes]": ...

    def wait(self, process: "subprocess.Popen[bytes]") -> None: ...


class Harness:
    """The servers of one process; `stop` ends them and removes their data."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="gonogo-tests-", dir=os.environ.get(FOLDER) or None))
        self.folder.chmod(0o711)
        self.processes: list[subprocess.Popen[bytes]] = []

    def start_postgres(self, **settings: str) -> str:
        """Start PostgreSQL, with these settings, and return the address of its superuser."""

        def make(attempt: int) -> Server:
            server = throwaway(self.folder / f"postgres-{attempt}", free_port())
            server.extra |= settings
            server.initialise()
            return server

        server = self._start(make)
        return server.url()  # type: ignore[attr-defined, no-any-return]

    def start_redis(self) -> str:
        server = self._start(lambda attempt: RedisServer(self.folder / f"redis-{attempt}", free_port(), "tests"))
        return server.url  # type: ignore[attr-defined, no-any-return]

    def _start(self, make: Callable[[int], Server], attempts: int = 3) -> Server:
        """Start a server; when another program took its port in between, try again on another one."""
        for attempt in range(attempts):
            server = make(attempt)
            process = server.start(subprocess.DEVNULL)
            try:
                server.wait(process)
            except ServiceError:
                process.kill()
                process.wait()
                if attempt + 1 == attempts:
                    raise
            else:
                self.processes.append(process)
                return server
        raise AssertionError("unreachable")

    def stop(self) -> None:
        for process in self.processes:
            process.send_signal(signal.SIGQUIT)  # PostgreSQL: at once, for nothing is kept; Redis ignores it
        for process in self.processes:
            try:
                process.wait(1)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.clear()
        remove(self.folder)


def remove(folder: Path) -> None:
    """Remove a folder in which a server may still be writing its last."""
    for _attempt in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.1)


def settings_for_tests() -> None:
    """Set the variables which differ in tests; what the caller has set stays."""
    os.environ.setdefault("STATIC_MANIFEST", "false")
    os.environ.setdefault("LOGIN_RATE_LIMITS", "false")
    os.environ.setdefault("EMAIL_URL", "console://")
    os.environ.setdefault("LOG_LEVEL", "WARNING")
    os.environ.setdefault("LOG_FORMAT", "console")
