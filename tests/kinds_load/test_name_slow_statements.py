"""The statements that took longest are named by pg_stat_statements of a real server that was started with it."""

import secrets
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from config.services.ports import free_port
from config.services.postgres import Postgres
from tests.engine.support import log_text
from tests.factories import make_team
from tests.kinds_deploy.local_server import LocalServer, Reply
from tests.kinds_load.test_make_load import QUICK, page, release_of, run_load

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.campaign]

SLOW = "SELECT count(*) FROM generate_series(1, 20000) AS slow_statement"


@pytest.fixture
def watched() -> Iterator[str]:
    """The address of a new server with the extension; pytest's own folders are closed to the user it runs as."""
    with tempfile.TemporaryDirectory(prefix="gonogo-statements-") as folder:
        Path(folder).chmod(0o711)
        extra = {"fsync": "off", "shared_preload_libraries": "pg_stat_statements", "unix_socket_directories": ""}
        server = Postgres(Path(folder) / "data", free_port(), secrets.token_urlsafe(12), extra)
        server.initialise()
        process = server.start(subprocess.DEVNULL)
        try:
            server.wait(process)
            with psycopg.connect(server.url(), autocommit=True) as connection:
                connection.execute("CREATE EXTENSION pg_stat_statements")
            yield server.url()
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)


def test_the_statement_that_took_longest_is_named(server: LocalServer, storage_folder: Path, watched: str) -> None:
    def query(_: str) -> None:
        with psycopg.connect(watched, autocommit=True) as connection:
            connection.execute("SELECT 1")
            connection.execute(SLOW)

    server.replies["/b"] = Reply()
    server.before = query
    params = {**QUICK, "steps": [2], "requests": [{"path": "/b"}], "limits": ["errors < 10%"]}
    release = release_of(server, params, database=watched)
    run = run_load(release)
    assert run.state == "passed", log_text(run) + run.error
    slowest, *others = run.result["database"]["statements"]
    assert "slow_statement" in slowest["text"]
    assert slowest["calls"] >= run.result["steps"][0]["count"] > 20
    assert slowest["seconds"] > sum(one["seconds"] for one in others if "pg_stat" not in one["text"])
    assert "slow_statement" in page(run, make_team(release.application).auditor)
