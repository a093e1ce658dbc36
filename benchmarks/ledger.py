"""How fast the ledger seals, verifies and shows itself, on a durable PostgreSQL of its own.

    python -m benchmarks.ledger

Each entry is a transaction of its own, written by pgbench ("seal"; beside it the same bytes into a plain table) and
by processes of the program ("append"). The server keeps its defaults (fsync, synchronous_commit), so the figures hold
for the disk under the temporary folder: the lock of the seal is held until the commit is on the disk.
"""

import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

SECONDS = 5.0
BULK = 200_000
# The same bytes, into the ledger and into a plain table. Functions, because pgbench reads a colon as a variable.
PREPARE = """
    CREATE TABLE bench_plain (id bigserial PRIMARY KEY, at timestamptz DEFAULT now(), canonical text);
    CREATE FUNCTION bench_before() RETURNS text IMMUTABLE LANGUAGE sql AS $$
        SELECT '{"action":"bench.sealed","actor_id":null,"actor_name":"Go/No-Go","application_id":null' $$;
    CREATE FUNCTION bench_after(number bigint) RETURNS text IMMUTABLE LANGUAGE sql AS $$
        SELECT '"document":{"after":{"state":"rehearsing"},"before":{"state":"draft"},"number":' || number
            || '},"release_id":null,"request_id":"","subject_id":"","subject_type":"release","v":1}' $$;
"""
PLAIN = "INSERT INTO bench_plain (canonical) VALUES (bench_before() || bench_after(1));"
SEALED = "SELECT ledger_append(bench_before(), bench_after(1));"


def main() -> None:
    """Prints one line for each figure: name, value, unit, limit."""
    if sys.argv[1:2] == ["--writer"]:
        _write(float(sys.argv[2]))
        return
    with _server() as url:
        os.environ["DATABASE_URL"] = url
        _set_up()
        for clients in (1, 8):
            plain = _pgbench(url, clients, PLAIN)
            sealed = _pgbench(url, clients, SEALED)
            _show(f"ledger.seal.{clients}_writers", sealed, "rows/s", f"plain insert {plain:.0f}")
        _show("ledger.append.8_writers", _append_rate(8), "rows/s", "hashing in Python 245-1273")
        _show("ledger.seal.one_transaction", _fill(BULK), "rows/s", "-")
        _show("ledger.checkpoint.first", _timed(_checkpoint), "s", "60 s")
        entries, seconds = _verify()
        _show("ledger.verify", entries / seconds, "rows/s", "10000 rows/s")
        _show("ledger.list.p50", _median_ms(_list_page), "ms", "40 ms")
        _show("ledger.proof.p50", _median_ms(_proof), "ms", "40 ms")


def _show(name: str, value: float, unit: str, limit: str) -> None:
    print(f"{name:32} {value:12.1f} {unit:8} {limit}", flush=True)


@contextmanager
def _server() -> Iterator[str]:
    """A server in a folder of its own, with the program's role as the owner of the database: no superuser."""
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
        os.environ["GONOGO_HOME"] = str(folder / "home")
        os.environ.setdefault("STATIC_MANIFEST", "false")
        yield server.url("gonogo", user="gonogo", password="benchmark")
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def _set_up() -> None:
    import django
    from django.core.management import call_command
    from django.db import connection

    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    django.setup()
    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute(PREPARE)


def _pgbench(url: str, clients: int, statement: str) -> float:
    """Transactions per second of one statement, by so many clients at once."""
    from config.services.postgres import binaries

    script = Path(os.environ["GONOGO_HOME"]).with_name("pgbench.sql")
    script.write_text(statement + "\n")
    command = [str(binaries() / "pgbench"), "-n", "-M", "prepared", "-f", str(script), "-T", f"{SECONDS:.0f}"]
    done = subprocess.run([*command, "-c", str(clients), "-j", "2", url], capture_output=True, text=True, check=True)
    return float(next(line for line in done.stdout.splitlines() if line.startswith("tps")).split()[2])


def _append_rate(writers: int) -> float:
    """Entries sealed per second, by the count in the chain and the time from the first commit to the last."""
    from releases.models import LedgerEntry

    before = LedgerEntry.objects.filter(sequence__isnull=False).count()
    command = [sys.executable, "-m", "benchmarks.ledger", "--writer", str(SECONDS)]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(writers)]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    started = time.monotonic()
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
    for process in processes:
        if process.wait():
            raise RuntimeError("A writer failed.")
    spent = time.monotonic() - started
    return (LedgerEntry.objects.filter(sequence__isnull=False).count() - before) / spent


def _write(seconds: float) -> None:
    import django

    django.setup()
    from django.db import connection, transaction

    from releases.domain import ledger

    connection.ensure_connection()
    print("ready", flush=True)
    sys.stdin.read()
    until, number = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        with transaction.atomic():
            number += 1
            document = {"before": {"state": "draft"}, "after": {"state": "rehearsing"}, "number": number}
            ledger.append(action="release.changed", actor=None, subject_type="release", document=document)


def _fill(count: int) -> float:
    """One transaction that appends and seals many entries; answers entries per second."""
    from django.db import connection, transaction

    started = time.monotonic()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(ledger_append(bench_before(), bench_after(number))) FROM generate_series(1, %s) number",
            [count],
        )
    spent = time.monotonic() - started
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE releases_ledgerentry")
    return count / spent


def _checkpoint() -> None:
    from releases.domain import ledger

    ledger.checkpoint()


def _verify() -> tuple[int, float]:
    from releases.domain import ledger

    report = ledger.verify()
    if not report.holds:
        raise RuntimeError(f"The ledger does not hold: {report.problem}")
    return report.entries, report.seconds


def _list_page() -> None:
    from releases.domain.ledger import history

    everything = history.Scope(frozenset(), True, True)
    history.part(history.filtered(everything, history.Filters(action="release.changed")), before=None, after=None)
    history.summary()
    history.known_actions()


def _proof() -> None:
    from releases.domain.ledger import history
    from releases.models import LedgerEntry

    entry = LedgerEntry.objects.get(sequence=BULK // 2)
    history.prove(entry, history.neighbours(entry)[0])


def _timed(work: Callable[[], None]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


def _median_ms(work: Callable[[], None], times: int = 30) -> float:
    work()
    return statistics.median(_timed(work) * 1000 for _ in range(times))


if __name__ == "__main__":
    main()
