"""A migration rehearsal of ThinkInCoin 1.0 to 1.1 with a million rows of progress, beside what it is measured against.

    python -m benchmarks.migration [rows]

The ways to clone stand beside PostgreSQL's default (WAL_LOG). The same migrations run once more without a rehearsal.
During the rehearsed ones a real reader and a real writer use the table in a loop: how long those two had to wait is
what the canaries' figures are compared with. Everything happens on one durable PostgreSQL in this run.
"""

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.server import server_of_its_own

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
GROW = """
    INSERT INTO accounts_user (email, display_name, password, is_superuser, is_active, is_staff, joined_at)
        SELECT 'learner-' || n || '@example.org', 'Learner ' || n, '!', false, true, false, now()
        FROM generate_series(1, %(people)s) n;
    INSERT INTO courses_progress (user_id, lesson_id, state, right_answers, started_at, updated_at)
        SELECT u.id, l.id, CASE WHEN (u.id + l.id) %% 3 = 0 THEN 'started' ELSE 'done' END, (u.id + l.id) %% 3,
            now() - interval '9 days', now() - (u.id %% 100) * interval '1 hour'
        FROM accounts_user u CROSS JOIN courses_lesson l;
    VACUUM ANALYZE
"""
#: Migrates while users are at work, and writes down how long each of them had to wait: python -c BESIDE USES FILE.
BESIDE = """
import json, os, pathlib, subprocess, sys, threading, time, psycopg
uses = json.loads(sys.argv[1])
waits, ending = dict.fromkeys(uses, 0.0), threading.Event()
def live(who, statement):
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        while not ending.is_set():
            began = time.monotonic()
            connection.execute(statement)
            waits[who] = max(waits[who], time.monotonic() - began)
            time.sleep(0.002)
threads = [threading.Thread(target=live, args=each) for each in uses.items()]
for thread in threads:
    thread.start()
status = subprocess.call([sys.executable, "-m", "thinkincoin", "migrate", "--noinput"])
ending.set()
for thread in threads:
    thread.join()
pathlib.Path(sys.argv[2]).write_text(json.dumps(waits))
sys.exit(status)
"""
USES = {
    "reader": "SELECT FROM courses_progress LIMIT 1",
    "writer": "DELETE FROM courses_progress WHERE false",
}


def main(rows: int) -> None:
    with server_of_its_own() as (server, folder):
        shop = Learners(server, folder)
        shop.fill(rows)
        print(f"migration rehearsal of ThinkInCoin 1.0 to 1.1, {shop.count('courses_progress'):,} rows of progress")
        clones = _clones(server)
        alone = _alone(shop)
        run = _rehearse(shop)
        users = json.loads(shop.waits.read_text())
        result, figures = run.result, run.result["figures"]
        floor = clones.pop("WAL_LOG")
        print(f"  CREATE DATABASE, WAL_LOG: {floor:.2f} s")
        for way, seconds in clones.items():
            print(f"  the same, FILE_COPY with file_copy_method={way}: {seconds:.2f} s ({seconds / floor:.2f})")
        print(f"  clone of the rehearsal: {result['clone']['method']}, {result['clone']['seconds']:.2f} s")
        print(f"  migrate alone: {alone:.2f} s; in the rehearsal: {figures['command_seconds']:.2f} s")
        for who, felt in users.items():
            print(f"  longest wait of a {who} of courses_progress: {felt:.2f} s; canary: {_canary(result, who):.2f} s")
        for row in result["migrations"]:
            rewrote = ", ".join(row["rewrites"]) or "nothing"
            print(f"    {row['migration']}: {row['seconds']:.2f} s, longest wait {row['stall']:.2f} s,"
                  f" {row['wal'] / 1e6:.1f} MB of WAL, rewrote {rewrote}")  # fmt: skip
        back = result["back"]
        print(f"  the way back in {back['seconds']:.1f} s: {'proved' if back['proved'] else back}")
        print(f"  the whole rehearsal: {run.state} in {(run.ended_at - run.started_at).total_seconds():.1f} s;"
              f" longest gap between two looks at the locks {result['longest_gap_seconds'] * 1000:.0f} ms")  # fmt: skip


def _canary(result: dict[str, Any], who: str) -> float:
    felt = [row["seconds"] for row in result["stalls"]
            if row["who"] == who and row["table"] == "public.courses_progress"]  # fmt: skip
    return max(felt, default=0.0)


@dataclass
class Learners:
    """Production of ThinkInCoin 1.0, and the code of 1.1 beside it."""

    server: Any
    folder: Path
    database: str = "learners"
    code: dict[str, Path] = field(default_factory=dict)

    @property
    def waits(self) -> Path:
        return self.folder / "waits.json"

    def url(self, database: str = "") -> str:
        return str(self.server.url(database or self.database, user="gonogo", password="benchmark"))

    def variables(self, version: str, database: str = "") -> dict[str, str]:
        return {
            "DATABASE_URL": self.url(database),
            "SECRET_KEY": "benchmark" * 6,
            "PYTHONPATH": str(self.code[version]),
            "DJANGO_SETTINGS_MODULE": "thinkincoin.settings",
        }

    def fill(self, rows: int) -> None:
        import psycopg

        self._unpack()
        with psycopg.connect(self.server.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {self.database} OWNER gonogo")  # type: ignore[arg-type]
        for command in ("migrate", "load_courses"):
            self.manage("1.0", command)
        with psycopg.connect(self.url(), autocommit=True) as connection:
            people = rows // self.count("courses_lesson") + 1
            for statement in GROW.split(";"):
                named = {"people": people} if "%(people)s" in statement else None
                connection.execute(statement if named else statement.replace("%%", "%"), named)  # type: ignore[arg-type]

    def _unpack(self) -> None:
        sys.path.insert(0, str(EXAMPLES / "thinkincoin"))
        from build import files_of  # type: ignore[import-not-found]

        for version in ("1.0", "1.1"):
            self.code[version] = self.folder / version
            for name, content in files_of(version).items():
                target = self.code[version] / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)

    def manage(self, version: str, command: str, database: str = "") -> float:
        began = time.monotonic()
        subprocess.run(
            [sys.executable, "-m", "thinkincoin", command], env={**os.environ, **self.variables(version, database)},
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        return time.monotonic() - began

    def count(self, table: str) -> int:
        import psycopg

        with psycopg.connect(self.url()) as connection:
            row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # type: ignore[arg-type]
        return int(row[0]) if row else 0


def _clones(server: Any) -> dict[str, float]:
    """Seconds of CREATE DATABASE, by way; a way that this server or its file system does not offer is left out."""
    import psycopg

    ways = {"WAL_LOG": "", "copy": "copy", "clone": "clone"}
    seconds = {}
    with psycopg.connect(server.url(), autocommit=True) as connection:
        for name, method in ways.items():
            with suppress(psycopg.errors.InvalidParameterValue, psycopg.errors.FeatureNotSupported):
                if method:
                    connection.execute(f"SET file_copy_method = {method}")  # type: ignore[arg-type]
                strategy = "FILE_COPY" if method else "WAL_LOG"
                connection.execute("CHECKPOINT")
                began = time.monotonic()
                connection.execute(f"CREATE DATABASE peer TEMPLATE learners STRATEGY {strategy}")  # type: ignore[arg-type]
                seconds[name] = time.monotonic() - began
                connection.execute("DROP DATABASE peer")
    return seconds


def _alone(shop: Learners) -> float:
    """Seconds of migrate on a copy, with neither a rehearsal nor users around it."""
    import psycopg

    with psycopg.connect(shop.server.url(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE alone TEMPLATE learners STRATEGY FILE_COPY OWNER gonogo")
        seconds = shop.manage("1.1", "migrate", "alone")
        connection.execute("DROP DATABASE alone WITH (FORCE)")
    return seconds


def _rehearse(shop: Learners) -> Any:
    """The rehearsal through the engine, as a worker does it."""
    import io

    import django

    django.setup()
    from django.core.management import call_command

    from checks import engine, services
    from checks.publishing import publish
    from releases.domain import application as applications
    from releases.domain import release as releases
    from releases.enums import Role
    from releases.models import User

    call_command("migrate", verbosity=0)
    application = applications.create_application(slug="learn", name="L", actor=None, plan_folder=str(shop.folder))
    publish(application=application, text=json.dumps(_plan(shop)), author=None)
    person = User.objects.create_user(email="bench@gonogo.example", name="Bench", password=None)
    applications.add_member(application=application, user=person, role=Role.ENGINEER, actor=None)
    places = {place.name: place for place in application.environments.all()}
    release = releases.create_release(
        application=application, version="1.1", build_name="build.txt", build_file=io.BytesIO(b"build"),
        source_environment=places["staging"], target_environment=places["production"], requester=person,
    )  # fmt: skip
    releases.start_rehearsal(release=release, actor=person)
    run = services.start_run(application=application, section="checks.migration", release=release, actor=None)
    engine.execute(run.pk)
    run = engine.load(run.pk)
    if not run.result.get("back"):
        raise SystemExit(f"The rehearsal ended as {run.state}: {run.summary} {run.error}")
    return run


def _plan(shop: Learners) -> dict[str, Any]:
    step = {"key": "go", "title": "Go", "category": "back_end", "command": {"argv": ["true"]}}
    python = {"PYTHON": sys.executable, "BACK": str(EXAMPLES / "hosting" / "back.py")}
    variables = {**shop.variables("1.1"), **python}
    params = {
        "command": {"argv": [sys.executable, "-c", BESIDE, json.dumps(USES), str(shop.waits)], "timeout": "30m"},
        "reverse": {"script": 'exec "$PYTHON" "$BACK" "$GONOGO_APPLIED"', "timeout": "30m"},
        "longest_stall": "1h",
        "visitors_wait": "1m",
    }
    return {
        "application": "learn",
        "title": "Learners",
        "environments": {
            "production": {"tier": "production", "variables": variables, "url": "http://127.0.0.1:9"},
            "staging": {"tier": "staging"},
        },
        "checks": {"migration": {"kind": "migration", "title": "M", "environment": "production", "params": params}},
        "deploy": {"steps": [step], "smoke": [{"path": "/"}]},
        "rollback": {"steps": [step], "smoke": [{"path": "/"}]},
    }


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
