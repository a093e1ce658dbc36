"""Install the tools of the tests beside the release, not into it, and print where they are.

python test_tools.py RELEASE_FOLDER LOCK

The folder lies in the cache, by the digest of the lock and that of the build whose Python installed it; what is there
is kept. What pretalx runs with is never changed.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path


def main(release: Path, lock: Path) -> None:
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    place = Path(os.environ["APP_CACHE"]) / f"tests-{release.name.rpartition('-')[2]}-{digest}"
    with place.with_suffix(".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not (place / "complete").exists():
            shutil.rmtree(place, ignore_errors=True)
            install(release / "venv" / "bin" / "python", lock, place)
            (place / "complete").touch()
    print(place)


def install(python: Path, lock: Path, place: Path) -> None:
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--quiet"]
    command = [*pip, "--require-hashes", "--no-deps", "--target", str(place), "-r", str(lock)]
    if subprocess.run(command, check=False, stdout=sys.stderr).returncode:
        sys.exit("test: the tools of the tests could not be installed, so none was run. The lines above say why.")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
