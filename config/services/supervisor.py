"""Starts every part, starts a dead one again, and stops them all.

One thread, one loop. Children that lose their own parent become children of this process, so that stopping leaves
nobody behind; should this process itself be killed, the guard sweeps in its stead.
"""

import os
import selectors
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import FrameType
from typing import Any

from config.services.child import Child, ending_of
from config.services.errors import ServiceError
from config.services.home import Home
from config.services.logs import RotatedLog
from config.services.parts import Part
from config.services.sweep import sweep_descendants

TICK_SECONDS = 0.2
LOOK_SECONDS = 5.0
ALARM_FREE_MIB = 100
STOP_PROGRAM_SECONDS = 12.0
STOP_SERVERS_SECONDS = 10.0


class StopAsked(Exception):
    """Somebody pressed Ctrl-C or sent SIGTERM."""


@dataclass
class Supervisor:
    home: Home
    say: Callable[[str], None]
    url: str = ""
    state: str = "starting"
    children: list[Child] = field(default_factory=list)
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _stop_asked: bool = False
    _is_stopping: bool = False
    _next_look: float = 0.0
    _disk_is_full: bool = False

    def listen_to_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._ask_to_stop)

    def _ask_to_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stop_asked = True

    # --- starting ----------------------------------------------------------------------------------------------------

    def add(self, part: Part) -> Child:
        """Start a part and keep it running from now on."""
        child = Child(part, RotatedLog(self.home.logs / f"{part.name}.log"))
        self.children.append(child)
        self._start(child)
        return child

    def wait_for(self, condition: Callable[[], bool], *, within: float, problem: str) -> None:
        """Go on looping until `condition` holds; raise ServiceError with `problem` after `within` seconds."""
        until = time.monotonic() + within
        while not condition():
            if time.monotonic() > until:
                raise ServiceError(problem)
            self.tick(0.05)

    def begin(self, part: Part) -> Child:
        """Start a part that runs to its end; `finish` waits for it."""
        child = Child(part, RotatedLog(self.home.logs / f"{part.name}.log"))
        self._start(child)
        child.wanted = False
        self.children.append(child)
        return child

    def finish(self, child: Child, *, within: float) -> None:
        """Wait for the end of `child`; raise ServiceError with its last lines unless it ends well."""
        assert child.process is not None
        process = child.process
        self.wait_for(
            lambda: process.poll() is not None and child.output == -1,
            within=within,
            problem=f"{child.name} did not end within {within:.0f} s; see {child.log.path}.",
        )
        self.children.remove(child)
        child.log.close()
        if process.returncode != 0:
            raise ServiceError(
                f"The step `{child.name}` ended {ending_of(process.returncode)}. Its last lines ({child.log.path}):\n"
                + "\n".join(child.log.tail)
            )

    def _start(self, child: Child) -> None:
        child.start()
        self._selector.register(child.output, selectors.EVENT_READ, child)

    # --- the loop ----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Loop until somebody asks to stop; raise ServiceError when a part cannot stay up."""
        self.state = "ready"
        self.write_status()
        while True:
            self.tick(TICK_SECONDS)
            if time.monotonic() >= self._next_look:
                self._next_look = time.monotonic() + LOOK_SECONDS
                self._look_at_disk()

    def _look_at_disk(self) -> None:
        """Say once that the disk is nearly full, for then the servers refuse writes, and once that it is not."""
        free = self.home.free_mib()
        is_full = free < ALARM_FREE_MIB
        if is_full and not self._disk_is_full:
            self.say(
                f"Only {free} MiB are free where {self.home.root} stands. Runs fail and nothing new is kept until "
                "there is space again; what was kept stays. Free some space: everything then goes on by itself."
            )
        elif self._disk_is_full and not is_full:
            self.say(f"{free} MiB are free again where {self.home.root} stands.")
            self.write_status()
        self._disk_is_full = is_full

    def tick(self, seconds: float) -> None:
        """Wait for output at most `seconds`, then look after the dead.

        Raises StopAsked when a signal came, and ServiceError for a part that dies again and again.
        """
        if self._stop_asked and not self._is_stopping:
            raise StopAsked
        for key, _events in self._selector.select(seconds):
            self._drain(key.data)
        for child in self.children:
            if child.process is not None and child.process.poll() is not None and child.wanted:
                self._bury(child)
            elif child.process is None and child.wanted and self._may_start(child):
                self._start(child)
                self.write_status()
        self._reap_adopted()

    def _drain(self, child: Child) -> None:
        descriptor = child.output
        if not child.drain():
            self._selector.unregister(descriptor)

    def _bury(self, child: Child) -> None:
        if child.output != -1:
            self._selector.unregister(child.output)
            while child.output != -1 and child.drain() and self._has_output(child):
                pass
            if child.output != -1:
                os.close(child.output)
                child.output = -1
        delay = child.note_death()
        if child.is_looping:
            raise ServiceError(
                f"{child.name} ended {len(child.deaths)} times within a minute, last {ending_of(child.last_status)}. "
                f"Everything was stopped; data is kept in {self.home.root}. Its last lines ({child.log.path}):\n"
                + "\n".join(child.log.tail)
            )
        self.say(f"{child.name} ended {ending_of(child.last_status)}; starting it again in {delay:g} s.")
        self.write_status()

    @staticmethod
    def _has_output(child: Child) -> bool:
        with selectors.DefaultSelector() as selector:
            selector.register(child.output, selectors.EVENT_READ)
            return bool(selector.select(0))

    def _may_start(self, child: Child) -> bool:
        """After its delay; and no part of the program starts while a server it needs is away."""
        if time.monotonic() < child.next_start:
            return False
        if child.part.is_server:
            return True
        servers = [other for other in self.children if other.part.is_server]
        if all(other.is_running and (other.part.answers is None or other.part.answers()) for other in servers):
            return True
        child.next_start = time.monotonic() + 0.5
        return False

    def _reap_adopted(self) -> None:
        """Collect the exit status of orphans that ended; children of our own are left to subprocess."""
        own = {child.process.pid for child in self.children if child.process is not None}
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None or found.si_pid in own:
                return
            os.waitpid(found.si_pid, 0)

    # --- stopping ----------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Stop the program's parts, then the servers, then whoever is left. Takes a bounded time."""
        self._is_stopping = True
        self.state = "stopping"
        for child in self.children:
            child.wanted = False
        self.write_status()
        self._stop_all([child for child in self.children if not child.part.is_server], STOP_PROGRAM_SECONDS)
        self._stop_all([child for child in self.children if child.part.is_server], STOP_SERVERS_SECONDS)
        sweep_descendants(seconds=2.0)
        for child in self.children:
            child.log.close()
        self.state = "stopped"
        self.write_status()

    def _stop_all(self, children: list[Child], seconds: float) -> None:
        for child in children:
            child.signal(child.part.ending)
        until = time.monotonic() + seconds
        while any(child.is_running for child in children) and time.monotonic() < until:
            self.tick(0.05)
        for child in children:
            if child.is_running and child.process is not None:
                self.say(f"{child.name} did not stop within {seconds:.0f} s and was killed.")
                child.process.kill()
                child.process.wait()

    # --- telling -----------------------------------------------------------------------------------------------------

    def write_status(self) -> None:
        facts: dict[str, Any] = {
            "state": self.state,
            "url": self.url,
            "pid": os.getpid(),
            "changed": datetime.now(UTC).isoformat(timespec="seconds"),
            "parts": {child.name: child.facts() for child in self.children},
        }
        try:
            self.home.write(self.home.status, facts)
        except OSError as error:
            self.say(f"The status cannot be written: {error.strerror}.")
