"""Which cores a running program may use, and what it spends of them, from outside."""

import json
import os
import threading
import time
from collections.abc import Set
from contextlib import suppress
from pathlib import Path

import psutil


def give_cores(home: Path, cores: Set[int]) -> None:
    """Every process of the program in ``home`` may use these, and what it starts from now on."""
    for process in _processes(home):
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            for thread in process.threads():
                os.sched_setaffinity(thread.id, cores)


def _processes(home: Path) -> list[psutil.Process]:
    runner = psutil.Process(json.loads((home / "status.json").read_text())["pid"])
    return [runner, *runner.children(recursive=True)]


class Spent:
    """``processor``: seconds of all processes of the program in ``home`` while the block runs, which took ``seconds``.

    Those whose command names ``without`` are left out. On a machine whose cores are all busy, what they spend is what
    the load cannot have.
    """

    processor: float
    seconds: float

    def __init__(self, home: Path, without: Path) -> None:
        self._home = home
        self._without = str(without)
        self._first: dict[int, float] = {}
        self._last: dict[int, float] = {}
        self._ended = threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> "Spent":
        self._began = time.monotonic()
        self._first = self._last = self._now()
        self._sampler.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._sampler.join()
        self.seconds = time.monotonic() - self._began
        # A process that began meanwhile had spent nothing before.
        self.processor = sum(last - self._first.get(pid, 0) for pid, last in self._last.items())

    def _sample(self) -> None:
        """Often enough that little is lost of a process that ends."""
        while not self._ended.wait(0.5):
            self._last = self._last | self._now()

    def _now(self) -> dict[int, float]:
        found = {}
        for process in _processes(self._home):
            with suppress(psutil.NoSuchProcess):
                if self._without not in process.cmdline():
                    times = process.cpu_times()
                    found[process.pid] = times.user + times.system
        return found
