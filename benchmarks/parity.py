"""Two environments compared fact by fact: 1,000 tables and 300 packages on each side.

    python -m benchmarks.parity [tables]

A durable PostgreSQL of its own holds both databases; each table has ten columns, a key, two indexes, a check and a few
rows, every fourth a reference. Asking both is measured beside pg_dump --schema-only of both in the same turns, which
reads the same catalogue and keeps nothing but text. A whole run of the kind goes through the engine in a process of its
own, with facts, lock, pages and a clone on which a migration runs; memory and statements are counted there.
"""

import json
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

TABLES, PACKAGES, ROUNDS = 1_000, 300, 5
#: Of pg_dump's own time, for both databases (it counts no rows; 2.4 to 3.0 times were seen); and for each side. The
#: mirrored one is asked for its schema once more, to see that what was done to the clone left it alone.
MOST_TIMES_PG_DUMP, MOST_STATEMENTS = 4.0, 120
#: Seconds of this process' own, so that what else runs does not count.
MOST_CPU_SECONDS, MOST_MEGABYTES = 12.0, 150.0
MIGRATE: Final = "import os, psycopg; psycopg.connect(os.environ['DATABASE_URL']).execute('SELECT 1')"
FACTS: Final = """
import hashlib, hmac, json, os
key = os.environ["GONOGO_PARITY_KEY"].encode()
value = hmac.new(key, os.environ["DATABASE_URL"].encode(), hashlib.sha256).hexdigest()
print(json.dumps({
    "runtime": {"interpreter": "CPython 3.11.9", "system": "Linux", "architecture": "x86_64"},
    "process": {"command": "gunicorn shop.wsgi", "workers": 2, "threads": 2, "cpus": 2, "memory": "4 GiB"},
    "packages": json.load(open("packages.json")), "variables": {"DATABASE_URL": value},
}))
"""


def main(tables: int) -> int:
    from benchmarks.server import server_of_its_own

    with server_of_its_own() as (server, folder):
        urls = _databases(server, tables)
        kept = [_gathering(urls), _whole(urls, folder / "plan", tables)]
    return 0 if all(kept) else 1


def _show(name: str, value: float, unit: str, beside: str) -> None:
    print(f"{'parity.' + name:32} {value:10.1f} {unit:10} {beside}", flush=True)


def _databases(server: Any, tables: int) -> list[str]:
    import psycopg

    names = ("staging", "production")
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE staging OWNER gonogo")
        connection.execute("ALTER ROLE gonogo CREATEDB")
    with psycopg.connect(server.url("staging", user="gonogo", password="benchmark"), autocommit=True) as connection:
        for number in range(tables):
            _make_table(connection, number)
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE production TEMPLATE staging OWNER gonogo")
    return [server.url(name, user="gonogo", password="benchmark") for name in names]


def _make_table(connection: Any, number: int) -> None:
    refers = f"REFERENCES t{number - 1:04}" if number % 4 == 3 else ""
    connection.execute(
        f"CREATE TABLE t{number:04} (id bigint PRIMARY KEY, other bigint {refers}, name text NOT NULL, note text,"
        " born date, seen timestamptz DEFAULT now(), balance numeric(12, 2) CHECK (balance >= 0), active boolean,"
        " score double precision, settings jsonb)"
    )
    connection.execute(f"CREATE INDEX ON t{number:04} (name, born); CREATE INDEX ON t{number:04} (seen) WHERE active")
    connection.execute(f"INSERT INTO t{number:04} (id, name) SELECT n, 'n' FROM generate_series(1, 20) n")


# --- asking both ------------------------------------------------------------------------------------------------------


def _gathering(urls: list[str]) -> bool:
    from checks.tools.parity import of_database, of_schema
    from checks.tools.parity.facts import Area, Side
    from checks.tools.postgres import Address, connected

    def ask() -> int:
        facts = 0
        for url in urls:
            side = Side("side")
            with connected(Address.parse(url)) as connection:
                of_database.gather(connection, side)
                side.fill(Area.SCHEMA, of_schema.facts(connection))
            facts = sum(map(len, side.facts.values()))
        return facts

    turns = [(_seconds(ask), _seconds(lambda: _dump(urls))) for _ in range(ROUNDS)]
    ours, dump = (statistics.median(turn[which] for turn in turns) for which in (0, 1))
    times = statistics.median(mine / other for mine, other in turns)
    _show("gather.facts", ask(), "each side", "-")
    _show("gather", ours, "s", f"pg_dump --schema-only {dump:.1f}")
    _show("gather.times_pg_dump", times, "times", f"limit {MOST_TIMES_PG_DUMP:g}")
    return times <= MOST_TIMES_PG_DUMP


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _dump(urls: list[str]) -> None:
    from config.services.postgres import binaries

    for url in urls:
        subprocess.run([str(binaries() / "pg_dump"), "--schema-only", url], check=True, stdout=subprocess.DEVNULL)


# --- a whole run ------------------------------------------------------------------------------------------------------


def _whole(urls: list[str], folder: Path, tables: int) -> bool:
    folder.mkdir()
    (folder / "packages.json").write_text(json.dumps({f"package-{each}": f"1.{each}" for each in range(PACKAGES)}))
    (folder / "lock.txt").write_text("".join(f"package-{each}==1.{each}\n" for each in range(PACKAGES)))
    command = [sys.executable, "-m", "benchmarks.parity", "--run", *urls, str(folder), str(tables)]
    found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])
    statements: dict[str, int] = found["statements"]
    _show("run", found["seconds"], "s", "with a clone")
    _show("run.cpu", found["cpu"], "s cpu", f"limit {MOST_CPU_SECONDS:g}")
    _show("run.memory", found["megabytes"], "MB", f"limit {MOST_MEGABYTES:g}")
    for side in ("staging", "production"):
        _show(f"run.statements.{side}", statements.get(side, 0), "statements", f"limit {MOST_STATEMENTS}")
    most = max(statements.values())
    held = (found["cpu"] <= MOST_CPU_SECONDS, found["megabytes"] <= MOST_MEGABYTES, most <= MOST_STATEMENTS)
    return all(held)


def _run_here(urls: list[str], folder: Path, tables: int) -> None:
    """One run in a process that did nothing else before."""
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    from benchmarks.suite import _peak
    from releases.domain import environment as environments
    from tests.engine.support import application_with, check, run_section
    from tests.factories import make_release
    from tests.kinds_deploy.local_server import Reply, serving

    with serving({"/": Reply()}) as staging, serving({"/": Reply()}) as production:
        places = {
            name: {"tier": name, "url": server.url, "variables": {"DATABASE_URL": url}}
            for name, server, url in zip(("staging", "production"), (staging, production), urls, strict=True)
        }
        params = {"facts": {"argv": [sys.executable, "-c", FACTS]}, "lock": {"argv": ["cat", "lock.txt"]},
                  "migrate": {"argv": [sys.executable, "-c", MIGRATE]}}  # fmt: skip
        section = check("parity", params=params)
        application = application_with({"parity": section}, folder=folder, plan={"environments": places})
        release = make_release(application=application, rehearsing=False)
        environments.build_running(
            environment=release.source_environment, release=release, version="2", build_digest=release.build_digest
        )
        before, begun, cpu = _peak(), time.perf_counter(), time.process_time()
        with _counted() as statements:
            run = run_section(application, "checks.parity", release=release)
        seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    packages = next(area["counts"] for area in run.result["areas"] if area["area"] == "package")
    if run.state != "passed" or run.result["counts"]["same"] < 10 * tables or sum(packages.values()) != PACKAGES:
        raise RuntimeError(f"the run ended as {run.state}: {run.error or run.summary} {run.result.get('counts')}")
    counted = {name: statements[name] for name in ("staging", "production")}
    print(json.dumps({"seconds": seconds, "cpu": cpu, "megabytes": _peak() - before, "statements": counted}))


@contextmanager
def _counted() -> Iterator[Counter[str]]:
    """How many statements went to which database, by whatever connection of this process."""
    import psycopg

    counts: Counter[str] = Counter()
    execute = psycopg.Cursor.execute

    def counting(self: Any, *arguments: Any, **more: Any) -> Any:
        counts[self.connection.info.dbname] += 1
        return execute(self, *arguments, **more)

    psycopg.Cursor.execute = counting  # type: ignore[method-assign]
    try:
        yield counts
    finally:
        psycopg.Cursor.execute = execute  # type: ignore[method-assign]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        _run_here(sys.argv[2:4], Path(sys.argv[4]), int(sys.argv[5]))
        sys.exit(0)
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else TABLES))
