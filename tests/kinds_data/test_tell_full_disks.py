"""Whose disk was full decides who has to make room."""

import pytest

from checks.tools import mishaps
from checks.tools.rehearsal import Change
from checks.tools.tracing import Trace

CHANGE = Change([], [], [], [], [], [], [], [], 0, 0, 0, wal_shared=False)


@pytest.mark.parametrize(
    ("line", "cause", "who"),
    [
        ("psycopg.errors.DiskFull: could not extend file: No space left on device", "disk_full", "clone's server"),
        ('ERROR:  could not write to file "base/1": No space left on device', "disk_full", "clone's server"),
        ("OSError: [Errno 28] No space left on device: '/tmp/wheel'", "worker_full", "Make room on the worker"),
        ("cp: error writing 'build': No space left on device", "worker_full", "Make room on the worker"),
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "worker_full",
         "Make room on the worker"),
    ],
)  # fmt: skip
def test_the_worker_s_own_full_disk_is_not_the_server_s(line: str, cause: str, who: str) -> None:
    mishap = mishaps.explain(Trace(), 1, [line], CHANGE)
    assert mishap.cause == cause
    assert mishap.is_the_server_s
    assert who in mishap.remedy
