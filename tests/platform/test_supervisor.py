"""The supervisor's own rules, with small real processes in the parts' place."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from config.services.home import BASE_DIR
from config.services.logs import RotatedLog

PROLOGUE = """
import sys, time
from pathlib import Path
from config.services.errors import ServiceError
from config.services.home import Home
from config.services.identity import adopt_orphans
from config.services.parts import python_part
from config.services.supervisor import Supervisor
home = Home(Path(sys.argv[1])); home.prepare(); adopt_orphans()
supervisor = Supervisor(home, print)
"""


def supervise(tmp_path: Path, program: str) -> "subprocess.CompletedProcess[str]":
    """Run a supervisor in a process of its own, for it collects every child of its process."""
    return subprocess.run(
        [sys.executable, "-c", PROLOGUE + textwrap.dedent(program), str(tmp_path / "home")],
        cwd=BASE_DIR,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.campaign
def test_it_gives_up_loudly_on_a_part_that_dies_again_and_again(tmp_path: Path) -> None:
    done = supervise(
        tmp_path,
        """
        import config.services.child as child
        child.FIRST_DELAY_SECONDS = 0.01
        supervisor.add(python_part("sick", ["-c", "print('no such file: x'); raise SystemExit(3)"], {}))
        try:
            supervisor.run()
        except ServiceError as error:
            print("GAVE UP:", error)
        finally:
            supervisor.stop()
        """,
    )
    assert "sick ended 6 times within a minute, last with exit status 3" in done.stdout
    assert "no such file: x" in done.stdout.split("GAVE UP:")[1]


@pytest.mark.campaign
def test_it_waits_longer_after_each_death(tmp_path: Path) -> None:
    done = supervise(
        tmp_path,
        """
        supervisor.add(python_part("sick", ["-c", "raise SystemExit(3)"], {}))
        until = time.monotonic() + 2.5
        while time.monotonic() < until:
            supervisor.tick(0.05)
        supervisor.stop()
        """,
    )
    delays = [line.rsplit(" in ", 1)[1] for line in done.stdout.splitlines() if "starting it again" in line]
    assert delays[:3] == ["0.25 s.", "0.5 s.", "1 s."]


@pytest.mark.campaign
def test_stopping_ends_a_part_that_ignores_the_signal_and_its_runaway_children(tmp_path: Path) -> None:
    done = supervise(
        tmp_path,
        """
        import config.services.supervisor as module
        module.STOP_PROGRAM_SECONDS = 1.0
        stubborn = '''
        import os, signal, subprocess, sys, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        runaway = subprocess.Popen(["sleep", "77"], start_new_session=True)
        print("runaway", runaway.pid, flush=True)
        time.sleep(60)
        '''
        import textwrap
        child = supervisor.add(python_part("stubborn", ["-c", textwrap.dedent(stubborn)], {}))
        supervisor.wait_for(lambda: child.log.tail, within=10, problem="it printed nothing")
        runaway = int(child.log.tail[0].split()[1])
        begun = time.monotonic()
        supervisor.stop()
        print("took", time.monotonic() - begun < 6)
        print("alive", Path(f"/proc/{runaway}").exists())
        """,
    )
    assert "stubborn did not stop within 1 s and was killed" in done.stdout, done.stderr
    assert "took True" in done.stdout
    assert "alive False" in done.stdout


def test_it_says_once_that_the_disk_is_full_and_once_that_it_is_not(tmp_path: Path) -> None:
    done = supervise(
        tmp_path,
        """
        import config.services.supervisor as module
        real = module.ALARM_FREE_MIB
        for least in (10**9, 10**9, real, real):
            module.ALARM_FREE_MIB = least
            supervisor._look_at_disk()
        """,
    )
    said = done.stdout.splitlines()
    assert len(said) == 2, done.stderr
    assert "what was kept stays" in said[0]
    assert "free again" in said[1]


def test_a_log_is_rotated_and_keeps_its_newest_lines(tmp_path: Path) -> None:
    log = RotatedLog(tmp_path / "web.log", limit=1000, kept=2)
    for number in range(300):
        log.write(f"line {number}\n".encode())
    log.close()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["web.log", "web.log.1", "web.log.2"]
    assert (tmp_path / "web.log").read_text().endswith("line 299\n")
    assert log.tail[-1] == "line 299"
    assert all(file.stat().st_size <= 1000 for file in tmp_path.iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_a_full_disk_loses_log_lines_and_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "web.log").symlink_to("/dev/full")
    log = RotatedLog(tmp_path / "web.log")
    log.write(b"lost\n")
    assert log.tail[-1] == "lost"
