"""The disaster drill: a new cluster, everything from the backup, and the application of the plan answering on it."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from psycopg import sql

from checks.enums import RunState
from checks.models import StoredBackup
from checks.tools import belongings, manifest
from checks.tools.crypto import KeyRing
from tests.kinds_data.disasters import ASKED, START, left_of, restorable
from tests.kinds_data.support import Shop, administration, log_of, shop
from tests.kinds_data.test_download_results import offers, table


@pytest.fixture
def drilled(transactional_db: None, storage_folder: Path, tmp_path: Path) -> Iterator[Shop]:
    with restorable(tmp_path) as made:
        yield made


@pytest.mark.campaign
def test_from_nothing_to_an_application_that_answers_and_nothing_is_left(drilled: Any, settings: Any) -> None:
    run = drilled.run("disaster", start=START, requests=ASKED)
    assert run.state == RunState.PASSED, (run.error, run.summary, log_of(run))
    assert run.result["roles_made"] == [drilled.role, f"{drilled.role}_keeper"]
    assert run.result["amcheck"] == "sound"
    assert [row["name"] for row in run.result["phase_rows"]] == [
        "authenticate", "cluster", "create", "restore", "analyze", "compare", "write", "belongings", "files", "prepare",
        "start", "smoke",
    ]  # fmt: skip
    assert run.result["recovery"]["within_rto"]
    assert ("The application answers /", "passed") in [
        (row["check"], row["outcome"]) for row in table(run, "checks.csv")
    ]
    assert [row["phase"] for row in table(run, "recovery.csv")][-4] == "smoke"
    assert offers(run, "disaster.json", "recovery.csv", "checks.csv", "tables.csv")
    assert StoredBackup.objects.get().look == "drilled"
    assert left_of(run) == []
    assert not (Path(settings.WORK_ROOT) / str(run.pk)).exists()
    assert drilled.sql("SELECT count(*) FROM customer") == [(500,)]


@pytest.mark.campaign
def test_an_application_that_does_not_come_up_or_answers_otherwise_is_told_and_is_not_the_backup_s_fault(
    drilled: Any,
) -> None:
    ends = drilled.run("disaster", start={"argv": [sys.executable, "-c", "raise SystemExit(7)"]})
    assert ends.state == RunState.ERRORED
    assert "ended with exit status 7 before it listened" in ends.error
    assert StoredBackup.objects.get().look == "verified"
    other = [{"path": "/", "text": "501 customers", "within": "30s"}]
    wrong = drilled.run("disaster", start=START, requests=other, amcheck=False)
    assert wrong.state == RunState.FAILED
    assert "The application on the restored data: /: the text '501 customers' is not in the answer" in wrong.summary
    assert StoredBackup.objects.get().look == "drilled"
    assert [left_of(run) for run in (ends, wrong)] == [[], []]


#: An application that shows what the server itself says of its session and its database.
TELLING = """
import os, psycopg
from http.server import BaseHTTPRequestHandler, HTTPServer

class Front(BaseHTTPRequestHandler):
    def do_GET(self):
        with psycopg.connect(os.environ["DATABASE_URL"]) as database:
            said = database.execute(
                "SELECT current_setting('shop.colour'), current_setting('search_path'), current_setting('work_mem'),"
                " current_setting('statement_timeout'), datconnlimit, has_database_privilege('public', oid, 'connect'),"
                " (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user)"
                " FROM pg_database WHERE datname = current_database()"
            ).fetchone()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(" ".join(map(str, said)).encode())

HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Front).serve_forever()
"""


@pytest.fixture
def limited(transactional_db: None, storage_folder: Path, tmp_path: Path) -> Iterator[Shop]:
    """A shop whose database and role have what no dump holds."""
    (tmp_path / "front.py").write_text(TELLING)
    with shop(tmp_path) as made:
        reader = f"{made.role}_reader"
        with administration() as server:
            for words in (
                "ALTER DATABASE {d} SET shop.colour TO 'secret green'", "ALTER DATABASE {d} CONNECTION LIMIT 17",
                "ALTER DATABASE {d} SET search_path TO public, pg_catalog",
                "REVOKE CONNECT ON DATABASE {d} FROM PUBLIC",
                "ALTER ROLE {d} SET work_mem TO '7MB'", "ALTER ROLE {d} IN DATABASE {d} SET statement_timeout TO '9s'",
                "ALTER ROLE {d} CONNECTION LIMIT 23", "CREATE ROLE {r}", "GRANT CONNECT ON DATABASE {d} TO {r}",
            ):  # fmt: skip
                server.execute(sql.SQL(words).format(d=sql.Identifier(made.role), r=sql.Identifier(reader)))
        try:
            run = made.run("backup")
            assert run.state == RunState.PASSED, (run.error, log_of(run))
            yield made
        finally:
            with administration() as server:
                server.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(reader)))
                server.execute(
                    sql.SQL("REVOKE ALL ON DATABASE {} FROM {}").format(
                        sql.Identifier(made.role), sql.Identifier(reader)
                    )
                )
                server.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(reader)))


@pytest.mark.campaign
def test_settings_limits_and_rights_that_no_dump_holds_come_back(limited: Shop) -> None:
    said = "secret green public, pg_catalog 7MB 9s 17 False 23"
    run = limited.run("disaster", start=START, requests=[{"path": "/", "text": said, "within": "30s"}])
    assert run.state == RunState.PASSED, (run.error, run.summary, log_of(run))
    assert run.result["not_given"] == []
    assert f"{limited.role}_reader" in run.result["roles_made"]
    document = manifest.load(StoredBackup.objects.get().manifest_key)
    assert "secret green" not in json.dumps(document)


@pytest.mark.campaign
def test_a_backup_of_before_is_drilled_and_says_that_it_holds_no_settings(
    drilled: Any,
) -> None:
    ring = KeyRing.from_settings()
    key = StoredBackup.objects.get().manifest_key
    old = {
        name: value for name, value in manifest.load(key).items() if name not in (belongings.FIELD, "key", "signature")
    }
    default_storage.delete(key)
    default_storage.save(key, ContentFile(manifest.sealed_text(old, ring)))
    run = drilled.run("disaster", start=START, requests=ASKED)
    assert run.state == RunState.PASSED, (run.error, run.summary, log_of(run))
    (said,) = run.result["not_given"]
    assert "this backup is of an earlier version" in said
