"""PostgreSQL itself is restarted, twice, while a worker writes a log into it: by the book, and by KILL."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import settings

from config.services.ports import free_port
from config.services.postgres import Postgres, throwaway
from tests.engine.support import application_with, check, start
from tests.engine.workers import database_url, execute_elsewhere, until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

COUNT = "i=0; while [ $i -lt 400 ]; do i=$((i + 1)); echo line $i; sleep 0.02; done"


class Server:
    """A PostgreSQL of this test alone, with a copy of its database."""

    def __init__(self, server: Postgres) -> None:
        self.server = server
        self.process = self._start()
        with psycopg.connect(server.url(), autocommit=True) as connection:
            connection.execute("CREATE DATABASE copy")
        dump = subprocess.run([settings.POSTGRES_BIN / "pg_dump", database_url()], stdout=subprocess.PIPE, check=True)
        load = [settings.POSTGRES_BIN / "psql", "-q", "-v", "ON_ERROR_STOP=1", server.url("copy")]
        subprocess.run(load, input=dump.stdout, stdout=subprocess.DEVNULL, check=True)

    def _start(self) -> "subprocess.Popen[bytes]":
        process = self.server.start(subprocess.DEVNULL)
        self.server.wait(process)
        return process

    def stop(self, number: int) -> None:
        self.process.send_signal(number)
        self.process.wait()

    def restart(self, number: int) -> None:
        self.stop(number)
        time.sleep(0.5)
        self.process = self._start()

    def rows(self, query: str) -> list[Any]:
        with psycopg.connect(self.server.url("copy")) as connection:
            return connection.execute(query).fetchall()  # type: ignore[arg-type]

    @property
    def place(self) -> dict[str, Any]:
        facts = {"HOST": "127.0.0.1", "PORT": str(self.server.port), "NAME": "copy", "USER": "postgres"}
        return {**facts, "PASSWORD": self.server.password}


@pytest.fixture
def run(tmp_path: Path) -> Any:
    application = application_with({"command": check("test_command")}, folder=tmp_path)
    return start(application, "checks.command", params={"argv": ["sh", "-c", COUNT]})


@pytest.fixture
def server(run: Any, tmp_path: Path) -> Iterator[Server]:
    tmp_path.chmod(0o711)
    for parent in list(tmp_path.parents)[:3]:
        if parent.owner() == tmp_path.owner() and parent != Path("/tmp"):
            parent.chmod(parent.stat().st_mode | 0o011)
    postgres = throwaway(tmp_path / "postgres", free_port())
    postgres.extra |= {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
    postgres.initialise()
    own = Server(postgres)
    yield own
    own.stop(signal.SIGQUIT)


@pytest.mark.campaign
def test_a_run_goes_on_through_two_restarts_and_its_log_is_whole(run: Any, server: Server) -> None:
    worker = execute_elsewhere(run, DATABASE=server.place, RUN_LEASE_SECONDS=30)
    lines = "SELECT log_lines FROM checks_run"
    until(lambda: server.rows(lines)[0][0] > 20)
    server.restart(signal.SIGINT)
    so_far = server.rows(lines)[0][0]
    until(lambda: server.rows(lines)[0][0] > so_far + 20)
    for pid in _backends(server.process.pid):
        os.kill(pid, signal.SIGKILL)
    server.restart(signal.SIGQUIT)
    assert worker.wait(60) == 0
    assert server.rows("SELECT state, attempt FROM checks_run") == [("passed", 1)]
    chunks = server.rows("SELECT first_line, lines, body FROM checks_logchunk ORDER BY first_line")
    expected = 1
    texts: list[str] = []
    for first, count, body in chunks:
        assert first == expected
        expected += count
        texts += body.split("\n")
    counted = [text for text in texts if text.startswith("line ")]
    assert counted == [f"line {number}" for number in range(1, 401)]


def _backends(postmaster: int) -> list[int]:
    """The processes of the worker's own connections: killing one makes the server recover from its log."""
    import psutil

    children = psutil.Process(postmaster).children()
    return [child.pid for child in children if " copy " in " ".join(child.cmdline())][:1]
