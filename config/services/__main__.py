"""Runs Go/No-Go on this machine.

Usage: python -m config.services up [--detach] | down | status
"""

import argparse
import io
import os
import signal
import subprocess
import sys
import time

import psutil
from django.core.exceptions import ImproperlyConfigured

from config.services.errors import ServiceError
from config.services.home import BASE_DIR, Home
from config.services.up import log_ins, up

READY_WITHIN_SECONDS = 400.0
DOWN_WITHIN_SECONDS = 60.0


def main() -> int:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character must not stop the program
    parser = argparse.ArgumentParser(prog="python -m config.services", description="Runs Go/No-Go on this machine.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    start = verbs.add_parser("up", help="start everything and stay in front")
    start.add_argument("--detach", action="store_true", help="return when the address is ready")
    verbs.add_parser("down", help="stop what runs")
    verbs.add_parser("status", help="say what runs")
    arguments = parser.parse_args()
    home = Home()
    try:
        if arguments.verb == "up":
            return up_detached(home) if arguments.detach else up(home)
        return down(home) if arguments.verb == "down" else status(home)
    except (ServiceError, ImproperlyConfigured) as error:
        print(error, file=sys.stderr)
        return 1


def up_detached(home: Home) -> int:
    """Start a runner in the background and return when it is ready, or with what it said when it gave up."""
    home.prepare()
    if home.is_locked():
        raise ServiceError(home.already_running())
    output = home.logs / "supervisor.log"
    with output.open("wb") as log:
        runner = subprocess.Popen(
            [sys.executable, "-m", "config.services", "up"],
            cwd=BASE_DIR,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    until = time.monotonic() + READY_WITHIN_SECONDS
    while runner.poll() is None and time.monotonic() < until:
        if _is_ready(home, runner.pid):
            print(output.read_text(encoding="utf-8").replace("Ctrl-C stops", "`make down` stops"))
            return 0
        time.sleep(0.1)
    print(output.read_text(encoding="utf-8"), file=sys.stderr)
    if runner.poll() is None:
        os.kill(runner.pid, signal.SIGTERM)
        print(f"It did not become ready within {READY_WITHIN_SECONDS:.0f} s and was stopped.", file=sys.stderr)
    return runner.wait() or 1


def _is_ready(home: Home, runner: int) -> bool:
    """Whether this very runner wrote that it is ready, and not another that was quicker to take the folder."""
    facts = home.read(home.status)
    try:
        return facts.get("state") == "ready" and psutil.Process(facts["pid"]).ppid() == runner
    except psutil.Error:
        return False


def down(home: Home) -> int:
    """Ask the runner to stop and wait until it has."""
    if not home.is_locked():
        print(f"Nothing runs from {home.root}.")
        return 0
    process = home.read(home.status).get("pid")
    if not isinstance(process, int):
        raise ServiceError(f"Something holds {home.root}/lock and has written no status yet; try again in a moment.")
    os.kill(process, signal.SIGTERM)
    until = time.monotonic() + DOWN_WITHIN_SECONDS
    while home.is_locked():
        if time.monotonic() > until:
            raise ServiceError(f"Process {process} did not stop within {DOWN_WITHIN_SECONDS:.0f} s.")
        time.sleep(0.1)
    print("Stopped. Nothing is left running.")
    return 0


def status(home: Home) -> int:
    """Print what runs; the exit status is 0 when everything does, and 3 when nothing does."""
    if not home.is_locked():
        print(f"Nothing runs from {home.root}. Start it with `make up`.")
        return 3
    facts = home.read(home.status)
    print(f"{facts.get('state', 'starting')}  {facts.get('url', '')}")
    for name, part in facts.get("parts", {}).items():
        print(f"  {name:<10} {part['state']:<11} process {part['pid'] or '-':<8} restarts {part['restarts']}")
    for line in log_ins(home):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
