"""Ends processes that nobody looks after any more."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import psutil

MARK = "GONOGO_RUNNER"


def sweep_descendants(*, seconds: float) -> int:
    """End every descendant of this process: politely first, then by force. Returns how many were left."""
    left = _descendants()
    return _end(left, seconds)


def sweep_marked(home: Path, *, seconds: float = 3.0) -> int:
    """End what an earlier runner of `home` has left behind because it was killed together with its guard.

    Call this only while holding the lock of `home`: then no living runner owns such a process.
    """
    mark = str(home)
    own = {os.getpid(), os.getppid()}
    left = []
    for process in psutil.process_iter():
        if process.pid in own:
            continue
        with suppress(psutil.Error):
            if process.environ().get(MARK) == mark:
                left.append(process)
    return _end(left, seconds)


def _descendants() -> list[psutil.Process]:
    with suppress(psutil.Error):
        return psutil.Process().children(recursive=True)
    return []


def _end(left: list[psutil.Process], seconds: float) -> int:
    for process in left:
        with suppress(psutil.Error):
            # A PostgreSQL server waits for its clients on SIGTERM; on SIGINT it does not.
            process.send_signal(signal.SIGINT if process.name() == "postgres" else signal.SIGTERM)
    _gone, stubborn = psutil.wait_procs(left, timeout=seconds)
    until = time.monotonic() + 5
    while stubborn and time.monotonic() < until:
        for process in stubborn:
            with suppress(psutil.Error):
                process.kill()
        _gone, stubborn = psutil.wait_procs([*stubborn, *_new(stubborn)], timeout=0.5)
    return len(left)


def _new(known: list[psutil.Process]) -> list[psutil.Process]:
    return [process for process in _descendants() if process not in known]
