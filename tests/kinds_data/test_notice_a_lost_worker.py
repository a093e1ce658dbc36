"""A worker that dies amid a long statement does not keep production's tables locked until that statement ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.kinds_data.people import people

pytestmark = pytest.mark.usefixtures("transactional_db", "storage_folder")

#: It takes the lock as a move does, then waits in a statement for longer than any test.
WORKER = """
import sys
from types import SimpleNamespace
import django
django.setup()
from checks.tools.postgres import Address, connect
from checks.tools.transition import catalog, locking
target = connect(Address.parse(sys.argv[1]))
tables = [catalog.shape(target, "public.person")]
locking.seize(SimpleNamespace(check=lambda: None), target, tables, seconds=5, what="it")
print("locked", flush=True)
target.execute("SELECT pg_sleep(120)")
"""
LOCKS = "SELECT count(*) FROM pg_locks WHERE relation = 'person'::regclass AND mode = 'ShareRowExclusiveLock'"


def test_the_lock_of_a_worker_that_was_killed_is_given_up_within_seconds(tmp_path: Path) -> None:
    with people(tmp_path, source="") as moving:
        command = [sys.executable, "-c", WORKER, moving.address.url()]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as worker:
            try:
                assert worker.stdout is not None
                assert worker.stdout.readline() == b"locked\n"
                time.sleep(1)
                assert moving.sql(LOCKS) == [(1,)]
            finally:
                os.kill(worker.pid, signal.SIGKILL)
        until = time.monotonic() + 30
        while moving.sql(LOCKS) != [(0,)]:
            assert time.monotonic() < until, "the server still holds what nobody is there to release"
            time.sleep(0.5)
