"""The keeper: a tiny parent that every command of a run gets, so that nothing it started outlives the run.

Executed as ``python -I -S keeper.py CONTROL STATUS GRACE LEFTOVERS DEADLINE PROGRAM ARGV...`` with the child's own
environment, folder and files 0, 1 and 2. Standard library only, one thread, no import of the product.

It is a subreaper: whatever the child starts, also in another session or by a double fork, stays its descendant.
CONTROL (read end of a pipe) is the lifeline. Its messages are lines:
    ``deadline SECONDS``  the moment of CLOCK_MONOTONIC at which everything must be dead unless a later one came
    ``end GRACE``         end all descendants: TERM, then KILL after GRACE seconds
and its end of file says that the worker died, which means ``end`` too.
STATUS (write end of a pipe) carries lines back: ``started PID``, ``refused ERRNO``, ``exit CODE`` (negative: signal).
LEFTOVERS is ``end`` (nothing survives the child's own exit) or ``keep`` (a daemon that a deployment started stays).
"""

import contextlib
import ctypes
import os
import select
import signal
import sys
import time

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
# What Python or the keeper itself set aside, and a child expects as the system gives it.
RESET = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# A process that even KILL does not end within this time hangs in the kernel; waiting longer helps nobody.
GIVE_UP_SECONDS = 15.0
LIBC = ctypes.CDLL(None, use_errno=True)


def descendants(root: int) -> list[int]:
    """Every living process below ``root``, found by walking the parents in /proc."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - pathlib would double the time a keeper needs to start
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as handle:  # noqa: PTH123 - as above
                    fields = handle.read().rpartition(b")")[2].split()
            except OSError:
                continue
            # A zombie's own children were already handed to the keeper; it only waits to be reaped.
            if fields[0] not in (b"Z", b"X"):
                children.setdefault(int(fields[1]), []).append(int(name))
    found, todo = [], [root]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def send(pids: list[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


class Keeper:
    def __init__(self, control: int, status: int, grace: float, leftovers: str, deadline: float) -> None:
        self.control, self.status = control, status
        self.grace, self.leftovers, self.deadline = grace, leftovers, deadline
        self.child = 0
        self.code: int | None = None
        self.pending = b""
        self.lifeline = True

    def say(self, text: str) -> None:
        with contextlib.suppress(BrokenPipeError):
            os.write(self.status, text.encode() + b"\n")

    def start(self, program: str, argv: list[str]) -> bool:
        """Fork and execute; False when the system refused to execute the program."""
        keeper = os.getpid()
        read_end, write_end = os.pipe()
        self.child = os.fork()
        if self.child == 0:
            try:
                LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
                if os.getppid() != keeper:
                    os._exit(127)
                os.setsid()
                signal.set_wakeup_fd(-1)
                for reset in RESET:
                    signal.signal(reset, signal.SIG_DFL)
                os.execve(program, argv, os.environ)  # noqa: S606 - an argv list; there is no shell
            except OSError as error:
                os.write(write_end, str(error.errno or 0).encode())
            finally:
                os._exit(127)
        os.close(write_end)
        refused = os.read(read_end, 16)
        os.close(read_end)
        if refused:
            os.waitpid(self.child, 0)
            self.say(f"refused {refused.decode()}")
            return False
        # Our copies of the child's files must not hold its pipes open.
        null = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(null, number)
        self.say(f"started {self.child}")
        return True

    def reap(self) -> None:
        """Collect every dead descendant; remember how the child itself ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.child and self.code is None:
                self.code = os.waitstatus_to_exitcode(status)

    def listen(self, wakeup: int, wait: float) -> float | None:
        """Wait for news; a number when everything must end, with that much grace."""
        watched = [wakeup, self.control] if self.lifeline else [wakeup]
        ready, _, _ = select.select(watched, [], [], max(0.0, wait))
        if wakeup in ready:
            os.read(wakeup, 4096)
        if self.control in ready:
            data = os.read(self.control, 4096)
            if not data:
                self.lifeline = False
                return self.grace
            self.pending += data
            *lines, self.pending = self.pending.split(b"\n")
            for line in lines:
                word, _, value = line.partition(b" ")
                if word == b"deadline":
                    self.deadline = max(self.deadline, float(value))
                elif word == b"end":
                    return float(value)
        return 0.0 if time.monotonic() >= self.deadline else None

    def end(self, wakeup: int, grace: float) -> None:
        """TERM to all descendants, KILL after the grace, again and again until none is left."""
        me = os.getpid()
        kill_at = min(time.monotonic() + grace, self.deadline)
        send(descendants(me), signal.SIGTERM)
        while True:
            self.reap()
            alive = descendants(me)
            if not alive or time.monotonic() >= kill_at + GIVE_UP_SECONDS:
                return
            if time.monotonic() >= kill_at:
                send(alive, signal.SIGKILL)
            sooner = self.listen(wakeup, 0.02)
            if sooner is not None:
                kill_at = min(kill_at, time.monotonic() + sooner)

    def keep(self, wakeup: int) -> None:
        while self.code is None:
            grace = self.listen(wakeup, min(60.0, self.deadline - time.monotonic()))
            self.reap()
            if grace is not None and self.code is None:
                self.end(wakeup, grace)
                self.reap()
                break
        if self.leftovers == "end" and descendants(os.getpid()):
            self.end(wakeup, min(self.grace, 2.0))
        self.say(f"exit {self.code if self.code is not None else -signal.SIGKILL}")


def main() -> int:
    control, status = int(sys.argv[1]), int(sys.argv[2])
    keeper = Keeper(control, status, float(sys.argv[3]), sys.argv[4], float(sys.argv[5]))
    LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1)
    os.set_inheritable(control, False)
    os.set_inheritable(status, False)
    wakeup, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if not keeper.start(sys.argv[6], sys.argv[7:]):
        return 1
    keeper.keep(wakeup)
    return 0


if __name__ == "__main__":
    sys.exit(main())
