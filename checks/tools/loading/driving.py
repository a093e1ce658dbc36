"""Starts the generating child of a run and follows its record, second by second."""

import json
import math
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from checks.errors import CheckError
from checks.kinds.base import Pipe, RunContext
from checks.tools import toolbox
from checks.tools.loading.record import Second
from checks.tools.origins import origin

LAUNCHER: Final = Path(__file__).with_name("launch.py")
#: A second is told once all generators reported it, or so long after it ended; where none is lost, that is at once.
PATIENCE_SECONDS: Final = 5.0
LOOK_SECONDS: Final = 0.1
#: Beyond the schedule: starting Locust, and letting requests under way end.
SLACK_SECONDS: Final = 45.0
#: So many users, or requests a second, are made by one process before another core is taken.
USERS_OF_A_PROCESS: Final = 100
RATE_OF_A_PROCESS: Final = 300


@dataclass(frozen=True)
class Workers:
    """Generators that come from other machines. ``wait``: seconds until all ``expected`` must be there."""

    expected: int
    listen: str
    port: int
    wait: float

    def as_json(self) -> dict[str, Any]:
        # Locust waits for whole seconds.
        return {"expected": self.expected, "listen": self.listen, "port": self.port, "wait": math.ceil(self.wait)}


@dataclass(frozen=True)
class Job:
    """What is generated. ``steps``: users (closed) or requests a second (open), each held for ``hold`` seconds.

    ``at_most``: requests a second that a locustfile may make in open mode, however many each arrival makes; 0: any.
    """

    url: str
    mode: str
    steps: tuple[float, ...]
    hold: float
    requests: tuple[Mapping[str, Any], ...] = ()
    locustfile: str = ""
    think: float = 1.0
    timeout: float = 30.0
    pool: int = 200
    processes: int = 0
    workers: Workers | None = None
    at_most: float = 0.0
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        return self.hold * len(self.steps)

    @property
    def cores(self) -> int:
        """Processes to use: those of other machines, or as many as the load needs and this machine has."""
        if self.workers:
            return self.workers.expected
        if self.processes:
            return self.processes
        of_one = RATE_OF_A_PROCESS if self.mode == "open" else USERS_OF_A_PROCESS
        return max(1, min(os.cpu_count() or 1, int(max(self.steps) // of_one) + 1))

    def config(self) -> dict[str, Any]:
        _, hostname, port = origin(self.url)
        return {
            "host": self.url.rstrip("/"), "hostname": hostname, "target_port": port, "mode": self.mode,
            "steps": list(self.steps), "hold": self.hold, "requests": [dict(one) for one in self.requests],
            "locustfile": self.locustfile, "think": self.think, "timeout": self.timeout, "pool": self.pool,
            "processes": self.cores, "port": 0 if self.workers or self.cores == 1 else free_port(),
            "workers": self.workers.as_json() if self.workers else None, "at_most": self.at_most / self.cores,
        }  # fmt: skip


def free_port() -> int:
    """A port for the workers of this machine to meet their master."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Driver:
    """Follows one child. ``began``: when the schedule began, seconds since 1970; 0 before."""

    def __init__(self, context: RunContext, job: Job, pipe: Pipe, record: Path) -> None:
        self.context, self.job, self.pipe, self.record = context, job, pipe, record
        self.began = 0.0
        self.ended = False
        #: What workers said of a second that was told already; it cannot be counted any more.
        self.late = 0
        #: How many generators of other machines came before the schedule began.
        self.came = 0
        self._pending: dict[int, Second] = {}
        self._place = 0
        self._told = 0

    def seconds(self) -> Iterator[Second]:
        """Each whole second of the schedule, in order, soon after it is over. CheckError when the child breaks."""
        wait = self.job.workers.wait if self.job.workers else 0.0
        latest = time.monotonic() + wait + self.job.seconds + SLACK_SECONDS
        while True:
            self.context.check()
            running = self.pipe.running
            self._read()
            over = not running or (self.ended and not self._awaits_reports())
            yield from self._ready(everything=over)
            if over:
                break
            if time.monotonic() > latest:
                self.pipe.terminate()
                raise CheckError(
                    f"The load generator did not end within {SLACK_SECONDS:.0f} s of its schedule and was ended.",
                    remedy="The lines above in the log say what it did last.",
                )
            time.sleep(LOOK_SECONDS)
        if not self.ended:
            self._refuse_too_few()
            raise CheckError(
                f"The load generator ended before its schedule, with exit status {self.pipe.wait(1)}.",
                remedy="The lines above in the log say why; nothing was judged.",
            )

    def _awaits_reports(self) -> bool:
        """Whether a second of the schedule, which is over, may yet be reported by a generator that is behind."""
        end = self.began + self.job.seconds
        return any(
            at + 1 <= end and len(second.workers) < self.job.cores and time.time() - (at + 1) < PATIENCE_SECONDS
            for at, second in self._pending.items()
        )

    def _refuse_too_few(self) -> None:
        """Said where the schedule never began because generators of other machines stayed away."""
        workers = self.job.workers
        if workers and not self.began and self.came < workers.expected:
            raise CheckError(
                f"{self.came} of {workers.expected} generators came to {workers.listen}:{workers.port} within"
                f" {workers.wait:.0f} s, so no load was made.",
                remedy="Start the others, as the manual of the kind load says, and run it again.",
            )

    def _read(self) -> None:
        try:
            with self.record.open("rb") as file:
                file.seek(self._place)
                data = file.read()
        except FileNotFoundError:
            return
        whole, _, _ = data.rpartition(b"\n")
        if whole:
            self._place += len(whole) + 1
        for line in whole.splitlines():
            self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            said = json.loads(line)
            if "begin" in said:
                self.began = float(said["begin"])
            elif "end" in said:
                self.ended = True
            elif "workers" in said:
                # They leave again where the load is not begun.
                self.came = max(self.came, int(said["workers"]))
                self.context.note(f"{said['workers']} of {self.job.cores} generators are there.")
            else:
                at = int(said["second"])
                if at > self._told:
                    self._pending.setdefault(at, Second(at)).take(said)
                elif said["endpoints"]:
                    self.late += 1
        except (ValueError, KeyError, TypeError) as error:
            raise CheckError(
                f"The record of the load cannot be read: {error}.", remedy="This is an error in the generator."
            ) from error

    def _ready(self, *, everything: bool) -> Iterator[Second]:
        for at in sorted(self._pending):
            second = self._pending[at]
            over = time.time() - (at + 1)
            if not (everything or len(second.workers) >= self.job.cores or over > PATIENCE_SECONDS):
                return
            del self._pending[at]
            self._told = at
            if self.began and at >= self.began:
                yield second

    def step_of(self, second: Second) -> tuple[int, float]:
        """Which step a second belongs to, and how many seconds of that step were over when it began."""
        elapsed = second.at - self.began
        step = min(int(elapsed // self.job.hold), len(self.job.steps) - 1)
        return step, elapsed - step * self.job.hold

    def whole_seconds(self, step: int, settle: float) -> int:
        """How many whole seconds a step has after it settled; each of them should be reported."""
        start = self.began + step * self.job.hold
        return max(0, math.floor(start + self.job.hold) - math.ceil(start + settle))


@contextmanager
def driving(context: RunContext, job: Job) -> Iterator[Driver]:
    """The child runs inside the block; leaving it ends the whole process group."""
    name = f"load-{time.monotonic_ns()}"
    record, config = context.scratch / f"{name}.jsonl", context.scratch / f"{name}.json"
    config.write_text(json.dumps(job.config()), encoding="utf-8")
    argv = [str(toolbox.installed(context, "load") / "bin" / "python"), "-P", str(LAUNCHER), str(config), str(record)]
    shown = ["locust", f"{job.mode} load", f"{job.url}", f"{job.cores} process(es)"]
    try:
        with context.pipe(argv, variables=job.variables, shown=shown) as pipe:
            yield Driver(context, job, pipe, record)
    finally:
        for path in (record, config, Path(f"{record}.py")):
            path.unlink(missing_ok=True)
