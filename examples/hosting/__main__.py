"""The application host: keeps the servers of all environments below one folder running.

    python examples/hosting FOLDER [--with-pid PID]
    python examples/hosting FOLDER --stop

FOLDER holds one APP_HOME for each environment (see home.py). One that appears later is taken up within a second.
SIGTERM, Ctrl-C, `--stop`, or the end of the process PID stops every server and then the host. It stands outside the
program that deploys, as systemd or a container platform would: what a deployment starts ends with the deployment, an
application server must not.
"""

import argparse
import fcntl
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from home import Home, OpsError
from service import Service

TICK_SECONDS = 0.1
STOP_SECONDS = 60.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python examples/hosting")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--with-pid", type=int, help="stop when this process has ended")
    parser.add_argument("--stop", action="store_true", help="stop the host of this folder and wait for its end")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder) as taken:
        if taken and not arguments.stop:
            keep_running(folder, arguments.with_pid)
            return 0
    if arguments.stop:
        return stop_other(folder)
    print(f"Another host looks after {folder} already. Nothing was started.", file=sys.stderr)
    return 1


@contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Take the folder's lock, which ends with this process, and leave the process id in it."""
    with (folder / "host.lock").open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield True
        lock.truncate(0)


def stop_other(folder: Path) -> int:
    text = (folder / "host.lock").read_text(encoding="utf-8").strip()
    if not text:
        print(f"No host looks after {folder}.")
        return 0
    os.kill(int(text), signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline:
        if not lives(int(text)):
            print("The host and its servers have stopped.")
            return 0
        time.sleep(TICK_SECONDS)
    print(f"The host, process {text}, has not stopped within {STOP_SECONDS:.0f} s.", file=sys.stderr)
    return 1


def lives(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent to notice does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def keep_running(folder: Path, with_pid: int | None) -> None:
    stopping = False

    def stop(signal_number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    services: dict[Path, Service] = {}
    refused: dict[Path, str] = {}
    print(f"The host looks after {folder}.", flush=True)
    while not stopping and (with_pid is None or lives(with_pid)):
        take_up(folder, services, refused)
        for service in services.values():
            service.tick()
        time.sleep(TICK_SECONDS)
    for service in services.values():
        service.stop()
    print("The host has stopped.", flush=True)


def take_up(folder: Path, services: dict[Path, Service], refused: dict[Path, str]) -> None:
    """Begin to look after environments that were not there before; say once why one cannot be."""
    for settings in folder.glob("*/service.env"):
        if settings.parent in services:
            continue
        try:
            services[settings.parent] = Service(Home(settings.parent))
        except (OSError, OpsError, KeyError, ValueError) as error:
            if refused.get(settings.parent) != str(error):
                refused[settings.parent] = str(error)
                print(f"{settings.parent.name} cannot be served: {error}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
