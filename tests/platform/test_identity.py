"""As whom PostgreSQL runs, above all for root and below closed folders."""

import os
import pwd
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from config.services.home import BASE_DIR
from config.services.identity import CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, server_identity
from config.services.ports import free_port
from config.services.postgres import binaries, throwaway
from tests.platform.runner import eventually

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to run PostgreSQL as somebody else")


def statuses(process: "subprocess.Popen[bytes]") -> dict[str, str]:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """A folder that nobody but its owner may enter, with another one inside."""
    (tmp_path / "closed" / "data").mkdir(parents=True)
    (tmp_path / "closed").chmod(0o700)
    return tmp_path / "closed" / "data"


@pytest.mark.skipif(os.geteuid() == 0, reason="root runs it as somebody else")
def test_an_ordinary_user_runs_it_as_itself(closed: Path) -> None:
    identity = server_identity(binaries() / "postgres", closed)
    assert (identity.uid, identity.capability) == (os.geteuid(), None)


@only_root
def test_root_runs_it_as_an_ordinary_user(closed: Path) -> None:
    identity = server_identity(binaries() / "postgres", closed)
    assert identity.uid != 0


@only_root
def test_an_open_folder_needs_no_capability() -> None:
    assert server_identity(Path("/bin/true"), Path("/usr")).capability is None


@only_root
def test_a_closed_folder_is_entered_with_one_capability_and_stays_closed(closed: Path) -> None:
    identity = server_identity(Path("/bin/true"), closed)
    assert identity.capability == CAP_DAC_READ_SEARCH
    assert closed.parent.stat().st_mode & 0o777 == 0o700


@only_root
def test_a_program_that_only_root_may_run_needs_the_wider_capability(closed: Path) -> None:
    program = closed / "program"
    program.write_bytes(Path("/bin/true").read_bytes())
    program.chmod(0o700)
    assert server_identity(program, closed).capability == CAP_DAC_OVERRIDE


@pytest.mark.campaign
@only_root
def test_the_server_in_a_closed_folder_has_that_one_capability_and_works(closed: Path) -> None:
    server = throwaway(closed / "postgres", free_port())
    server.initialise()
    process = server.start(subprocess.DEVNULL)
    try:
        server.wait(process)
        status = statuses(process)
        assert status["Uid"].split()[0] == str(server.identity.uid) != "0"
        assert int(status["CapEff"], 16) == 1 << CAP_DAC_READ_SEARCH
        assert pwd.getpwuid(server.data.stat().st_uid).pw_uid == server.identity.uid
        server.ensure_role_and_database("gonogo", "secret")
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


def test_a_child_ends_with_the_process_that_started_it() -> None:
    """The parent is killed outright, so nothing but the kernel can end the child."""
    program = (
        "import signal, subprocess, sys; from config.services.identity import before_exec, own_identity;"
        "prepare = before_exec(own_identity(), signal.SIGTERM);"
        "print(subprocess.Popen(['sleep', '60'], preexec_fn=prepare).pid, flush=True); signal.pause()"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=BASE_DIR, stdout=subprocess.PIPE, text=True)
    with parent:
        assert parent.stdout is not None
        sleeper = int(parent.stdout.readline())
        parent.kill()

    def is_gone() -> bool:
        status = Path(f"/proc/{sleeper}/status")
        return not status.exists() or "zombie" in status.read_text()

    eventually(is_gone, within=5)
