import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import HOSTING
from home import OpsError
from install import lines_of_build_tools, verified_digest

EXAMPLES = HOSTING.parent


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_build_has_the_same_bytes_each_time(tmp_path: Path, version: str) -> None:
    digests = set()
    for name in ("first", "second"):
        out = tmp_path / name
        command = [sys.executable, str(EXAMPLES / "thinkincoin" / "build.py"), version, str(out)]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        assert told == hashlib.sha256(out.read_bytes()).hexdigest()
        digests.add(told)
        os.utime(EXAMPLES / "thinkincoin" / "versions" / "1.0" / "thinkincoin" / "urls.py")
    assert len(digests) == 1


LOCKS = [*EXAMPLES.glob("*/builds/*.txt"), *EXAMPLES.glob("*/tests/*.txt")]


@pytest.mark.parametrize("lock", sorted(LOCKS), ids=lambda path: f"{path.parts[-3]} {path.stem}")
def test_a_lock_pins_every_package_by_hash_and_names_no_index(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text
    assert "--index" not in text
    entries = [entry for entry in text.replace("\\\n", "").splitlines() if entry]
    assert all("==" in entry and "--hash=sha256:" in entry for entry in entries)


def test_a_build_with_another_digest_is_refused(tmp_path: Path) -> None:
    build = tmp_path / "build.txt"
    build.write_text("something else")
    with pytest.raises(OpsError, match="was approved"):
        verified_digest(build, "sha256:" + "0" * 64)


def test_build_tools_come_from_the_lock_with_their_hashes() -> None:
    first, other, second = (
        f"{name} \\\n    --hash=sha256:aa\n" for name in ("setuptools==80.1", "six==1", "wheel==0.4")
    )
    assert lines_of_build_tools(first + other + second) == first + second
