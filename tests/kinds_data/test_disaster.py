"""The disaster drill: a new cluster, everything from the backup, and the application of the plan answering on it."""

import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from psycopg import sql

from checks.enums import RunState
from checks.models import Run, StoredBackup
from tests.kinds_data.support import administration, log_of, shop

#: A shop front that shows what only the restored database, configuration and media can tell it.
APPLICATION = """
import os, psycopg
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

class Front(BaseHTTPRequestHandler):
    def do_GET(self):
        with psycopg.connect(os.environ["DATABASE_URL"]) as database:
            role, customers = database.execute("SELECT current_user, count(*) FROM customer").fetchone()
            place = database.execute("SELECT inet_server_port()").fetchone()[0]
        configured = next(Path(os.environ["GONOGO_CONFIGURATION"]).rglob("app.cfg")).read_text().strip()
        photos = len(list(Path(os.environ["GONOGO_MEDIA"]).rglob("*.jpg")))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{customers} customers, {configured}, {photos} photos".encode())

    def log_message(self, *arguments):
        pass

HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Front).serve_forever()
"""
START = {"argv": [sys.executable, "front.py"]}


def left_of(run: Run) -> list[int]:
    """Processes of a run: its cluster and its application carry its number in their variables."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("GONOGO_RUN") == str(run.pk):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


@pytest.fixture
def drilled(transactional_db: None, storage_folder: Path, tmp_path: Path) -> Any:
    (tmp_path / "front.py").write_text(APPLICATION)
    (tmp_path / "app.cfg").write_text("debug=no")
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "one.jpg").write_bytes(b"\xff" * 1000)
    files = {"configuration_files": ["{PLAN_DIR}/app.cfg"], "media": ["{PLAN_DIR}/media"]}
    with shop(tmp_path, **files) as made:
        with administration() as server:
            # A role that owns something of the backup, and is in no new cluster.
            keeper = f"{made.role}_keeper"
            server.execute(sql.SQL("CREATE ROLE {} NOLOGIN CREATEDB").format(sql.Identifier(keeper)))
            server.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(keeper), sql.Identifier(made.role)))
        made.sql(f"CREATE TABLE kept (id int); GRANT SELECT ON kept TO {keeper}")
        run = made.run("backup")
        assert run.state == RunState.PASSED, (run.error, log_of(run))
        # What the drill brings back, it has from the backup alone.
        for path in (tmp_path / "app.cfg", tmp_path / "media" / "one.jpg"):
            path.unlink()
        try:
            yield made
        finally:
            made.sql("DROP TABLE kept")
            with administration() as server:
                server.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(keeper)))


@pytest.mark.campaign
def test_from_nothing_to_an_application_that_answers_and_nothing_is_left(drilled: Any, settings: Any) -> None:
    asked = [{"path": "/", "text": "500 customers, debug=no, 1 photos", "within": "30s"}]
    run = drilled.run("disaster", start=START, requests=asked)
    assert run.state == RunState.PASSED, (run.error, run.summary, log_of(run))
    assert run.result["roles_made"] == [drilled.role, f"{drilled.role}_keeper"]
    assert run.result["amcheck"] == "sound"
    assert [row["name"] for row in run.result["phase_rows"]] == [
        "authenticate", "cluster", "create", "restore", "analyze", "compare", "write", "files", "prepare", "start",
        "smoke",
    ]  # fmt: skip
    assert run.result["recovery"]["within_rto"]
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
