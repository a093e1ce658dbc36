"""Install one build into the cache of this machine, and make it a release of one environment.

A build is one file, known by its sha256:
- a lock: a pip requirements file in which every artifact has its hash;
- or a tar archive of an application, with such a lock inside as `requirements.txt`.

The cache is keyed by the digest, so staging and production share one virtual environment of the same build
and the second installation takes no time. Nothing is downloaded that the lock does not name by hash.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from home import DIGEST_PREFIX, Home, OpsError, need, short_digest, write_atomically

# A package that is published as source only is built with these, taken from the lock itself and not from elsewhere.
BUILD_TOOLS = re.compile(r"^(packaging|setuptools|wheel)==")


def main() -> None:
    home = Home(Path(need("APP_HOME")).resolve())
    build = Path(need("GONOGO_BUILD_FILE"))
    digest = verified_digest(build, need("GONOGO_BUILD_DIGEST"))
    place = Path(os.environ.get("APP_CACHE") or home.root.parent / "cache") / short_digest(digest)
    with locked(place):
        if (place / "complete").exists():
            print(f"Build {short_digest(digest)} is in the cache already.")
        else:
            fill(place, build)
    make_release(home, place, need("GONOGO_VERSION"), digest)


def verified_digest(build: Path, expected: str) -> str:
    """Return the sha256 of the build; refuse a file that is not the one that was approved."""
    try:
        with build.open("rb") as stream:
            actual = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise OpsError(f"The build {build} cannot be read: {error.strerror}. Nothing was installed.") from error
    if actual != expected.removeprefix(DIGEST_PREFIX):
        raise OpsError(f"{build.name} has the digest {actual}, but {expected} was approved. Nothing was installed.")
    return actual


@contextmanager
def locked(place: Path) -> Iterator[None]:
    """Let one installation of a build run at a time on this machine."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.with_suffix(".lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def fill(place: Path, build: Path) -> None:
    """Make the virtual environment of a build; one that an earlier attempt left unfinished is made anew."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    lock = build
    if tarfile.is_tarfile(build):
        with tarfile.open(build) as archive:
            archive.extractall(place / "app", filter="data")
        lock = place / "app" / "requirements.txt"
    print("Making the virtual environment.", flush=True)
    python = os.environ.get("PYTHON") or sys.executable
    run([python, "-m", "venv", str(place / "venv")])
    install_lock(place, lock)
    if lock is not build:
        packages = next((place / "venv" / "lib").glob("python*/site-packages"))
        (packages / "application.pth").write_text(f"{place / 'app'}\n", encoding="utf-8")
    (place / "complete").touch()


def install_lock(place: Path, lock: Path) -> None:
    pip = [str(place / "venv" / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--no-input"]
    pip_install = [*pip, "install", "--quiet", "--require-hashes", "--no-deps", "--retries", "2"]
    tools = place / "build-tools.txt"
    tools.write_text(lines_of_build_tools(lock.read_text(encoding="utf-8")), encoding="utf-8")
    if tools.stat().st_size:
        run([*pip_install, "-r", str(tools)])
    pins = sum(1 for line in lock.read_text(encoding="utf-8").splitlines() if re.match(r"^[A-Za-z0-9]", line))
    print(f"Installing {pins} packages, each by its hash.", flush=True)
    run([*pip_install, "--no-build-isolation", "-r", str(lock)])
    run([*pip, "check"])


def lines_of_build_tools(lock: str) -> str:
    """Return the part of a lock that pins the build tools, with their hashes."""
    kept: list[str] = []
    keep = False
    for line in lock.splitlines(keepends=True):
        if not line.startswith((" ", "\t")):
            keep = bool(BUILD_TOOLS.match(line))
        if keep:
            kept.append(line)
    return "".join(kept)


def run(command: list[str]) -> None:
    finished = subprocess.run(command, check=False)
    if finished.returncode:
        raise OpsError(
            f"{Path(command[0]).name} {' '.join(command[1:4])} left with status {finished.returncode}. "
            "What runs was not touched, and the next attempt starts anew. The lines above name the cause."
        )


def make_release(home: Home, place: Path, version: str, digest: str) -> None:
    """Write the release's folder; one that exists already is brought to the same content."""
    release = home.release(version, digest)
    release.mkdir(parents=True, exist_ok=True)
    home.data.mkdir(exist_ok=True)
    # Static files come from the build alone, so environments share them as they share the virtual environment.
    (place / "static").mkdir(exist_ok=True)
    for name in ("venv", "static"):
        if not (release / name).is_symlink():
            (release / name).symlink_to(place / name)
    description = {"version": version, "digest": f"{DIGEST_PREFIX}{digest}", "venv": str(place / "venv")}
    write_atomically(release / "release.json", json.dumps(description, indent=1) + "\n")
    print(f"Release {release.name} is ready in {home.root.name}.")


if __name__ == "__main__":
    try:
        main()
    except (OpsError, OSError) as error:
        sys.exit(f"install: {error}")
