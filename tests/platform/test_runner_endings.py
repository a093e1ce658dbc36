"""Stopping leaves nobody behind, however it comes about."""

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from tests.platform.runner import Runner, eventually

pytestmark = [pytest.mark.xdist_group("endings"), pytest.mark.slow]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for the whole module, so that only the first start has to make a database."""
    return tmp_path_factory.mktemp("endings") / "home"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_everything_in_bounded_time(root: Path, number: signal.Signals) -> None:
    runner = Runner(root).start().wait_until_ready()
    try:
        assert runner.process is not None
        assert len(runner.living()) >= 7
        begun = time.monotonic()
        runner.process.send_signal(number)
        assert runner.process.wait(40) == 0
        assert time.monotonic() - begun < 30
        assert runner.living() == []
        assert "Nothing is left running" in runner.output()
    finally:
        runner.stop()


def test_a_killed_supervisor_leaves_nobody(root: Path) -> None:
    runner = Runner(root).start().wait_until_ready()
    try:
        assert runner.process is not None
        os.kill(runner.facts()["pid"], signal.SIGKILL)
        assert runner.process.wait(20) != 0
        assert runner.living() == []
    finally:
        runner.stop()


def test_a_killed_guard_leaves_nobody(root: Path) -> None:
    runner = Runner(root).start().wait_until_ready()
    try:
        assert runner.process is not None
        supervisor = psutil.Process(runner.facts()["pid"])
        assert supervisor.ppid() == runner.process.pid
        os.kill(runner.process.pid, signal.SIGKILL)
        eventually(lambda: not runner.home.is_locked(), within=30)
        assert runner.living() == []
    finally:
        runner.stop()


def test_down_stops_what_was_started_in_the_background(root: Path) -> None:
    runner = Runner(root)
    started = runner.command("up", "--detach")
    try:
        assert started.returncode == 0, started.stderr
        assert f":{runner.port}" in started.stdout
        assert runner.get("/healthz") == 200
    finally:
        stopped = runner.command("down")
    assert stopped.returncode == 0
    assert runner.living() == []
    assert runner.command("status").returncode == 3
