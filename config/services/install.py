"""Makes .venv and installs the locked requirements. Runs with any Python 3.11 before anything is installed.

Usage: python3 config/services/install.py base|test
"""

import argparse
import ast
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
VENV = ROOT / ".venv"
PIP = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
LOCKED = ["--require-hashes", "--only-binary", ":all:"]
SETTINGS_OF_UV = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "cert": "SSL_CERT_FILE",
}
#: Chromium without what only windows need; it does the tests' work in little more than half of the time.
LIGHT_BROWSER = "chromium-headless-shell"
BROWSERS = (LIGHT_BROWSER, "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


class InstallError(Exception):
    """The text says what is missing and how to get it."""


def python() -> Path:
    return VENV / "bin" / "python"


def run(command: list[str], problem: str) -> None:
    """Run a command and show its output only when it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        raise InstallError(f"{problem}\n{done.stdout.strip()}")


def succeeds(command: list[str], variables: dict[str, str] | None = None, within: float | None = None) -> bool:
    """Whether a command ends well, and within so many seconds."""
    environment = {**os.environ, **(variables or {})}
    try:
        return (
            subprocess.run(command, env=environment, capture_output=True, check=False, timeout=within).returncode == 0
        )
    except subprocess.TimeoutExpired:
        return False


def make_environment() -> None:
    """Make .venv with a pip inside; an environment that a moved folder has broken is made anew."""
    if python().exists() and subprocess.run([str(python()), "-c", ""], check=False).returncode == 0:
        return
    print(f"Making {VENV.name} with Python {sys.version.split()[0]} ...", flush=True)
    shutil.rmtree(VENV, ignore_errors=True)
    advice = (
        "The virtual environment cannot be made. On Debian or Ubuntu install python3-venv; "
        "elsewhere use a Python 3.11 that has the module ensurepip."
    )
    run([sys.executable, "-m", "venv", str(VENV)], advice)


def has_pip() -> bool:
    return succeeds([str(python()), "-m", "pip", "--version"])


def install_by_uv(lock: Path) -> bool:
    """Whether uv has installed the lock: three times as fast as pip, which does the work wherever uv cannot."""
    if not succeeds([*PIP, *LOCKED, "-r", str(ROOT / "requirements" / "installer.txt")]):
        return False
    command = [str(VENV / "bin" / "uv"), "pip", "install", "--quiet", "--python", str(python()), "--compile-bytecode"]
    return succeeds([*command, *LOCKED, "-r", str(lock)], settings_of_pip())


def settings_of_pip() -> dict[str, str]:
    """Where pip has been told to fetch from, in the words of uv."""
    listed = subprocess.run([*PIP[:3], "config", "list"], capture_output=True, text=True, check=False).stdout
    # The lock's hashes say what may be installed, whichever index has it.
    found = {"UV_INDEX_STRATEGY": "unsafe-best-match"}
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        name = SETTINGS_OF_UV.get(key.rpartition(".")[2])
        if name and value:
            separator = "," if name == "UV_FIND_LINKS" else " "
            found[name] = separator.join(str(ast.literal_eval(value)).split())
    return found


def install(kind: str) -> None:
    """Install requirements/`kind`.txt unless exactly this lock is installed already."""
    lock = ROOT / "requirements" / f"{kind}.txt"
    digest = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()
    stamp = VENV / f".installed-{kind}"
    if stamp.exists() and stamp.read_text(encoding="ascii") == digest:
        return
    make_environment()
    if not has_pip():
        run([str(python()), "-m", "ensurepip"], "pip cannot be put into .venv.")
    print(f"Installing {lock.relative_to(ROOT)} ...", flush=True)
    if not install_by_uv(lock):
        run([*PIP, *LOCKED, "-r", str(lock)], "The requirements cannot be installed. Run the same command again then:")
    (draft := stamp.with_suffix(".draft")).write_text(digest, encoding="ascii")
    draft.replace(stamp)


def install_browser() -> None:
    """Install Chromium from the system's packages where no browser is found."""
    named = os.environ.get("CHROMIUM", "")
    if named:
        if not Path(named).exists():
            raise InstallError(f"CHROMIUM names {named}, which does not exist.")
        return
    if shutil.which(LIGHT_BROWSER):
        return
    found, asked = any(map(shutil.which, BROWSERS)), VENV / ".asked-for-browser"
    if found and (os.geteuid() != 0 or not shutil.which("apt-get") or asked.exists()):
        return
    asked.touch()
    prefix = as_root()
    if prefix is not None:
        print("Installing Chromium ...", flush=True)
        if succeeds([*prefix, "apt-get", "update", "-q"], within=120):
            # The first is Debian's; where it is not offered, the whole browser does as well.
            found = any(install_package(prefix, name) for name in ([LIGHT_BROWSER] if found else BROWSERS[:2])) or found
    if not found:
        raise InstallError(
            "The browser tests need Chromium, and none was found. Install it (on Debian: apt-get install chromium) "
            "or set CHROMIUM to the path of one."
        )


def as_root() -> list[str] | None:
    """What stands before a command that installs packages; None where nobody may."""
    if not shutil.which("apt-get"):
        return None
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    return [sudo, "-n"] if sudo and succeeds([sudo, "-n", "true"]) else None


def install_package(prefix: list[str], name: str) -> bool:
    settings = ["env", "DEBIAN_FRONTEND=noninteractive"]
    return succeeds([*prefix, *settings, "apt-get", "install", "-q", "-y", "--no-install-recommends", name])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("base", "test"))
    kind = parser.parse_args().kind
    if sys.version_info < (3, 11):  # noqa: UP036 - this file runs before the right Python is certain
        print(f"Go/No-Go needs Python 3.11 or later; this is {sys.version.split()[0]}.", file=sys.stderr)
        return 2
    free = shutil.disk_usage(ROOT).free
    if free < 1024**3 and not (VENV / f".installed-{kind}").exists():
        print(f"Only {free // 1024**2} MiB are free in {ROOT}; at least 1 GiB is needed.", file=sys.stderr)
        return 2
    try:
        install(kind)
        if kind == "test":
            install_browser()
    except InstallError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
