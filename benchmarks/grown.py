"""The data checks of both examples, by their own plans, on their own databases grown to a million rows.

    python -m benchmarks.grown [thinkincoin|pretalx] [rows]

Each example is prepared as for the demonstration, in a folder and on a durable PostgreSQL of its own. Production then
holds that many rows in the table that grows fastest with its people, and a tenth as many people; staging has as many
people of its own, who move. Staging is brought to the new version by the plan's own deployment, and the plan's checks
run as they stand there. Nothing of the plan is made easier: a check that says no is told, with what it says. One that
could not say anything ends the benchmark.
"""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.server import server_of_its_own

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Grown:
    """``checks``: those of the plan that look at data, in the order in which one needs the other.

    ``production`` and ``staging``: statements that fill the old version's tables; ``moved``: what staging holds only
    in the new version. ``{people}`` and ``{rows}`` are their numbers.
    """

    checks: tuple[str, ...]
    production: str
    staging: str
    moved: str = ""


LEARNERS = """
    INSERT INTO accounts_user (email, display_name, password, is_superuser, is_active, is_staff, joined_at)
        SELECT '{place}-' || n || '@learners.example', 'Learner ' || n, '!' || md5(n::text), false, true, false,
            now() - n * interval '1 minute'
        FROM generate_series(1, {people}) n;
    INSERT INTO courses_progress (user_id, lesson_id, state, right_answers, started_at, updated_at)
        SELECT u.id, l.id, CASE WHEN (u.id + l.id) % 3 = 0 THEN 'started' ELSE 'done' END, (u.id + l.id) % 3,
            now() - interval '9 days', now() - (u.id % 100) * interval '1 hour'
        FROM (SELECT id FROM accounts_user WHERE email LIKE '{place}-%') u CROSS JOIN courses_lesson l LIMIT {rows}
"""
SPEAKERS = """
    INSERT INTO person_user (email, password, name, nick, code, is_active, is_staff, is_superuser, is_administrator,
            locale, timezone, get_gravatar)
        SELECT '{place}-' || n || '@speakers.example', 'argon2$' || md5(n::text), 'Speaker ' || n, '{place}' || n,
            upper(left('{place}', 1)) || n, true, false, false, false, 'en', 'UTC', false
        FROM generate_series(1, {people}) n;
    INSERT INTO person_speakerprofile (user_id, event_id, biography, has_arrived, created, updated)
        SELECT u.id, e.id, 'Speaks of ' || md5(u.id::text) || ' since ' || u.id, false, now(), now()
        FROM person_user u CROSS JOIN event_event e WHERE u.email LIKE '{place}-%'
"""
ACTIVITY = """;
    INSERT INTO common_activitylog (object_id, timestamp, action_type, content_type_id, event_id, person_id,
            is_orga_action)
        SELECT n, now() - n * interval '1 second', 'pretalx.submission.update', t.id, e.id, first.id + n % {people},
            false
        FROM generate_series(1, {rows}) n, event_event e,
            (SELECT min(id) AS id FROM person_user WHERE email LIKE '{place}-%') first,
            (SELECT id FROM django_content_type WHERE app_label = 'submission' AND model = 'submission') t
"""
PREFERENCES = """
    INSERT INTO person_usereventpreferences (user_id, event_id, preferences, created, updated)
        SELECT u.id, e.id, '{{"columns": ["title", "state"]}}', now(), now()
        FROM person_user u CROSS JOIN event_event e WHERE u.email LIKE '{place}-%'
"""
EXAMPLES = {
    "thinkincoin": Grown(
        ("privacy", "backup", "drill", "migration", "catalogue", "people", "parity"), LEARNERS, LEARNERS
    ),
    "pretalx": Grown(
        ("privacy", "backup", "drill", "migration", "reviewing", "people", "parity"),
        SPEAKERS + ACTIVITY,
        SPEAKERS,
        PREFERENCES,
    ),
}


def main(name: str, rows: int) -> None:
    with server_of_its_own() as (server, folder):
        walk = Walk(name, server, folder, rows)
        walk.prepare()
        walk.fill("production", EXAMPLES[name].production)
        walk.fill("staging", EXAMPLES[name].staging)
        release = walk.release()
        walk.deploy(release)
        if EXAMPLES[name].moved:
            walk.fill("staging", EXAMPLES[name].moved)
        print(f"{name}: {walk.size('production')} in production, {walk.size('staging')} in staging")
        for check in EXAMPLES[name].checks:
            walk.check(release, check)
        walk.refresh(release)


class Walk:
    """One example with its two environments, and the program that looks at them."""

    def __init__(self, name: str, server: Any, folder: Path, rows: int) -> None:
        import django

        django.setup()
        from config.demo.examples import EXAMPLES as DEMONSTRATIONS
        from config.services.ports import free_port

        self.server, self.folder, self.rows = server, folder, rows
        self.people = rows // 10
        self.example = DEMONSTRATIONS[name]
        self.root = folder / "home" / "examples" / name
        self.root.mkdir(parents=True)
        for place in ("STAGING", "PRODUCTION"):
            os.environ[f"{name.upper()}_{place}_PORT"] = str(free_port())
        self.plan = self.example.plan_text()
        self.person: Any = None

    def prepare(self) -> None:
        ports = {f"{place}_PORT": os.environ[f"{self.example.name.upper()}_{place}_PORT"]
                 for place in ("STAGING", "PRODUCTION")}  # fmt: skip
        own = {"GONOGO_DEMO_DSN": self.server.url(), "HOSTING_ROOT": str(self.root),
               "HOSTING_WITH_PID": str(os.getpid())}  # fmt: skip
        log = self.folder / "prepare.log"
        with log.open("wb") as output:
            done = subprocess.run(
                [sys.executable, str(self.example.folder / "ops" / "prepare.py")], env={**os.environ, **ports, **own},
                stdout=output, stderr=subprocess.STDOUT, check=False,
            )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"The example could not be prepared:\n{log.read_text(errors='replace')[-2000:]}")

    def fill(self, place: str, statements: str) -> None:
        with self._connected(place) as connection:
            for statement in statements.split(";"):
                connection.execute(statement.format(place=place, people=self.people, rows=self.rows))
            connection.execute("VACUUM ANALYZE")

    def size(self, place: str) -> str:
        """Bytes of the database, and its largest table."""
        with self._connected(place) as connection:
            connection.execute("ANALYZE")
            size, table, rows = connection.execute(
                "SELECT pg_size_pretty(pg_database_size(current_database())), relname, reltuples::bigint FROM pg_class"
                " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY reltuples DESC LIMIT 1"
            ).fetchone()
        return f"{size}, {rows:,} rows in {table}"

    def _connected(self, place: str) -> Any:
        import psycopg

        return psycopg.connect(self.server.url(f"{self.example.name}_{place}"), autocommit=True)

    def release(self) -> Any:
        from django.core.management import call_command

        from checks.publishing import publish
        from releases.domain import application as applications
        from releases.domain import environment as environments
        from releases.domain import release as releases
        from releases.enums import Role
        from releases.models import User

        call_command("migrate", verbosity=0)
        facts = json.loads((self.root / "environments.json").read_text(encoding="utf-8"))
        application = applications.create_application(
            slug=self.example.name, name=self.example.name, actor=None, plan_folder=str(self.example.folder)
        )
        plan = publish(application=application, text=self.plan, author=None).document
        for place, section in plan["environments"].items():
            for variable, secret in section.get("secrets", {}).items():
                environments.set_secret(application=application, name=secret, value=facts[place][variable], actor=None)
        self.person = User.objects.create_user(email="bench@gonogo.example", name="Bench", password=None)
        applications.add_member(application=application, user=self.person, role=Role.RELEASE_MANAGER, actor=None)
        places = {place.name: place for place in application.environments.all()}
        build = self.example.build(self.example.new_version)
        with build.open("rb") as content:
            release = releases.create_release(
                application=application, version=self.example.new_version, build_name=build.name, build_file=content,
                source_environment=places["staging"], target_environment=places["production"], requester=self.person,
            )  # fmt: skip
        releases.start_rehearsal(release=release, actor=self.person)
        return release

    def deploy(self, release: Any) -> None:
        from checks import services

        release.refresh_from_db()
        self._execute(
            services.start_deploy(release=release, actor=self.person, environment=release.source_environment), "deploy"
        )

    def check(self, release: Any, name: str) -> None:
        from checks import services

        run = services.start_run(
            application=release.application, section=f"checks.{name}", release=release, actor=self.person
        )
        self._execute(run, name)

    def refresh(self, release: Any) -> None:
        from checks import services

        release.refresh_from_db()
        self._execute(services.start_refresh(release=release, actor=self.person), "refresh")

    def _execute(self, run: Any, name: str) -> None:
        from checks import engine
        from checks.enums import RunState

        began = time.monotonic()
        engine.execute(run.pk)
        seconds = time.monotonic() - began
        run = engine.load(run.pk)
        print(f"  {name}: {run.state} in {seconds:.1f} s. {run.summary}{run.error}", flush=True)
        for step in run.steps.order_by("position"):
            if step.started_at and step.ended_at and (took := (step.ended_at - step.started_at).total_seconds()) >= 0.5:
                print(f"    {step.title}: {took:.1f} s", flush=True)
        if run.state not in (RunState.PASSED, RunState.FAILED) or (name == "deploy" and run.state == RunState.FAILED):
            raise SystemExit(f"{name} ended as {run.state}: {run.summary} {run.error}")


if __name__ == "__main__":
    chosen = [one for one in sys.argv[1:] if not one.isdecimal()] or list(EXAMPLES)
    for one in chosen:
        main(one, next((int(arg) for arg in sys.argv[1:] if arg.isdecimal()), 1_000_000))
