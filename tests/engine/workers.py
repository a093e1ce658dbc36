"""Real worker processes for tests: plain ones that execute one run, and Celery's with the relay."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
from django.conf import settings as django_settings
from django.db import connection

from checks.engine import load
from checks.models import Run
from tests.engine import worker_main

ROOT = Path(__file__).resolve().parents[2]
# Workers are forked from a server that has the program loaded, which takes milliseconds instead of seconds.
_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["tests.engine.worker_main"])


def database_url() -> str:
    """The address of this test's database, with the name that pytest gave it."""
    facts = connection.settings_dict
    host, password = quote(facts["HOST"], safe=""), f":{quote(facts['PASSWORD'])}" if facts["PASSWORD"] else ""
    return f"postgresql://{facts['USER']}{password}@/{facts['NAME']}?host={host}&port={facts['PORT']}"


def environment(**variables: Any) -> dict[str, str]:
    return {
        **os.environ,
        "DATABASE_URL": database_url(),
        "REDIS_URL": django_settings.REDIS_URL,
        "GONOGO_HOME": str(django_settings.GONOGO_HOME),
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "RUN_LEASE_SECONDS": "5",
        "RUN_HEARTBEAT_SECONDS": "1",
        "RUN_GRACE_SECONDS": "1",
        "PYTHONPATH": str(ROOT),
        **{name: str(value) for name, value in variables.items()},
    }


class Elsewhere:
    """A worker process of its own that does one attempt of a run."""

    def __init__(self, run: Run, settings: dict[str, Any]) -> None:
        self._process = _forks.Process(target=worker_main.work, args=(str(run.pk), settings))
        # The fork server starts with the first worker, and keeps the addresses that it finds then.
        with _variables(
            DATABASE_URL=database_url(),
            REDIS_URL=str(django_settings.REDIS_URL),
            GONOGO_HOME=str(django_settings.GONOGO_HOME),
        ):
            self._process.start()
        assert self._process.pid
        self.pid: int = self._process.pid

    def wait(self, seconds: float | None = None) -> int | None:
        """The exit status, None when it still runs."""
        self._process.join(seconds)
        return self._process.exitcode


def execute_elsewhere(run: Run, **settings: Any) -> Elsewhere:
    """Do one attempt of the run in another process, with short leases; ``settings`` are laid over its own."""
    return Elsewhere(run, {"RUN_LEASE_SECONDS": 3, "RUN_HEARTBEAT_SECONDS": 0.5, "RUN_GRACE_SECONDS": 1, **settings})


def kill_tree(process: Any) -> None:
    """KILL a process and everything below it at one stroke, as a machine that runs out of memory may."""
    # The worker stops first, so that it can neither start nor miss anything while the rest is counted.
    family = [psutil.Process(process.pid)]
    family[0].suspend()
    family += family[0].children(recursive=True)
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.send_signal(number)
    process.wait()


@contextmanager
def _variables(**variables: str) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


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


def until(condition: Callable[[], Any], seconds: float = 40, every: float = 0.05) -> Any:
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
