"""How long a backup, a drill and a rehearsal take, beside pg_dump, pg_restore and zstd in the same run, and in how
much memory.

    python -m benchmarks.backup [megabytes]

A durable PostgreSQL of its own holds two databases of that many megabytes (400): one with a single table, half of whose
rows is text that compresses and half hashes that do not, and one with tables of four kinds. pg_dump to a file on the
same disk, the backup, and the backup without its counting take turns, so that all find the same caches and the same
load; the first round is not counted. Each run is executed by a worker process of its own, whose peak memory is compared
with that of a worker that backed up an empty database. A backup's time is that from the run's first look at storage and
database until everything is read back and on the disk.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.server import server_of_its_own

ROUNDS = 5
DRILLS = 3
MIGRATE = """
import os, psycopg
with psycopg.connect(os.environ["DATABASE_URL"]) as database:
    database.execute("ALTER TABLE bulk ADD COLUMN more integer")
"""
BULK = """
    CREATE TABLE bulk (id bigint PRIMARY KEY, words text NOT NULL, noise text NOT NULL);
    INSERT INTO bulk SELECT n, repeat('The release goes live on evidence. ', 4), md5(n::text) || md5((-n)::text)
        || md5((n * 3)::text) || md5((n * 7)::text) FROM generate_series(1, {bytes} / 290) n;
    VACUUM ANALYZE bulk
"""
SEVERAL = """
    CREATE TABLE person (id integer PRIMARY KEY, email varchar(200) NOT NULL, name varchar(120), password text NOT NULL,
        nick text, language varchar(32) NOT NULL, active boolean NOT NULL, joined timestamptz NOT NULL, about text);
    INSERT INTO person SELECT n, 'person' || n || '@example.org', CASE WHEN n % 5 > 0 THEN 'Name ' || n END,
        md5(n::text) || md5((-n)::text), NULL, 'en', true, now() - n * interval '1 s', repeat('About them. ', n % 20)
        FROM generate_series(1, {bytes} / 4 / 280) n;
    CREATE TABLE progress (id bigint PRIMARY KEY, person_id integer NOT NULL, lesson_id integer NOT NULL,
        score numeric(6, 2), started_at timestamptz NOT NULL, completed_at timestamptz, is_done boolean NOT NULL);
    INSERT INTO progress SELECT n, n % 10000, n % 77, (n % 1000) / 7.0, now() - n * interval '1 s',
        CASE WHEN n % 3 = 0 THEN now() END, n % 2 = 0 FROM generate_series(1, {bytes} / 4 / 72) n;
    CREATE TABLE log (id bigint PRIMARY KEY, object_id bigint NOT NULL, kind varchar(30) NOT NULL, data jsonb NOT NULL,
        at timestamptz NOT NULL);
    INSERT INTO log SELECT n, n / 3, 'changed', jsonb_build_object('field', n, 'was', md5(n::text)), now()
        FROM generate_series(1, {bytes} / 4 / 165) n;
    CREATE TABLE text (id bigint PRIMARY KEY, body text NOT NULL);
    INSERT INTO text SELECT n, repeat('The release goes live on evidence. ', 4) || md5(n::text) || md5((-n)::text)
        || md5((n * 3)::text) || md5((n * 7)::text) FROM generate_series(1, {bytes} / 4 / 290) n;
    VACUUM ANALYZE
"""
DATABASES = {"one": ("one table", BULK), "several": ("tables of four kinds", SEVERAL)}


def main(megabytes: int) -> None:
    print(f"backup of {megabytes} MB, medians of {ROUNDS} rounds in turns; load {os.getloadavg()[0]:.1f}")
    with server_of_its_own() as (server, folder):
        empty = _execute(_application(server, folder, "small", BULK, 0), "backup")
        for slug, (what, schema) in DATABASES.items():
            _application(server, folder, slug, schema, megabytes)
            _backup_figures(what, _rounds(server, folder, slug), empty["memory"], folder)
        fixed, whole = empty["result"]["seconds"], empty["whole"]
        print(f"  of it whatever the size: {fixed:.2f} s (backup of an empty database; its whole run: {whole:.2f} s)")
        restores, drills = [], []
        for _ in range(DRILLS):
            restores.append(_pg_restore(server, folder, "one"))
            drills.append(_execute("one", "drill"))
        _drill_figures(drills, restores, empty["memory"])
        rehearsal = _execute("one", "migration")["result"]
        print(f"  clone by {rehearsal['clone']['method']}: {rehearsal['clone']['seconds']:.2f} s")


def _rounds(server: Any, folder: Path, slug: str) -> list[dict[str, Any]]:
    """Each round: seconds of pg_dump, of the backup and of the backup without counting, and the backup's run."""
    found = []
    for number in range(ROUNDS + 1):
        dump = _pg_dump(server, folder, slug)
        # Now one of the two comes first, now the other.
        order = ("backup", "stream") if number % 2 else ("stream", "backup")
        runs = {name: _execute(slug, "backup", counting=name == "backup") for name in order}
        seconds = {name: run["result"]["seconds"] for name, run in runs.items()}
        found.append({"pg_dump": dump, **seconds, "run": runs["backup"]})
    return found[1:]


def _backup_figures(what: str, rounds: list[dict[str, Any]], idle: float, folder: Path) -> None:
    def median(name: str) -> float:
        return statistics.median(one[name] for one in rounds)

    def share(name: str) -> float:
        return statistics.median(one[name] / one["pg_dump"] for one in rounds)

    dump = folder / "peer.dump"
    stored, dumped = rounds[-1]["run"]["result"]["stored_bytes"], dump.stat().st_size
    memory = max(one["run"]["memory"] for one in rounds) - idle
    print(f"  {what}")
    print(f"    pg_dump -Fc -Z none to a file: {median('pg_dump'):.2f} s, {dumped / 1e6:.0f} MB")
    print(f"    backup, encrypted, read back: {median('stream'):.2f} s ({share('stream'):.2f} of pg_dump)")
    print(f"    the same, counted and hashed: {median('backup'):.2f} s ({share('backup'):.2f} of pg_dump; limit 1.2)")
    print(f"    stored: {stored / 1e6:.1f} MB ({stored / dumped:.3f} of the dump; zstd -1: {_zstd_share(dump):.3f})")
    print(f"    memory of the worker above one that backs up nothing: {memory:.0f} MiB (limit 80)")


def _drill_figures(drills: list[dict[str, Any]], restores: list[float], idle: float) -> None:
    phases = {name: statistics.median(run["result"]["phases"][name] for run in drills)
              for name in drills[0]["result"]["phases"]}  # fmt: skip
    floor = statistics.median(restores)
    memory = max(run["memory"] for run in drills) - idle
    print(f"  pg_restore of the plain dump of one table: {floor:.2f} s")
    print("  drill by phase: " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in phases.items()))
    print(f"  restore of the drill: {phases['restore'] / floor:.2f} of pg_restore")
    print(f"  comparing: {phases['compare'] / phases['restore']:.2f} of its restore (peer: 0.21)")
    print(f"  memory of the worker above one that backs up nothing: {memory:.0f} MiB (limit 80)")


def _application(server: Any, folder: Path, slug: str, schema: str, megabytes: int) -> str:
    """An application whose production is a database of that size; returns its slug."""
    import django
    import psycopg

    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {slug} OWNER gonogo")
    url = server.url(slug, user="gonogo", password="benchmark")
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in schema.format(bytes=megabytes * 1_000_000).split(";"):
            connection.execute(statement)  # type: ignore[call-overload]
    django.setup()
    from django.core.management import call_command

    from checks.publishing import publish
    from releases.domain import application as applications

    call_command("migrate", verbosity=0)
    application = applications.create_application(slug=slug, name=slug, actor=None, plan_folder=str(folder))
    publish(application=application, text=json.dumps(_plan(slug, url)), author=None)
    return slug


def _plan(slug: str, url: str) -> dict[str, Any]:
    step = {"key": "go", "title": "Go", "category": "back_end", "command": {"argv": ["true"]}}
    places = {"tier": "production", "variables": {"DATABASE_URL": url}, "url": "http://127.0.0.1:9"}
    migrate = {
        "command": {"argv": [sys.executable, "-c", MIGRATE]},
        "irreversible": {"command": "The backup is put back."},
    }
    return {
        "application": slug,
        "title": slug,
        "environments": {"production": places, "staging": {"tier": "staging"}},
        "checks": {
            # Without its counting a backup knows of no table.
            "backup": {
                "kind": "backup",
                "title": "Backup",
                "environment": "production",
                "params": {"may_be_empty": True},
            },
            "drill": {"kind": "drill", "title": "Drill", "environment": "production"},
            "migration": {"kind": "migration", "title": "M", "environment": "production", "params": migrate},
        },
        "deploy": {"steps": [step], "smoke": [{"path": "/"}]},
        "rollback": {"steps": [step], "smoke": [{"path": "/"}]},
    }


def _execute(slug: str, check: str, *, counting: bool = True) -> dict[str, Any]:
    """One run in a process of its own: its result, and the peak memory of that process in MiB."""
    command = [sys.executable, "-m", "benchmarks.backup", "--worker", slug, check, "counted" if counting else "stream"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _worker(slug: str, check: str, counting: str) -> None:
    import django

    django.setup()
    import io

    from checks import engine, services
    from checks.kinds.base import get_kind
    from checks.tools import digest, manifest
    from releases.domain import release as releases
    from releases.models import Application, User

    if counting == "stream":
        digest.digest_tables = lambda *_, **__: {}
    application = Application.objects.get(slug=slug)
    release = None
    if get_kind(check).needs_release:
        places = {place.name: place for place in application.environments.all()}
        person = User.objects.create_user(email="bench@gonogo.example", name="Bench", password=None)
        from releases.domain.application import add_member
        from releases.enums import Role

        add_member(application=application, user=person, role=Role.ENGINEER, actor=None)
        release = releases.create_release(
            application=application, version="1", build_name="build.txt", build_file=io.BytesIO(b"build"),
            source_environment=places["staging"], target_environment=places["production"], requester=person,
        )  # fmt: skip
        releases.start_rehearsal(release=release, actor=person)
    run = services.start_run(application=application, section=f"checks.{check}", release=release, actor=None)
    began = time.monotonic()
    engine.execute(run.pk)
    whole = time.monotonic() - began
    run = engine.load(run.pk)
    if run.state != "passed":
        raise SystemExit(f"The {check} ended as {run.state}: {run.summary} {run.error}")
    if counting == "stream":
        manifest.remove(run.result["manifest"])  # nobody could drill it
    status = Path("/proc/self/status").read_text()
    peak = int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) / 1024
    print(json.dumps({"result": run.result, "memory": peak, "whole": whole}))


def _pg_dump(server: Any, folder: Path, slug: str) -> float:
    """Seconds of a dump into a new file."""
    from config.services.postgres import binaries

    target = folder / "peer.dump"
    target.unlink(missing_ok=True)
    url = server.url(slug, user="gonogo", password="benchmark")
    began = time.monotonic()
    subprocess.run([str(binaries() / "pg_dump"), "-Fc", "-Z", "none", "-f", str(target), url], check=True)
    return time.monotonic() - began


def _pg_restore(server: Any, folder: Path, slug: str) -> float:
    """Seconds of a restore of a fresh plain dump of that database."""
    import psycopg

    from config.services.postgres import binaries

    _pg_dump(server, folder, slug)
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE peer OWNER gonogo TEMPLATE template0")
        url = server.url("peer", user="gonogo", password="benchmark")
        began = time.monotonic()
        command = [str(binaries() / "pg_restore"), "--exit-on-error", "--single-transaction", "-d", url]
        subprocess.run([*command, str(folder / "peer.dump")], check=True)
        took = time.monotonic() - began
        connection.execute("DROP DATABASE peer WITH (FORCE)")
    return took


def _zstd_share(path: Path) -> float:
    """What zstd -1 makes of a file, as a share of it."""
    import zstandard

    with path.open("rb") as source, Path(os.devnull).open("wb") as sink:
        read, written = zstandard.ZstdCompressor(level=1).copy_stream(source, sink)
    return written / read


if __name__ == "__main__":
    if "--worker" in sys.argv:
        _worker(*sys.argv[2:5])
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 400)
