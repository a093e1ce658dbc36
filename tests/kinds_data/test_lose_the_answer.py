"""Where the connection is lost while the server commits, nothing is told of the target before the server has ended."""

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from checks.errors import CheckError
from checks.tools.postgres import Connection
from checks.tools.transition import committing
from config.services.ports import free_port
from config.services.postgres import throwaway

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
UNKNOWN = CheckError("The connection was lost, so nobody knows whether it was.")
NO_STANDBY_ANY_MORE = ("ALTER SYSTEM SET synchronous_standby_names = ''", "SELECT pg_reload_conf()")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A server that waits for a standby, which is not there, before it says that a transaction is committed."""
    tmp_path.chmod(0o711)
    for parent in list(tmp_path.parents)[:3]:
        if parent.owner() == tmp_path.owner() and parent != Path("/tmp"):
            parent.chmod(parent.stat().st_mode | 0o011)
    postgres = throwaway(tmp_path / "postgres", free_port())
    postgres.extra |= {"synchronous_commit": "local"}
    postgres.initialise()
    process = postgres.start(subprocess.DEVNULL)
    try:
        postgres.wait(process)
        with psycopg.connect(postgres.url(), autocommit=True) as admin:
            admin.execute("CREATE TABLE moved (run int)")
            admin.execute("ALTER SYSTEM SET synchronous_standby_names = 'far_away'")
            admin.execute("SELECT pg_reload_conf()")
        yield postgres.url()
    finally:
        process.send_signal(signal.SIGQUIT)
        process.wait(10)


def stands(connection: Connection) -> bool:
    return connection.execute("SELECT FROM moved WHERE run = 7").fetchone() is not None


def moving(server: str) -> Connection:
    connection = psycopg.connect(server)
    connection.execute("SET synchronous_commit = 'on'")
    connection.execute("INSERT INTO moved VALUES (7)")
    return connection


def lose_the_answer(server: str, connection: Connection, then: tuple[str, ...]) -> threading.Thread:
    """Once the server waits for its standby, cut the connection; a while after, do ``then`` there."""

    def cut() -> None:
        with psycopg.connect(server, autocommit=True) as admin:
            until = time.monotonic() + 20
            while admin.execute(WAITING).fetchone() != (1,) and time.monotonic() < until:
                time.sleep(0.05)
            with socket.socket(fileno=os.dup(connection.fileno())) as wire:
                wire.shutdown(socket.SHUT_RDWR)
            time.sleep(2)
            for statement in then:
                admin.execute(statement)

    thread = threading.Thread(target=cut)
    thread.start()
    return thread


def test_a_commit_that_ends_after_the_connection_was_lost_stands(server: str) -> None:
    connection = moving(server)
    cutting = lose_the_answer(server, connection, NO_STANDBY_ANY_MORE)
    committing.commit(connection, lambda: psycopg.connect(server), stands, UNKNOWN)
    cutting.join()
    with psycopg.connect(server) as other:
        assert stands(other)


def test_a_commit_that_does_not_end_is_known_to_nobody(server: str) -> None:
    connection = moving(server)
    cutting = lose_the_answer(server, connection, ())
    with pytest.raises(CheckError, match="so nobody knows whether it was"):
        committing.commit(connection, lambda: psycopg.connect(server), stands, UNKNOWN, doubt_seconds=1)
    cutting.join()
