"""How long a comparison of two databases takes, beside the hash floor and reladiff in the same run, and its memory.

    python -m benchmarks.reconcile [rows]

A durable PostgreSQL of its own holds two databases with that many rows (2,000,000) in a narrow and in a wide table, one
the copy of the other; in a third table the target's narrow rows lie in no order.
The floor is one unbucketed hash of all rows, on both sides at once. reladiff comes from PyPI into an environment of its
own. Everything is asked in turns, ROUNDS times; times and shares are medians, a share being that of two neighbours.
Then every fifth row of the narrow table is changed, and the comparison is done in a process of its own, whose peak
memory is told. Last, all of ThinkInCoin's database, grown to EXAMPLE_ROWS rows of progress, is compared with its clone,
beside the floor of that one table.
"""

import json
import statistics
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks import limits

ROUNDS = 5
EXAMPLE_ROWS = 1_000_000
#: Beside the floor as many sessions on each side as it has, so that a busy machine favours neither; beside reladiff,
#: which opens several, as many as the kind has where a plan says nothing.
SESSIONS, USUAL_SESSIONS = 1, 2
RELADIFF = "reladiff[postgresql]==0.6.0"
NARROW = (
    "CREATE TABLE {name} (id bigint PRIMARY KEY, person integer NOT NULL, points integer NOT NULL)",
    "INSERT INTO {name} SELECT n, n % 1000, n % 77 FROM generate_series(1, {rows}) n",
    ("person", "points"),
)
TABLES = {
    "narrow": NARROW,
    "moved": NARROW,
    "wide": (
        "CREATE TABLE {name} (id bigint PRIMARY KEY, email text NOT NULL, name text NOT NULL, address text,"
        " born date, seen timestamptz, balance numeric(12, 2), active boolean, score double precision, note text,"
        " country text, settings jsonb)",
        "INSERT INTO {name} SELECT n, 'person-' || n || '@example.org', 'Person ' || md5(n::text),"
        " repeat('Long Street ', 5) || n, '2000-01-01'::date + n % 9000,"
        " '2026-01-01'::timestamptz + n * interval '1 s', n / 100.0, n % 3 = 0,"
        " n / 7.0, md5((n * 3)::text) || md5((n * 7)::text), 'Country ' || n % 200, jsonb_build_object('theme', 'dark',"
        " 'n', n) FROM generate_series(1, {rows}) n",
        ("email", "name", "address", "born", "seen", "balance", "active", "score", "note", "country", "settings"),
    ),
}
LEAST_OF_PEER = 2.5
MOST_MEMORY = 100
LIMITS = {"narrow": 1.6, "moved": 1.6, "wide": 1.25}
#: In the target the rows of one table lie in no order.
MOVE = (
    "CREATE UNLOGGED TABLE mixed AS SELECT * FROM moved ORDER BY hashint8(id)",
    "TRUNCATE moved",
    "INSERT INTO moved TABLE mixed",
    "DROP TABLE mixed",
    "VACUUM ANALYZE moved",
    "CHECKPOINT",
)
DIFFERENT = "UPDATE narrow SET points = points + 1 WHERE id % 5 = 0"


def main(rows: int) -> None:
    from benchmarks.server import server_of_its_own

    with server_of_its_own() as (server, folder):
        urls = _databases(server, rows)
        peer = _reladiff(folder)
        for table in TABLES:
            _figures(table, rows, urls, peer)
        _memory(rows, urls)
        _example(server, folder)


def _databases(server: Any, rows: int) -> tuple[str, str]:
    import psycopg

    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE source")
    with psycopg.connect(server.url("source"), autocommit=True) as connection:
        for name, (create, fill, _) in TABLES.items():
            connection.execute(create.format(name=name))  # type: ignore[call-overload]
            connection.execute(fill.format(name=name, rows=rows))  # type: ignore[call-overload]
        connection.execute("VACUUM ANALYZE")
        sizes = connection.execute(
            "SELECT relname, pg_table_size(oid) FROM pg_class WHERE relname = ANY (%s) ORDER BY 1",
            [list(TABLES)],
        ).fetchall()
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE target TEMPLATE source STRATEGY FILE_COPY")
    with psycopg.connect(server.url("target"), autocommit=True) as connection:
        for statement in MOVE:
            connection.execute(statement)  # type: ignore[call-overload]
    told = ", ".join(f"{name} {size / 1e6:.0f} MB" for name, size in sizes)
    print(f"two databases with {rows:,} rows a table ({told}), median of {ROUNDS}", flush=True)
    return server.url("source"), server.url("target")


def _reladiff(folder: Path) -> Path | None:
    """The peer in an environment of its own; None, with the reason, where it cannot be had."""
    venv.create(folder / "reladiff", with_pip=True)
    pip = [str(folder / "reladiff/bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*pip, RELADIFF], capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"  reladiff could not be installed, so nothing is beside ours: {done.stderr.strip()[-300:]}")
        return None
    return folder / "reladiff/bin/reladiff"


def _figures(table: str, rows: int, urls: tuple[str, str], peer: Path | None) -> None:
    floors, ours, usual, theirs = [], [], [], []
    for _ in range(ROUNDS):
        floors.append(_timed(lambda: _floor(table, urls)))
        ours.append(_timed(lambda: _compare(table, urls, rows)))
        if peer is not None:
            usual.append(_timed(lambda: _compare(table, urls, rows, workers=USUAL_SESSIONS)))
            theirs.append(_timed(lambda: _ask_peer(table, urls, peer)))
    share = statistics.median(own / floor for own, floor in zip(ours, floors, strict=True))
    print(f"  {table} rows, floor: {_told(floors)}")
    limit = limits.limited(f"{table} rows, of the floor", share, at_most=LIMITS[table])
    medians = statistics.median(ours) / statistics.median(floors)
    print(
        f"  {table} rows, ours: {_told(ours)}, {share:.2f} of the floor beside it as the median of pairs ({limit});"
        f" {medians:.2f} as the ratio of medians"
    )
    if theirs:
        share = statistics.median(them / own for them, own in zip(theirs, usual, strict=True))
        print(f"  {table} rows, ours with {USUAL_SESSIONS} sessions a side: {_told(usual)}")
        limit = limits.limited(f"{table} rows, reladiff of ours", share, at_least=LEAST_OF_PEER)
        print(f"  {table} rows, reladiff: {_told(theirs)}, {share:.1f} times ours ({limit})")
    sys.stdout.flush()


def _told(seconds: Sequence[float]) -> str:
    return f"{statistics.median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"


def _timed(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def _floor(table: str, urls: tuple[str, str]) -> None:
    """What cannot be saved: reading and hashing each row once, both sides at once."""
    import psycopg

    names = ", ".join(sorted(("id", *TABLES[table][2])))
    query = f"SELECT count(*), sum(hashbyteaextended(record_send(ROW({names})), 42)) FROM {table}"

    def ask(url: str) -> Any:
        with psycopg.connect(url) as connection:
            connection.execute("SET max_parallel_workers_per_gather = 0; SET jit = off")
            return connection.execute(query).fetchone()  # type: ignore[call-overload]

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(ask, urls)
    if one != other:
        raise SystemExit("The two databases of the benchmark differ.")


def _compare(
    table: str, urls: tuple[str, str], rows: int, expected: int = 0, *, workers: int = SESSIONS
) -> dict[str, Any]:
    from checks.tools.postgres import Address
    from checks.tools.reconciling import Options, compare

    options = Options(tables=[table], schema=False, sequences=False, large_objects=False, workers=workers)
    found = compare(Address.parse(urls[0]), Address.parse(urls[1]), options)
    if (found.rows, found.total("changed"), found.data_agrees) != (rows, expected, not expected):
        raise SystemExit(f"The comparison is wrong: {found.rows} rows, {found.total('changed')} changed.")
    return {"seconds": found.seconds, "told": len(found.tables[0].differences)}


def _ask_peer(table: str, urls: tuple[str, str], peer: Path) -> None:
    columns = [word for name in TABLES[table][2] for word in ("-c", name)]
    command = [str(peer), urls[0], table, urls[1], table, "-k", "id", *columns]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or done.stdout.strip():
        raise SystemExit(f"reladiff ended with {done.returncode}: {done.stdout[:300]} {done.stderr[-500:]}")


def _memory(rows: int, urls: tuple[str, str]) -> None:
    import psycopg

    with psycopg.connect(urls[1], autocommit=True) as connection:
        changed = connection.execute(DIFFERENT).rowcount
        connection.execute("VACUUM ANALYZE narrow")
    found = _child(["--child", "narrow", *urls, str(rows), str(changed)])
    idle = _child(["--child", "idle", *urls, "0", "0"])
    limit = limits.limited("MiB of the process", found["memory"], at_most=MOST_MEMORY)
    print(
        f"  {changed:,} differences in {rows:,} rows: {found['seconds']:.2f} s, all counted, {found['told']} told;"
        f" the process at most {found['memory']:.0f} MiB ({limit}; {idle['memory']:.0f} before it begins)"
    )


def _example(server: Any, folder: Path) -> None:
    """A real schema: every table, the schema itself and the sequences."""
    import psycopg

    from benchmarks.migration import Learners
    from checks.tools.postgres import Address
    from checks.tools.reconciling import Options, compare

    shop = Learners(server, folder)
    shop.fill(EXAMPLE_ROWS)
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE learners_clone TEMPLATE learners STRATEGY FILE_COPY OWNER gonogo")
    urls = (shop.url(), shop.url("learners_clone"))
    floors, ours = [], []
    for _ in range(ROUNDS):
        floors.append(_timed(lambda: _whole_rows("courses_progress", urls)))
        began = time.monotonic()
        found = compare(Address.parse(urls[0]), Address.parse(urls[1]), Options(workers=SESSIONS))
        ours.append(time.monotonic() - began)
        if not found.agrees:
            raise SystemExit("A clone of ThinkInCoin's database does not agree with it.")
    share = statistics.median(own / floor for own, floor in zip(ours, floors, strict=True))
    print(f"  ThinkInCoin, {found.rows:,} rows in {found.compared} tables, with schema and sequences: {_told(ours)}")
    print(f"  ThinkInCoin, floor of courses_progress alone: {_told(floors)}; ours {share:.2f} of it")


def _whole_rows(table: str, urls: tuple[str, str]) -> None:
    """Reading and hashing each row of a table once, both sides at once."""
    import psycopg

    query = f"SELECT count(*), sum(hashbyteaextended(record_send(t), 42)) FROM {table} AS t"

    def ask(url: str) -> Any:
        with psycopg.connect(url) as connection:
            connection.execute("SET max_parallel_workers_per_gather = 0; SET jit = off")
            return connection.execute(query).fetchone()  # type: ignore[call-overload]

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(ask, urls))


def _child(arguments: Sequence[str]) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.reconcile", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _as_child(table: str, source: str, target: str, rows: str, changed: str) -> None:
    import checks.tools.reconciling  # noqa: F401 - what an idle process holds as well

    found = {} if table == "idle" else _compare(table, (source, target), int(rows), int(changed))
    status = Path("/proc/self/status").read_text()
    peak = int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) / 1024
    print(json.dumps({**found, "memory": peak}))


if __name__ == "__main__":
    if "--child" in sys.argv:
        _as_child(*sys.argv[2:7])
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 2_000_000)
        limits.end()
