"""Children of a run under their keepers, and the context's ways to use them."""

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from checks.errors import CheckError
from checks.kinds.base import Kind, KindParams, Outcome, RunContext, Step, register
from checks.process import Children, find_program
from tests.engine.support import application_with, check, log_lines, run_section
from tests.engine.workers import until

ENVIRONMENT = {"PATH": "/usr/bin:/bin"}


@pytest.fixture
def children() -> Any:
    family = Children(grace=0.5, keep_daemons=False)
    yield family
    family.end_all(0)


def alive(pid: int) -> bool:
    """Whether a process runs; a dead one that nobody has collected yet does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _run(children: Any, folder: Path, *argv: str, timeout: float | None = 20, **files: Any) -> Any:
    child = children.start(argv, environment=ENVIRONMENT, cwd=folder, **files)
    timed_out = children.wait(child, timeout=timeout, look=lambda: None)
    return child.returncode, timed_out


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", -9), ("kill -TERM $$", -15)])
def test_it_tells_how_a_child_ended(children: Any, tmp_path: Path, script: str, code: int) -> None:
    assert _run(children, tmp_path, "sh", "-c", script) == (code, False)


def test_signals_are_as_the_system_gives_them(children: Any, tmp_path: Path) -> None:
    source = "import signal, sys; sys.exit(signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL)"
    assert _run(children, tmp_path, sys.executable, "-S", "-c", source) == (0, False)
    assert _run(children, tmp_path, "sh", "-c", "yes | head -1 >/dev/null; exit 0") == (0, False)


def test_it_dies_with_its_keeper(children: Any, tmp_path: Path) -> None:
    child = children.start(["sleep", "60"], environment=ENVIRONMENT, cwd=tmp_path)
    os.kill(child.keeper.pid, signal.SIGKILL)
    assert children.wait(child, timeout=5, look=lambda: None) is False
    assert child.returncode == -9
    until(lambda: not alive(child.pid), seconds=2)


def test_it_dies_at_the_deadline_although_nobody_asks(children: Any, tmp_path: Path) -> None:
    child = children.start(["sh", "-c", "trap '' TERM; sleep 60"], environment=ENVIRONMENT, cwd=tmp_path)
    children._deadline = time.monotonic()
    late = children.start(["sleep", "60"], environment=ENVIRONMENT, cwd=tmp_path)
    assert children.wait(late, timeout=10, look=lambda: None) is False
    assert late.returncode == -15 or late.returncode == -9
    children.end_all(0)
    children.wait(child, timeout=10, look=lambda: None)


def test_nothing_starts_after_the_end(children: Any, tmp_path: Path) -> None:
    children.end_all(0)
    code, _ = _run(children, tmp_path, "sleep", "60")
    assert code in (-9, -15)


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        (None, 0, "does not exist on this worker"),
        ("#!/bin/sh\n", 0o644, "is not executable"),
        ("not a program", 0o755, "could not be executed: Exec format error"),
        ("#!/no/such/shell\n", 0o755, "could not be executed: No such file"),
    ],
)
def test_it_says_why_a_program_cannot_run(
    children: Any, tmp_path: Path, content: str | None, mode: int, words: str
) -> None:
    if content is not None:
        (tmp_path / "tool").write_text(content)
        (tmp_path / "tool").chmod(mode)
    with pytest.raises(CheckError, match=words) as caught:
        _run(children, tmp_path, "./tool")
    assert caught.value.remedy


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckError, match="does not exist on this worker"):
        find_program("sh", ENVIRONMENT, tmp_path / "nowhere")


def test_descriptors_do_not_leak(children: Any, tmp_path: Path) -> None:
    _run(children, tmp_path, "true")
    before = descriptors()
    for _ in range(5):
        _run(children, tmp_path, "true")
        with pytest.raises(CheckError):
            _run(children, tmp_path, "no-such-program")
    assert descriptors() == before


def test_many_children_at_once_do_not_hold_each_other(children: Any, tmp_path: Path) -> None:
    codes: list[int] = []
    threads = [
        threading.Thread(target=lambda n=n: codes.append(_run(children, tmp_path, "sh", "-c", f"exit {n}")[0]))
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == list(range(8))


class PipeParams(KindParams):
    mode: str


@register
class PipeKind(Kind):
    """Streams through children with pipes."""

    name = "test_pipe"
    title = "Test pipes"
    description = "Streams."
    Params = PipeParams

    def steps(self, plan: Any, section: str, params: Any) -> list[Step]:
        return []

    def run(self, context: RunContext) -> Outcome:
        return getattr(self, f"_{context.params.mode}")(context)  # type: ignore[no-any-return]

    def _through(self, context: RunContext) -> Outcome:
        source = "import sys; d = sys.stdin.buffer.read(); sys.stdout.buffer.write(d[::-1]); sys.stderr.write('seen')"
        with context.pipe([sys.executable, "-c", source], stdin=True, stdout=True) as pipe:
            assert pipe.stdin is not None
            assert pipe.stdout is not None
            pipe.stdin.write(b"abc")
            pipe.stdin.close()
            data = pipe.stdout.read()
            return Outcome(True, "Streamed.", figures={"data": data.decode(), "code": pipe.wait(10)})

    def _left(self, context: RunContext) -> Outcome:
        with context.pipe(["sh", "-c", "sleep 60"], stdin=True) as pipe:
            pid = pipe._child.pid  # type: ignore[attr-defined]
        return Outcome(not alive(pid), "Looked.")

    def _cancel(self, context: RunContext) -> Outcome:
        context.lease.cancelled.set()  # type: ignore[attr-defined]
        context.check()
        return Outcome(True, "It went on.")

    def _greedy(self, context: RunContext) -> Outcome:
        context.capture(["yes"], timeout=20, limit=1000)
        return Outcome(True, "It was kept.")


@pytest.fixture
def application(tmp_path: Path) -> Any:
    return application_with({"pipe": check("test_pipe", params={"mode": "through"})}, folder=tmp_path)


@pytest.mark.django_db(transaction=True)
def test_a_pipe_streams_and_its_errors_go_to_the_log(application: Any) -> None:
    run = run_section(application, "checks.pipe")
    assert run.result["figures"] == {"data": "cba", "code": 0}
    assert log_lines(run, kinds="o") == ["seen"]


@pytest.mark.django_db(transaction=True)
def test_leaving_a_pipe_ends_its_child(application: Any, settings: Any) -> None:
    settings.RUN_GRACE_SECONDS = 1
    assert run_section(application, "checks.pipe", params={"mode": "left"}).state == "passed"


@pytest.mark.django_db(transaction=True)
def test_a_cancel_ends_as_cancelled(application: Any) -> None:
    assert run_section(application, "checks.pipe", params={"mode": "cancel"}).state == "cancelled"


@pytest.mark.django_db(transaction=True)
def test_a_command_that_prints_too_much_for_a_capture_is_ended(application: Any) -> None:
    run = run_section(application, "checks.pipe", params={"mode": "greedy"})
    assert run.state == "errored"
    assert "printed more than 1,000 bytes" in run.error
