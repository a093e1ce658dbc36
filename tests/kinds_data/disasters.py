"""A shop whose disaster can be drilled: backed up with configuration and media, and with an application to start."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from psycopg import sql

from checks.enums import RunState
from checks.models import Run
from tests.kinds_data.support import Shop, administration, log_of, shop

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
ASKED = [{"path": "/", "text": "500 customers, debug=no, 1 photos", "within": "30s"}]


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


@contextmanager
def restorable(folder: Path) -> Iterator[Shop]:
    """A shop with a backup, whose configuration and media are in that backup alone."""
    (folder / "front.py").write_text(APPLICATION)
    (folder / "app.cfg").write_text("debug=no")
    (folder / "media").mkdir()
    (folder / "media" / "one.jpg").write_bytes(b"\xff" * 1000)
    files = {"configuration_files": ["{PLAN_DIR}/app.cfg"], "media": ["{PLAN_DIR}/media"]}
    with shop(folder, **files) as made:
        with administration() as server:
            # A role that owns something of the backup, and is in no new cluster.
            keeper = f"{made.role}_keeper"
            server.execute(sql.SQL("CREATE ROLE {} NOLOGIN CREATEDB").format(sql.Identifier(keeper)))
            server.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(keeper), sql.Identifier(made.role)))
        made.sql(f"CREATE TABLE kept (id int); GRANT SELECT ON kept TO {keeper}")
        run = made.run("backup")
        assert run.state == RunState.PASSED, (run.error, log_of(run))
        # What the drill brings back, it has from the backup alone.
        for path in (folder / "app.cfg", folder / "media" / "one.jpg"):
            path.unlink()
        try:
            yield made
        finally:
            made.sql("DROP TABLE kept")
            with administration() as server:
                server.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(keeper)))
