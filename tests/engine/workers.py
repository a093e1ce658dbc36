"""Real worker processes for tests: plain ones that execute one run, and Celery's with the relay."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
from django.conf import settings
from django.db import connection

from checks.engine import load
from checks.models import Run

ROOT = Path(__file__).resolve().parents[2]
EXECUTE = """
import django, sys
django.setup()
import tests.engine.kinds
from checks.engine import execute
execute(sys.argv[1])
"""


def database_url() -> str:
    """The address of this test's database, with the name that pytest gave it."""
    facts = connection.settings_dict
    host, password = quote(facts["HOST"], safe=""), f":{quote(facts['PASSWORD'])}" if facts["PASSWORD"] else ""
    return f"postgresql://{facts['USER']}{password}@/{facts['NAME']}?host={host}&port={facts['PORT']}"


def environment(**variables: Any) -> dict[str, str]:
    return {
        **os.environ,
        "DATABASE_URL": database_url(),
        "REDIS_URL": settings.REDIS_URL,
        "GONOGO_HOME": str(settings.GONOGO_HOME),
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "RUN_LEASE_SECONDS": "5",
        "RUN_HEARTBEAT_SECONDS": "1",
        "RUN_GRACE_SECONDS": "1",
        "PYTHONPATH": str(ROOT),
        **{name: str(value) for name, value in variables.items()},
    }


def execute_elsewhere(run: Run, **variables: Any) -> "subprocess.Popen[bytes]":
    """A worker process of its own that does one attempt of the run."""
    return subprocess.Popen(
        [sys.executable, "-c", EXECUTE, str(run.pk)], cwd=ROOT, env=environment(**variables), start_new_session=True
    )


def kill_tree(process: "subprocess.Popen[bytes]") -> None:
    """KILL a process and everything below it at one stroke, as a machine that runs out of memory may."""
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for member in family:
        member.suspend()
    for member in family:
        member.kill()
    process.wait()


@contextmanager
def part(*argv: str, **variables: Any) -> Iterator["subprocess.Popen[bytes]"]:
    """A part of the program that runs as long as the block: relay or worker."""
    process = subprocess.Popen([sys.executable, *argv], cwd=ROOT, env=environment(**variables), start_new_session=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                kill_tree(process)


def relay(**variables: Any) -> Any:
    return part("manage.py", "relay", **variables)


def worker(*, slots: int = 1, **variables: Any) -> Any:
    arguments = ("-m", "celery", "--app", "config", "worker", "--pool", "prefork", "--loglevel", "WARNING")
    kinds = ("--include", "tests.engine.kinds", "--concurrency", str(slots))
    return part(*arguments, *kinds, "--without-gossip", "--without-mingle", **variables)


def until(condition: Callable[[], Any], seconds: float = 20, every: float = 0.05) -> Any:
    """Wait for a condition; fails with what it last returned."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"did not happen within {seconds} s: {value!r}"
        time.sleep(every)


def state_of(run: Run) -> str:
    return load(run.pk).state


def processes_with(marker: str) -> list[int]:
    """Living processes whose command line holds a marker."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        words = process.info["cmdline"] or []
        if any(marker in word for word in words) and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process.pid)
    return found
