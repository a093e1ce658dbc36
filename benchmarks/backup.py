"""How long a backup, a drill and a rehearsal take, beside pg_dump, pg_restore and zstd in the same run, and in how
much memory.

    python -m benchmarks.backup [megabytes]

A durable PostgreSQL of its own holds one table of that many megabytes (400): half of each row is text that
compresses, half is hashes that do not. Each run is executed by a worker process of its own, whose peak memory is
compared with that of a worker that backed up an empty database. pg_dump writes to a file on the same disk.
"""

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROUNDS = 3
MIGRATE = """
import os, psycopg
with psycopg.connect(os.environ["DATABASE_URL"]) as database:
    database.execute("ALTER TABLE bulk ADD COLUMN more integer")
"""
BULK = """
    CREATE TABLE bulk (id bigint PRIMARY KEY, words text NOT NULL, noise text NOT NULL);
    INSERT INTO bulk SELECT n, repeat('The release goes live on evidence. ', 4), md5(n::text) || md5((-n)::text)
        || md5((n * 3)::text) || md5((n * 7)::text) FROM generate_series(1, {rows}) n;
    VACUUM ANALYZE bulk
"""


def main(megabytes: int) -> None:
    print(f"backup of {megabytes} MB, median of {ROUNDS}")
    with server_of_its_own() as (server, folder):
        small = _application(server, folder, "small", 0)
        large = _application(server, folder, "large", megabytes)
        empty = _execute(small, "backup")
        idle = empty["memory"]
        dumps = [_pg_dump(server, folder) for _ in range(ROUNDS)]
        runs = [_execute(large, "backup") for _ in range(ROUNDS)]
        _backup_figures(runs, dumps, idle, folder)
        print(f"  of it whatever the size: {empty['result']['seconds']:.2f} s (backup of an empty database)")
        restores = [_pg_restore(server, folder) for _ in range(ROUNDS)]
        drills = [_execute(large, "drill") for _ in range(ROUNDS)]
        _drill_figures(drills, restores, idle)
        rehearsal = _execute(large, "migration")["result"]
        print(f"  clone by {rehearsal['clone']['method']}: {rehearsal['clone']['seconds']:.2f} s")


def _backup_figures(runs: list[dict[str, Any]], dumps: list[tuple[float, int]], idle: float, folder: Path) -> None:
    floor = statistics.median(seconds for seconds, _ in dumps)
    took = statistics.median(run["result"]["seconds"] for run in runs)
    stored, dumped = runs[-1]["result"]["stored_bytes"], dumps[-1][1]
    packed = _zstd_size(folder / "peer.dump")
    memory = max(run["memory"] for run in runs) - idle
    print(f"  pg_dump -Fc -Z none to a file: {floor:.2f} s, {dumped / 1e6:.0f} MB")
    print(f"  backup, counted, encrypted, read back: {took:.2f} s ({took / floor:.2f} of pg_dump; limit 1.2)")
    print(f"  stored: {stored / 1e6:.1f} MB ({stored / dumped:.2f} of the dump; zstd -1 alone: {packed / dumped:.2f})")
    print(f"  memory of the worker above one that backs up nothing: {memory:.0f} MiB (limit 80)")


def _drill_figures(drills: list[dict[str, Any]], restores: list[float], idle: float) -> None:
    phases = {name: statistics.median(run["result"]["phases"][name] for run in drills)
              for name in drills[0]["result"]["phases"]}  # fmt: skip
    floor = statistics.median(restores)
    memory = max(run["memory"] for run in drills) - idle
    print(f"  pg_restore of the plain dump: {floor:.2f} s")
    print("  drill by phase: " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in phases.items()))
    print(f"  restore of the drill: {phases['restore'] / floor:.2f} of pg_restore")
    print(f"  comparing: {phases['compare'] / phases['restore']:.2f} of its restore (peer: 0.21)")
    print(f"  memory of the worker above one that backs up nothing: {memory:.0f} MiB (limit 80)")


@contextmanager
def server_of_its_own() -> Iterator[tuple[Any, Path]]:
    from config.services.ports import free_port
    from config.services.postgres import Postgres

    folder = Path(tempfile.mkdtemp(prefix="gonogo-bench-"))
    folder.chmod(0o711)
    server = Postgres(folder / "postgres", free_port(), "benchmark", {})
    server.initialise()
    process = server.start(subprocess.DEVNULL)
    try:
        server.wait(process)
        server.ensure_role_and_database("gonogo", "benchmark")
        os.environ |= {
            "GONOGO_HOME": str(folder / "home"),
            "DATABASE_URL": server.url("gonogo", user="gonogo", password="benchmark"),
            "REDIS_URL": f"redis://127.0.0.1:{free_port()}/0",
            "STATIC_MANIFEST": "false",
            "LOG_LEVEL": "ERROR",
            "DJANGO_SETTINGS_MODULE": "config.settings",
        }
        yield server, folder
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def _application(server: Any, folder: Path, slug: str, megabytes: int) -> str:
    """An application whose production is a database of that size; returns its slug."""
    import django
    import psycopg

    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {slug} OWNER gonogo")
    url = server.url(slug, user="gonogo", password="benchmark")
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in BULK.format(rows=megabytes * 1_000_000 // 290).split(";"):
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
    migrate = {"command": {"argv": [sys.executable, "-c", MIGRATE]}}
    return {
        "application": slug,
        "title": slug,
        "environments": {"production": places, "staging": {"tier": "staging"}},
        "checks": {
            "backup": {"kind": "backup", "title": "Backup", "environment": "production"},
            "drill": {"kind": "drill", "title": "Drill", "environment": "production"},
            "migration": {"kind": "migration", "title": "M", "environment": "production", "params": migrate},
        },
        "deploy": {"steps": [step], "smoke": [{"path": "/"}]},
        "rollback": {"steps": [step], "smoke": [{"path": "/"}]},
    }


def _execute(slug: str, check: str) -> dict[str, Any]:
    """One run in a process of its own: its result, and the peak memory of that process in MiB."""
    command = [sys.executable, "-m", "benchmarks.backup", "--worker", slug, check]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _worker(slug: str, check: str) -> None:
    import django

    django.setup()
    import io

    from checks import engine, services
    from checks.kinds.base import get_kind
    from releases.domain import release as releases
    from releases.models import Application, User

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
    engine.execute(run.pk)
    run = engine.load(run.pk)
    if run.state != "passed":
        raise SystemExit(f"The {check} ended as {run.state}: {run.summary} {run.error}")
    status = Path("/proc/self/status").read_text()
    peak = int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) / 1024
    print(json.dumps({"result": run.result, "memory": peak}))


def _pg_dump(server: Any, folder: Path) -> tuple[float, int]:
    from config.services.postgres import binaries

    target = folder / "peer.dump"
    url = server.url("large", user="gonogo", password="benchmark")
    began = time.monotonic()
    subprocess.run([str(binaries() / "pg_dump"), "-Fc", "-Z", "none", "-f", str(target), url], check=True)
    return time.monotonic() - began, target.stat().st_size


def _pg_restore(server: Any, folder: Path) -> float:
    import psycopg

    from config.services.postgres import binaries

    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE peer OWNER gonogo TEMPLATE template0")
        url = server.url("peer", user="gonogo", password="benchmark")
        began = time.monotonic()
        command = [str(binaries() / "pg_restore"), "--exit-on-error", "--single-transaction", "-d", url]
        subprocess.run([*command, str(folder / "peer.dump")], check=True)
        took = time.monotonic() - began
        connection.execute("DROP DATABASE peer WITH (FORCE)")
    return took


def _zstd_size(path: Path) -> int:
    import zstandard

    with path.open("rb") as source, Path(os.devnull).open("wb") as sink:
        return zstandard.ZstdCompressor(level=1).copy_stream(source, sink)[1]


if __name__ == "__main__":
    if "--worker" in sys.argv:
        _worker(*sys.argv[2:4])
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 400)
