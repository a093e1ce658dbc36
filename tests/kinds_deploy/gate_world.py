"""A small shop in staging and production, whose plan has a test of the gate."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.template.loader import render_to_string

from checks import engine
from checks.models import Run
from releases.domain import environment as environments
from releases.models import Application
from tests.engine.support import application_with, check, run_section, start
from tests.factories import make_release
from tests.kinds_audit.site import PASSWORD, USER
from tests.kinds_data.database_pair import DatabasePair, database_pair
from tests.kinds_deploy.local_server import LocalServer, Reply, serving

SHOP = """
CREATE TABLE person (id integer PRIMARY KEY, email text NOT NULL, note text);
INSERT INTO person SELECT n, 'p' || n, 'a note' FROM generate_series(1, 50) n;
CREATE TABLE visit (id integer PRIMARY KEY, person_id integer REFERENCES person);
INSERT INTO visit SELECT n, n FROM generate_series(1, 50) n;
CREATE TABLE aside (id integer PRIMARY KEY);
INSERT INTO aside VALUES (1);
"""
LEFT = ("runtime", "process", "variable", "package")
MIGRATE = """
import os, psycopg
with psycopg.connect(os.environ["DATABASE_URL"]) as database:
    database.execute("ALTER TABLE person ADD IF NOT EXISTS joined date")
"""
BACK = MIGRATE.replace("ADD IF NOT EXISTS joined date", "DROP COLUMN IF EXISTS joined")


#: Drifts that this plan says no to, beside the usual ones.
BREAKING = ["setting.default_transaction_isolation", "http.* x-frame-options"]


class World:
    """``server`` answers as staging, and another one alike as production."""

    def __init__(self, pair: DatabasePair, folder: Path, server: LocalServer, production: LocalServer) -> None:
        self.pair, self.folder, self.server, self.production = pair, folder, server, production
        production.replies = server.replies
        server.replies["/"] = Reply(headers={"X-Frame-Options": "DENY"})
        server.replies["/shop"] = Reply(body=b"welcome")

    def application(self, more: dict[str, Any], plan: dict[str, Any], **params: Any) -> Application:
        places = {
            "staging": {"tier": "staging", "url": self.server.url,
                        "variables": {"DATABASE_URL": self.pair.source.url()},
                        "secrets": {"AUDIT_USER": "user", "AUDIT_PASSWORD": "password"}},
            "production": {"tier": "production", "url": self.production.url,
                           "variables": {"DATABASE_URL": self.pair.target.url()}},
        }  # fmt: skip
        requests = [{"path": "/", "within": "300ms"}, {"path": "/shop", "text": "welcome", "within": "2s"}]
        checks = {
            "same": check("parity", params={"leave_out": dict.fromkeys(LEFT, "Nobody asks."), "breaking": BREAKING}),
            "catalogue": check("reconcile", params={"source": "production"}),
            "smoke": check("smoke", params={"requests": requests}),
            "migration": check("migration", "production", params={
                "command": {"argv": [sys.executable, "-c", MIGRATE]},
                "reverse": {"argv": [sys.executable, "-c", BACK]},
            }),
            "backup": check("backup"),
            "drill": check("drill"),
            "gate": check("gate_test", params=params),
            **more,
        }  # fmt: skip
        return application_with(checks, folder=self.folder, plan={"environments": places, **plan})

    def run(self, **given: Any) -> Run:
        return self.executed(self.queued(**given))

    def executed(self, run: Run) -> Run:
        engine.execute(run.pk)
        return engine.load(run.pk)

    def queued(
        self, *, first: str = "", more: dict[str, Any] | None = None, plan: dict[str, Any] | None = None,
        build: bytes = b"six==1.16.0\n", build_name: str = "requirements.txt", **params: Any,
    ) -> Run:  # fmt: skip
        """A run of the gate's test that nobody has begun; ``first`` is run before it, and passes."""
        application = self.application(more or {}, plan or {}, **params)
        for name, value in {"user": USER, "password": PASSWORD}.items():
            environments.set_secret(application=application, name=name, value=value, actor=None)
        release = make_release(application=application, rehearsing=False, build=build, build_name=build_name)
        if first:
            assert run_section(application, first, release=release).state == "passed"
        environments.build_running(
            environment=release.source_environment, release=release, version="2", build_digest=release.build_digest
        )
        return start(application, "checks.gate", release=release)


@contextmanager
def gate_world(folder: Path) -> Iterator[World]:
    with database_pair("gate_test", source=SHOP, target=SHOP) as pair, serving() as server, serving() as production:
        yield World(pair, folder, server, production)


def verdicts(run: Run) -> dict[str, str]:
    return {row["key"]: row["verdict"] for row in run.result["faults"]}


def page(run: Run) -> str:
    return render_to_string("checks/kinds/gate_test.html", {"run": run})
