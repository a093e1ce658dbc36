"""What the Dockerfile puts into the image can be read by the image's user, and holds no secret.

Nothing here needs an engine: the step that fills /srv is taken from the file and run on a copy.
"""

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from config.services.home import BASE_DIR

PACKAGES = ("checks", "config", "monitoring", "releases", "static", "templates")


def copied(folder: Path) -> None:
    """What `COPY . .` makes of a clone whose owner let nobody else read it."""
    for name in PACKAGES:
        shutil.copytree(BASE_DIR / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)


def step_after_copying() -> str:
    """The RUN that follows `COPY . .`, as one shell line."""
    text = (BASE_DIR / "Dockerfile").read_text()
    found = re.search(r"^COPY \. \.\n(?:#.*\n)*RUN ((?:.*\\\n)*.*)", text, re.MULTILINE)
    assert found
    return found[1].replace("\\\n", " ")


@pytest.mark.campaign
def test_the_image_can_be_read_by_its_user(tmp_path: Path) -> None:
    """Root builds it, and the web server is somebody else."""
    served = tmp_path / "srv"
    copied(served / "gonogo")
    step = step_after_copying().replace("/opt/venv/bin/python", sys.executable)
    done = subprocess.run(
        ["sh", "-c", step.replace("/srv", str(served)).replace("/tmp/build", str(tmp_path / "home"))],
        cwd=served / "gonogo",
        env={**os.environ, "STATIC_MANIFEST": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "home").exists()
    assert {".gz", ".css"} <= {path.suffix for path in (served / "static").rglob("*")}
    for path in (served, *served.rglob("*")):
        wanted = 0o555 if path.is_dir() else 0o444
        assert stat.S_IMODE(path.stat().st_mode) & wanted == wanted, path


def patterns_of(name: str) -> set[str]:
    return {line.strip("/").removeprefix("**/") for line in (BASE_DIR / name).read_text().split()}


def test_what_git_leaves_out_does_not_go_into_the_image_either() -> None:
    """The file of keys above all, which lies beside docker-compose.yml when the image is built."""
    left_out = patterns_of(".dockerignore")
    assert {".env", ".git"} <= left_out
    assert patterns_of(".gitignore") <= left_out
