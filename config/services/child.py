"""One part as the supervisor sees it: its process, its log, and how often it has died lately."""

import os
import time
from collections import deque
from dataclasses import dataclass, field
from signal import Signals
from subprocess import Popen
from typing import Any

from config.services.logs import RotatedLog
from config.services.parts import Part

FIRST_DELAY_SECONDS = 0.25
LONGEST_DELAY_SECONDS = 10.0
LOOP_DEATHS = 6
LOOP_WITHIN_SECONDS = 60.0


@dataclass
class Child:
    part: Part
    log: RotatedLog
    process: "Popen[bytes] | None" = None
    output: int = -1
    wanted: bool = False
    started: float = 0.0
    next_start: float = 0.0
    restarts: int = 0
    deaths: deque[float] = field(default_factory=lambda: deque(maxlen=LOOP_DEATHS))
    last_status: int | None = None

    @property
    def name(self) -> str:
        return self.part.name

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def state(self) -> str:
        if self.is_running:
            return "running"
        return "restarting" if self.wanted else "stopped"

    def start(self) -> None:
        """Start the process with its output in a pipe that this child reads."""
        reader, writer = os.pipe2(os.O_CLOEXEC)
        try:
            self.process = self.part.start(writer)
        except BaseException:
            os.close(reader)
            raise
        finally:
            os.close(writer)
        os.set_blocking(reader, False)
        self.output = reader
        self.wanted = True
        self.started = time.monotonic()

    def note_death(self) -> float:
        """Count a death and return how many seconds to wait before the next start."""
        assert self.process is not None
        now = time.monotonic()
        self.last_status = self.process.returncode
        self.process = None
        self.deaths.append(now)
        self.restarts += 1
        recent = sum(1 for moment in self.deaths if now - moment < LOOP_WITHIN_SECONDS)
        delay: float = min(FIRST_DELAY_SECONDS * 2 ** (recent - 1), LONGEST_DELAY_SECONDS)
        self.next_start = now + delay
        return delay

    @property
    def is_looping(self) -> bool:
        """Whether it died so often in so short a time that another start is pointless."""
        return len(self.deaths) == LOOP_DEATHS and self.deaths[-1] - self.deaths[0] < LOOP_WITHIN_SECONDS

    def drain(self) -> bool:
        """Copy what it printed to its log; return False when the pipe has come to its end."""
        try:
            data = os.read(self.output, 65536)
        except BlockingIOError:
            return True
        if data:
            self.log.write(data)
            return True
        os.close(self.output)
        self.output = -1
        return False

    def signal(self, number: Signals) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def facts(self) -> dict[str, Any]:
        return {
            "state": self.state,
            "pid": self.process.pid if self.process is not None else None,
            "restarts": self.restarts,
            "log": str(self.log.path),
        }


def ending_of(status: int | None) -> str:
    """Say an exit status in words."""
    if status is None:
        return "without a status"
    if status < 0:
        return f"killed by {Signals(-status).name}"
    return f"with exit status {status}"
