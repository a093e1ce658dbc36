"""Stopping leaves nobody behind, however it comes about.

The guard and the supervisor are the real ones; in the parts' place stand small processes of the kinds that are hard to
end: one that ignores SIGTERM, with a runaway child in a session of its own.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from config.services.home import BASE_DIR, Home
from config.services.sweep import MARK
from tests.platform.runner import eventually

pytestmark = pytest.mark.campaign

PROGRAM = """
import os, sys
from pathlib import Path
import config.services.supervisor as module
import config.services.up as up
from config.services.home import Home
from config.services.parts import python_part
module.STOP_PROGRAM_SECONDS = 1.0
home = Home(Path(sys.argv[1])); home.prepare(); home.lock()
PART = '''
import signal, subprocess, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
runaway = subprocess.Popen(["sleep", "300"], start_new_session=True)
print("runaway", runaway.pid, flush=True)
time.sleep(300)
'''
def start(supervisor, host, port):
    os.environ["GONOGO_RUNNER"] = str(home.root)
    child = supervisor.add(python_part("stubborn", ["-c", PART], {}))
    supervisor.wait_for(lambda: child.log.tail, within=20, problem="it printed nothing")
up.start_everything = start
sys.exit(up.guarded(lambda: up._supervise(home, "127.0.0.1", 1, 0.0)))
"""


class Guarded:
    def __init__(self, root: Path) -> None:
        self.home = Home(root)
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(root)],
            cwd=BASE_DIR,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        eventually(lambda: self.home.read(self.home.status).get("state") == "ready")
        self.supervisor: int = self.home.read(self.home.status)["pid"]

    def living(self) -> list[int]:
        found = []
        for process in psutil.process_iter():
            try:
                marked = process.environ().get(MARK) == str(self.home.root)
            except psutil.Error:
                continue
            if marked and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        return found


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    started = Guarded(tmp_path / "home")
    try:
        assert len(started.living()) == 2
        assert psutil.Process(started.supervisor).ppid() == started.process.pid
        yield started
    finally:
        for left in (*started.living(), started.process.pid):
            try:
                os.kill(left, signal.SIGKILL)
            except ProcessLookupError:
                continue
        started.process.wait()
        assert started.process.stdout is not None
        started.process.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_everything_in_bounded_time(guarded: Guarded, number: signal.Signals) -> None:
    begun = time.monotonic()
    guarded.process.send_signal(number)
    assert guarded.process.wait(30) == 0
    assert time.monotonic() - begun < 15
    assert guarded.living() == []
    assert guarded.process.stdout is not None
    assert "Nothing is left running" in guarded.process.stdout.read()


def test_a_killed_supervisor_leaves_nobody(guarded: Guarded) -> None:
    os.kill(guarded.supervisor, signal.SIGKILL)
    assert guarded.process.wait(20) != 0
    assert guarded.living() == []
    assert not guarded.home.is_locked()


def test_a_killed_guard_leaves_nobody(guarded: Guarded) -> None:
    guarded.process.kill()
    eventually(lambda: not guarded.home.is_locked(), within=30)
    assert guarded.living() == []


def test_what_both_left_behind_is_ended_by_the_next_start(guarded: Guarded) -> None:
    """Nobody is left to end the runaway but a later start, which holds the folder's lock."""
    guarded.process.send_signal(signal.SIGSTOP)
    os.kill(guarded.supervisor, signal.SIGKILL)
    guarded.process.kill()
    eventually(lambda: not guarded.home.is_locked(), within=30)
    assert guarded.living()
    program = "import sys; from pathlib import Path; from config.services.sweep import sweep_marked; "
    done = subprocess.run(
        [sys.executable, "-c", program + "print(sweep_marked(Path(sys.argv[1]), seconds=1))", str(guarded.home.root)],
        cwd=BASE_DIR,
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) >= 1
    assert guarded.living() == []


def test_a_mistake_of_the_supervisor_itself_is_shown(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from config.services.guard import guarded; raise SystemExit(guarded(lambda: 1 // 0))"],
        cwd=BASE_DIR,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "ZeroDivisionError" in done.stderr
