"""The program's database, migrated once for all parallel test processes, which restore it instead of migrating again.

    python -m tests.template FOLDER

It is made in a process of its own, which the controller of the parallel processes starts, while these start their
servers and read the tests.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

from config.services.postgres import binaries
from tests.harness import FOLDER, Harness, settings_for_tests

_DUMP, _FAILED = "template.dump", "template.failed"
_PATIENCE_SECONDS = 300.0


def begin(folder: Path) -> "subprocess.Popen[bytes]":
    """Start making the template in that folder; whoever waits for it hears when this fails."""
    variables = {**os.environ, FOLDER: str(folder)}
    with (folder / _FAILED).open("wb") as told:
        return subprocess.Popen([sys.executable, "-m", "tests.template"], env=variables, stdout=told, stderr=told)


def restore(folder: Path, server: str, name: str) -> None:
    """Make the database ``name`` on a server (its superuser's address) from the template, once that is there."""
    import psycopg

    dump = _when_made(folder)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')  # type: ignore[call-overload]
    target = server.rpartition("/")[0] + f"/{name}"
    subprocess.run([str(binaries() / "pg_restore"), "--exit-on-error", "--dbname", target, str(dump)], check=True)


def _when_made(folder: Path) -> Path:
    dump = folder / _DUMP
    until = time.monotonic() + _PATIENCE_SECONDS
    while not dump.exists():
        if time.monotonic() > until or (folder / "template.ended").exists():
            raise AssertionError(f"The database of the tests was not made: {(folder / _FAILED).read_text()}")
        time.sleep(0.1)
    return dump


def _make(folder: Path) -> None:
    harness = Harness()
    try:
        server = harness.start_postgres()
        os.environ |= {"DATABASE_URL": server, "DJANGO_SETTINGS_MODULE": "config.settings",
                       "REDIS_URL": "redis://127.0.0.1:1/0", "GONOGO_HOME": str(harness.folder / "home")}  # fmt: skip
        settings_for_tests()
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        partial = folder / f"{_DUMP}.partial"
        command = [str(binaries() / "pg_dump"), "--format=custom", "--compress=none", "--file", str(partial), server]
        subprocess.run(command, check=True)
        partial.rename(folder / _DUMP)
    finally:
        (folder / "template.ended").touch()
        harness.stop()


if __name__ == "__main__":
    _make(Path(os.environ[FOLDER]))
