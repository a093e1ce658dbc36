"""Foreign tools, each in a virtual environment of its own, made from a lock with hashes when it is first needed.

Their versions and licences do not go together with ours, so nothing of them is ever imported: they run as processes,
without the variables of the plan or of this program.
"""

import fcntl
import hashlib
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

from django.conf import settings

from checks.errors import CheckError
from checks.kinds.base import Completed, RunContext

INSTALL_SECONDS: Final = 600
_POLL_SECONDS: Final = 0.5
VERSION_SECONDS: Final = 60
_VERSION: Final = re.compile(r"\d+(?:\.\d+)+")
#: How the network is reached, in either spelling; everything else stays away from foreign programs.
_NETWORK: Final = (
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY",
)  # fmt: skip
#: And where packages come from.
_FOR_PIP: Final = "PIP_"
#: Lock -> the programs that it brings.
TOOLBOXES: Final[dict[str, tuple[str, ...]]] = {
    "load": ("locust",),
    "source": ("bandit", "detect-secrets"),
    "packages": ("pip-audit",),
    "tls": ("sslyze",),
    "web": ("wapiti",),
}


def program(context: RunContext, name: str, *, network: bool = False) -> list[str]:
    """The beginning of a command that runs a tool with next to no variables; installs it where it is missing.

    ``network``: with those that say how the network is reached, for a tool that asks hosts outside.
    """
    box = next(box for box, programs in TOOLBOXES.items() if name in programs)
    path = installed(context, box) / "bin" / name
    if not path.exists():
        raise CheckError(
            f"{name} is not there, although its environment was made.", remedy=f"Remove {path.parents[1].name}."
        )
    passed_on = _of_network() if network else {}
    for variable, value in passed_on.items():
        if "@" in value:  # a proxy's password
            context.mask(value, f"the variable {variable}")
    return [*bare(context.scratch, **passed_on), str(path)]


def version_of(context: RunContext, argv: Sequence[str]) -> str:
    """What a tool says of itself when it is asked with --version; CheckError where that is no version."""
    printed = context.capture([*argv, "--version"], timeout=VERSION_SECONDS).output
    found = _VERSION.search(printed)
    if found is None:
        raise CheckError(f"{Path(argv[-1]).name} does not say its version; it said: {printed.strip()[:200]}")
    return found[0]


def bare(home: Path, **more: str) -> list[str]:
    """``env`` with nothing but what every program needs, and these variables."""
    kept = {"PATH": os.defpath, "HOME": str(home), "LANG": "C.UTF-8", "TZ": "UTC", "PYTHONDONTWRITEBYTECODE": "1"}
    return ["/usr/bin/env", "-i", *(f"{name}={value}" for name, value in {**kept, **more}.items())]


def _of_network() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.upper() in _NETWORK}


def _of_pip() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(_FOR_PIP)}


def folder_of(box: str) -> Path:
    """Where a toolbox stands or will stand: another lock or another Python is another folder."""
    lock = _lock_of(box)
    digest = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:12]
    return Path(settings.TOOLS_ROOT) / f"{box}-{digest}"


def _lock_of(box: str) -> Path:
    return Path(settings.BASE_DIR) / "requirements" / "tools" / f"{box}.txt"


class Installing(Protocol):
    """What an installation needs: a run's context has it, and so has the command install_tools."""

    scratch: Path

    def note(self, text: str) -> None: ...
    def check(self) -> None: ...
    def command(self, argv: Sequence[str], *, timeout: float, check: bool = True) -> Completed: ...


def installed(context: Installing, box: str) -> Path:
    """The folder of a toolbox, made where it is missing. CheckError when that is not possible."""
    folder = folder_of(box)
    if (folder / "complete").exists():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _alone(context, folder.with_suffix(".lock")):
            if not (folder / "complete").exists():
                _install(context, box, folder)
    except OSError as error:
        raise CheckError(
            f"{TOOLBOXES[box][0]} cannot be installed: {error.filename or folder}: {error.strerror}.",
            remedy="Set TOOLS_ROOT to a folder that can be written, or install it there beforehand.",
        ) from error
    return folder


def _install(context: Installing, box: str, folder: Path) -> None:
    context.note(f"Installing {', '.join(TOOLBOXES[box])} into an environment of their own; this happens once.")
    shutil.rmtree(folder, ignore_errors=True)
    pip = [
        str(folder / "bin" / "python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-input",
    ]
    commands: Sequence[list[str]] = (
        [sys.executable, "-m", "venv", str(folder)],
        [*pip, "--require-hashes", "-r", str(_lock_of(box))],
    )
    for command in commands:
        argv = [*bare(context.scratch, **_of_network(), **_of_pip()), *command]
        done = context.command(argv, timeout=INSTALL_SECONDS, check=False)
        if done.returncode != 0:
            shutil.rmtree(folder, ignore_errors=True)
            raise CheckError(
                f"{TOOLBOXES[box][0]} could not be installed; the installation ended with {done.returncode}.",
                remedy="The log says why. On a worker without a package index, install it beforehand:"
                " manage.py install_tools.",
            )
    (folder / "complete").touch()


@contextmanager
def _alone(context: Installing, lock: Path) -> Iterator[None]:
    """Two runs that need the same tool make it once."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                context.check()
                time.sleep(_POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)
