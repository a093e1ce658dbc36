"""Children of a run: each under its own keeper, none of which outlives the run.

``Children`` belongs to one attempt. The lease's heartbeat thread moves the deadline of all keepers on and ends
everything when the run is cancelled or lost; the run's own thread starts children and waits for them.
"""

import contextlib
import errno
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from checks.errors import CheckError

KEEPER = Path(__file__).with_name("keeper.py")
#: How often a waiting thread looks whether the run must stop.
LOOK_SECONDS = 0.1


class Child:
    """One command under its keeper. Made by ``Children.start``."""

    def __init__(self, keeper: "subprocess.Popen[bytes]", control: int, status: int) -> None:
        self.keeper = keeper
        self.stdin: IO[bytes] | None = keeper.stdin
        self.stdout: IO[bytes] | None = keeper.stdout
        self.pid = 0
        self.returncode: int | None = None
        self.ended_by_us = False
        self._control, self._status = control, status
        self._buffer = b""
        self._control_lock = threading.Lock()

    def tell(self, message: str) -> None:
        """Say something to the keeper; a keeper that is gone needs nothing."""
        with self._control_lock:
            if self._control >= 0:
                with contextlib.suppress(BrokenPipeError):
                    os.write(self._control, message.encode() + b"\n")

    def end(self, grace: float) -> None:
        """Ask for the end of every descendant: TERM, then KILL after ``grace`` seconds. Returns at once."""
        self.ended_by_us = True
        self.tell(f"end {grace}")

    def poll(self, seconds: float) -> bool:
        """Wait at most ``seconds``; True when the child and, where asked, all its descendants are gone."""
        if self.returncode is not None:
            return True
        ready, _, _ = select.select([self._status], [], [], max(0.0, seconds))
        if ready:
            data = os.read(self._status, 4096)
            self._buffer += data
            if not data:
                self._close()
        return self.returncode is not None

    def await_start(self) -> int:
        """0 when the child runs, else the errno with which the system refused to execute it."""
        while b"\n" not in self._buffer:
            data = os.read(self._status, 4096)
            if not data:
                return -1
            self._buffer += data
        word, _, value = self._buffer.split(b"\n", 1)[0].partition(b" ")
        if word == b"refused":
            return int(value) or -1
        self.pid = int(value)
        return 0

    def _close(self) -> None:
        """The keeper closed its side: it is done, or it was killed."""
        self.keeper.wait()
        code = -signal.SIGKILL
        for line in self._buffer.split(b"\n"):
            word, _, value = line.partition(b" ")
            if word == b"exit":
                code = int(value)
        if b"exit " not in self._buffer and self.pid:
            # The keeper itself was killed. Its child has gone with it (PDEATHSIG); end the rest of its session.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        self.returncode = code
        self.release()

    def release(self) -> None:
        with self._control_lock:
            for descriptor in (self._control, self._status):
                if descriptor >= 0:
                    os.close(descriptor)
            self._control = self._status = -1


class Children:
    """All children of one attempt. ``keep_daemons``: what a command leaves behind lives on (deployments)."""

    def __init__(self, *, grace: float, keep_daemons: bool) -> None:
        self.grace = grace
        self.keep_daemons = keep_daemons
        self._alive: set[Child] = set()
        self._lock = threading.Lock()
        self._closed = False
        self._deadline = time.monotonic() + 3600

    def start(
        self,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str],
        cwd: Path,
        stdin: int | None = subprocess.DEVNULL,
        stdout: int | None = subprocess.DEVNULL,
        stderr: int | None = subprocess.DEVNULL,
    ) -> Child:
        """Start a command. Raises CheckError with a remedy when it cannot be executed."""
        program = find_program(argv[0], environment, cwd)
        control_read, control_write = os.pipe()
        status_read, status_write = os.pipe()
        leftovers = "keep" if self.keep_daemons else "end"
        keeper_argv = [sys.executable, "-I", "-S", str(KEEPER), str(control_read), str(status_write)]
        keeper_argv += [str(self.grace), leftovers, str(self._deadline), program, *argv]
        try:
            keeper = subprocess.Popen(
                keeper_argv,
                env=dict(environment),
                cwd=cwd,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                pass_fds=(control_read, status_write),
                start_new_session=True,
            )
        except OSError as error:
            os.close(control_write)
            os.close(status_read)
            raise CheckError(
                f"{argv[0]} could not be started: {error.strerror or error}.",
                remedy="Look at the memory and the limits of the machine on which this worker runs.",
            ) from error
        finally:
            os.close(control_read)
            os.close(status_write)
        child = Child(keeper, control_write, status_read)
        self._admit(child)
        refused = child.await_start()
        if refused:
            self.forget(child)
            child.poll(5)
            reason = os.strerror(refused) if refused > 0 else "its keeper was killed"
            raise CheckError(f"{argv[0]} could not be executed: {reason}.", remedy=_remedy(refused, program))
        return child

    def _admit(self, child: Child) -> None:
        with self._lock:
            self._alive.add(child)
            closed = self._closed
            child.tell(f"deadline {self._deadline}")
        if closed:
            child.end(0)

    def forget(self, child: Child) -> None:
        with self._lock:
            self._alive.discard(child)

    def prolong(self, deadline: float) -> None:
        """Everything may live until ``deadline`` of the monotonic clock; the keepers obey it without this worker."""
        with self._lock:
            self._deadline = deadline
            for child in self._alive:
                child.tell(f"deadline {deadline}")

    def end_all(self, grace: float) -> None:
        """End every child and start no more. Returns at once."""
        with self._lock:
            self._closed = True
            alive = list(self._alive)
        for child in alive:
            child.end(grace)

    def wait(
        self, child: Child, *, timeout: float | None, look: Callable[[], None], grace: float | None = None
    ) -> bool:
        """Wait until the child is gone; True when it had to be ended because of ``timeout`` seconds.

        ``look`` is called often; when it raises, the child is ended first, and then its exception goes on.
        """
        began = time.monotonic()
        timed_out = False
        stop: BaseException | None = None
        try:
            while not child.poll(LOOK_SECONDS):
                if stop is None:
                    try:
                        look()
                    except BaseException as error:  # noqa: BLE001 - also a worker's own shutdown ends the child first
                        stop = error
                        child.end(self.grace if grace is None else grace)
                if timeout is not None and not timed_out and time.monotonic() - began > timeout:
                    timed_out = True
                    child.end(self.grace if grace is None else grace)
        except BaseException:
            child.end(0)
            raise
        finally:
            self.forget(child)
        if stop is not None:
            raise stop
        return timed_out


def find_program(name: str, environment: Mapping[str, str], cwd: Path) -> str:
    """The absolute path of a program, or CheckError that says what is missing and how to mend it."""
    if not cwd.is_dir():
        raise CheckError(
            f"The folder {cwd} does not exist on this worker.",
            remedy="Set the application's plan folder to a folder that this worker can read.",
        )
    if "/" in name:
        path = (cwd / name).absolute()
        if not path.exists():
            raise CheckError(
                f"The program {name} does not exist on this worker.",
                remedy=f"Install it, or correct the path in the plan; relative paths start at {cwd}.",
            )
        if path.is_dir() or not os.access(path, os.X_OK):
            raise CheckError(f"The file {name} is not executable.", remedy=f"Run: chmod +x {path}")
        return str(path)
    found = shutil.which(name, path=environment.get("PATH", os.defpath))
    if found is None:
        raise CheckError(
            f"There is no program {name} on this worker.",
            remedy=f"Install it, or give its full path in the plan. Looked in: {environment.get('PATH', '')}",
        )
    return os.path.abspath(found)  # noqa: PTH100 - resolve() would follow links that choose a program's behaviour


def _remedy(number: int, program: str) -> str:

    if number == errno.ENOEXEC:
        return f"{program} has no valid first line; begin a script with #!/bin/sh or the like."
    if number == errno.ENOENT:
        return f"The interpreter named in the first line of {program} does not exist."
    if number == errno.E2BIG:
        return "The arguments and variables are too long together; pass them in a file."
    return "Look at the file's rights and at the limits of the machine on which this worker runs."


def sweep(name: str, value: str) -> Iterator[int]:
    """KILL every process of this machine that carries the variable ``name=value``; yields their numbers.

    The second net under the keepers: after a machine-wide ``kill -9`` of worker and keepers together,
    grandchildren may be left, and nothing of an earlier attempt may run beside the next one.
    """
    wanted = f"{name}={value}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            carried = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if wanted in carried:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(int(entry.name), signal.SIGKILL)
                yield int(entry.name)
