"""How long it takes to find, mask and prove a million people, beside what PostgreSQL alone takes for as much.

    python -m benchmarks.privacy [people]

A durable PostgreSQL of its own holds that many people (1,000,000) with an address, names, telephone, birth date,
password, a text and a document each, and as many rows of a newsletter and of log-ins that name them. A ``refresh`` of
staging runs through the engine in a worker process of its own, whose peak memory is told beside that of one that looked
at ten people; the kind ``privacy`` does the same but for the last step. Their peers, on the same data in the same run:

- cloning: CREATE DATABASE with PostgreSQL's default strategy; where files are not copied, that of carrying over;
- masking: one UPDATE of the same columns with md5 of each value, which is nobody's pseudonym, in one transaction;
- proving: hashing each value of the same columns once on both databases, which finds nothing by itself;
- carrying over: pg_dump piped into pg_restore, which carries everybody in clear.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.backup import server_of_its_own

SCHEMA = """
CREATE TABLE person (id bigint PRIMARY KEY, email varchar(254) NOT NULL UNIQUE, username varchar(60) NOT NULL UNIQUE,
    name varchar(120) NOT NULL, phone varchar(30), born date, last_ip inet, password varchar(128) NOT NULL,
    bio text NOT NULL, contact jsonb NOT NULL);
CREATE TABLE newsletter (id bigint PRIMARY KEY, email varchar(254) NOT NULL, topic varchar(40) NOT NULL);
CREATE TABLE login (id bigint PRIMARY KEY, username varchar(60) NOT NULL REFERENCES person (username),
    at timestamptz NOT NULL);
INSERT INTO person SELECT n, 'person.' || n || '@example.org', 'learner-' || n,
    (ARRAY['Anna','Peter','Maria','Olu','Chen','Ines','Ravi','Kofi'])[n % 8 + 1] || ' ' || initcap(translate(
        to_hex(n::bigint * 7919), '0123456789', 'ghijklmnop')), '+49 30 ' || 1000000 + n, date '1950-01-01' + n % 20000,
    '10.0.0.0'::inet + n % 16000000, 'pbkdf2_sha256$600000$' || md5(n::text) || '$' || md5((-n)::text),
    'Lives in street ' || n || ' of the town, reads about money, writes to friends. ' || repeat('Likes tea. ', n % 9),
    jsonb_build_object('email', 'person.' || n || '@example.org', 'city', 'Town ' || n % 5000, 'theme', 'dark',
        'notes', jsonb_build_array('called on day ' || n % 900, 'wants paper'))
    FROM generate_series(1, {people}) n;
INSERT INTO newsletter SELECT n, 'person.' || n || '@example.org', 'weekly' FROM generate_series(1, {people}) n;
INSERT INTO login SELECT n, 'learner-' || n, '2026-01-01'::timestamptz + n * interval '1 s'
    FROM generate_series(1, {people}) n;
VACUUM ANALYZE
"""
MASKS = {
    "email": ["person.email", "newsletter.email"],
    "username": ["person.username", "login.username"],
    "name": ["person.name"],
    "phone": ["person.phone"],
    "date": ["person.born", "login.at"],
    "ip": ["person.last_ip"],
    "password": ["person.password"],
    "text": ["person.bio"],
    "json": ["person.contact"],
}
#: What the UPDATE of the peer writes instead; one for each column of MASKS.
PLAIN = {
    "person": "email = md5(email), username = md5(username), name = md5(name), phone = left(md5(phone), 16),"
    " born = born + 1, last_ip = last_ip + 1, password = md5(password), bio = md5(bio),"
    " contact = jsonb_build_object('md5', md5(contact::text))",
    "newsletter": "email = md5(email)",
    "login": "username = md5(username), at = at + interval '1 day'",
}
TEXTS = {
    "person": ("email", "username", "name", "phone", "last_ip::text", "password", "bio", "contact::text"),
    "newsletter": ("email",),
    "login": ("username",),
}


#: step -> (how many times longer than its peer it may take, what the peer is).
LIMITS = {
    "clone": (4, "CREATE DATABASE"),
    "mask": (10, "UPDATE with md5"),
    "prove": (10, "hashing each value once"),
    "carry": (2, "pg_dump | pg_restore"),
}
MEMORY = 100


def main(people: int) -> None:
    with server_of_its_own() as (server, folder):
        small, large = (_application(server, folder, slug, rows) for slug, rows in (("small", 10), ("large", people)))
        idle = _execute(small, "privacy")
        print(f"privacy of {people:,} people, {3 * people:,} rows in three tables, {_size(server):,.0f} MB", flush=True)
        peers = _peers(server)
        done = _execute(large, "refresh")
        steps, figures = done["steps"], done["figures"]
        for step in LIMITS:
            # Copying files would keep new sessions out for too long here, so the clone may be a dump as well.
            beside = "carry" if step == "clone" and done["clone"]["method"] == "dump" else step
            limit, peer = LIMITS[beside]
            times = steps[step] / peers[beside]
            print(f"  {step}: {steps[step]:.1f} s; {peer}: {peers[beside]:.1f} s, {times:.1f} times (limit {limit})")
        print(
            f"  look and compare: {steps['look'] + steps['compare']:.1f} s; of ten people {idle['steps']['look']:.1f} s"
        )
        values = sum(table["rows"] * len(table["columns"]) for table in done["masked"])
        print(f"  masked: {values:,} values, {values / steps['mask']:,.0f} a second")
        print(f"  looked for: {figures['compared']:,} values, {figures['leaks']} found")
        print(f"  the whole refresh: {sum(steps.values()):.0f} s")
        above = done["memory"] - idle["memory"]
        print(f"  memory of the worker: {above:.0f} MiB above one that looks at ten people (limit {MEMORY})")


def _timed(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def _peers(server: Any) -> dict[str, float]:
    """Seconds of what PostgreSQL alone takes: a copy, an UPDATE of the same columns in it, hashes of both."""
    import psycopg

    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("CHECKPOINT")
        clone = _timed(lambda: connection.execute("CREATE DATABASE peer TEMPLATE large"))
    with psycopg.connect(server.url("peer"), autocommit=True) as connection:
        connection.execute("ALTER TABLE login DROP CONSTRAINT login_username_fkey")

        def update() -> None:
            with connection.transaction():
                for table, sets in PLAIN.items():
                    connection.execute(f"UPDATE {table} SET {sets}")  # type: ignore[call-overload]
                connection.execute("ALTER TABLE login ADD FOREIGN KEY (username) REFERENCES person (username)")
            connection.execute("ANALYZE")

        mask = _timed(update)
    prove = _timed(lambda: [_hash(server, name) for name in ("large", "peer")])
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("DROP DATABASE peer WITH (FORCE)")
    return {"clone": clone, "mask": mask, "prove": prove, "carry": _timed(lambda: _dump_and_restore(server))}


def _hash(server: Any, database: str) -> None:
    import psycopg

    with psycopg.connect(server.url(database)) as connection:
        for table, columns in TEXTS.items():
            hashed = ", ".join(f"count(sha256(convert_to(lower({column}), 'UTF8')))" for column in columns)
            connection.execute(f"SELECT {hashed} FROM {table}")  # type: ignore[call-overload]


def _dump_and_restore(server: Any) -> None:
    import psycopg

    from config.services.postgres import binaries

    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE peer TEMPLATE template0")
        dump, restore = (str(binaries() / name) for name in ("pg_dump", "pg_restore"))
        with subprocess.Popen([dump, "-Fc", "-Z", "none", server.url("large")], stdout=subprocess.PIPE) as source:
            argv = [restore, "--exit-on-error", "--single-transaction", "--no-owner", "-d", server.url("peer")]
            subprocess.run(argv, stdin=source.stdout, check=True)
        connection.execute("DROP DATABASE peer WITH (FORCE)")


def _size(server: Any) -> float:
    import psycopg

    with psycopg.connect(server.url()) as connection:
        row = connection.execute("SELECT pg_database_size('large')").fetchone()
    return float(row[0]) / 1e6 if row else 0.0


def _application(server: Any, folder: Path, slug: str, people: int) -> str:
    import django
    import psycopg

    with psycopg.connect(server.url(), autocommit=True) as connection:
        for name in (slug, f"{slug}_staging"):
            connection.execute(f"CREATE DATABASE {name} OWNER gonogo")  # type: ignore[call-overload]
    url = server.url(slug, user="gonogo", password="benchmark")
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in SCHEMA.format(people=people).split(";\n"):
            connection.execute(statement)  # type: ignore[call-overload]
    django.setup()
    from django.core.management import call_command

    from checks.publishing import publish
    from releases.domain import application as applications

    call_command("migrate", verbosity=0)
    application = applications.create_application(slug=slug, name=slug, actor=None, plan_folder=str(folder))
    staging = server.url(f"{slug}_staging", user="gonogo", password="benchmark")
    publish(application=application, text=json.dumps(_plan(slug, url, staging)), author=None)
    return slug


def _plan(slug: str, url: str, staging: str) -> dict[str, Any]:
    step = {"key": "go", "title": "Go", "category": "back_end", "command": {"argv": ["true"]}}
    whole = {"category": "identity", "basis": "contract", "retention": "a year"}
    keys = {"json": {"json_keys": {"email": "email"}}}
    inventory = [{**whole, "columns": columns, "mask": mask, **keys.get(mask, {})} for mask, columns in MASKS.items()]
    place = {"url": "http://127.0.0.1:9"}
    check = {"kind": "privacy", "title": "P", "environment": "production",
             "params": {"clone": "template", "proof_timeout": "1h"}}  # fmt: skip
    return {
        "application": slug,
        "title": slug,
        "environments": {
            "production": {"tier": "production", "variables": {"DATABASE_URL": url}, **place},
            "staging": {"tier": "staging", "variables": {"DATABASE_URL": staging}},
        },
        "privacy": {"inventory": inventory},
        "refresh": {"environment": "staging", "source": "production", "proof_timeout": "1h"},
        "checks": {"privacy": check},
        "deploy": {"steps": [step], "smoke": [{"path": "/"}]},
        "rollback": {"steps": [step], "smoke": [{"path": "/"}]},
    }


def _execute(slug: str, kind: str) -> dict[str, Any]:
    """One run in a process of its own: seconds of each step, figures, and the peak memory of that process in MiB."""
    command = [sys.executable, "-m", "benchmarks.privacy", "--worker", slug, kind]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _worker(slug: str, kind: str) -> None:
    import django

    django.setup()
    from checks import engine, services
    from checks.models import Run
    from releases.models import Application

    application = Application.objects.get(slug=slug)
    if kind == "refresh":
        run = _refreshing(application)
    else:
        run = services.start_run(application=application, section=f"checks.{kind}", actor=None)
    engine.execute(run.pk)
    run = Run.objects.get(pk=run.pk)
    if run.state != "passed":
        raise SystemExit(f"The {kind} ended as {run.state}: {run.summary} {run.error}")
    steps = {step.key: (step.ended_at - step.started_at).total_seconds() for step in run.steps.all() if step.started_at}
    status = Path("/proc/self/status").read_text()
    peak = int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) / 1024
    told = {name: run.result[name] for name in ("figures", "masked", "clone") if name in run.result}
    print(json.dumps({**told, "steps": steps, "memory": peak}))


def _refreshing(application: Any) -> Any:
    """A refresh is started from a release's board."""
    import io

    from checks import services
    from releases.domain import application as applications
    from releases.domain import release as releases
    from releases.enums import Role
    from releases.models import User

    person = User.objects.create_user(email="bench@gonogo.example", name="Bench", password=None)
    applications.add_member(application=application, user=person, role=Role.ENGINEER, actor=None)
    places = {place.name: place for place in application.environments.all()}
    release = releases.create_release(
        application=application, version="1", build_name="build.txt", build_file=io.BytesIO(b"build"),
        source_environment=places["staging"], target_environment=places["production"], requester=person,
    )  # fmt: skip
    releases.start_rehearsal(release=release, actor=person)
    return services.start_refresh(release=release, actor=person)


if __name__ == "__main__":
    if "--worker" in sys.argv:
        _worker(*sys.argv[2:4])
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
