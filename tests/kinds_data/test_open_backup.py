"""Opening a backup by hand, with the command that needs neither a worker nor a run."""

import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

from checks.enums import RunState
from tests.engine.workers import ROOT, environment
from tests.kinds_data.support import Shop, shop


def command(storage: Path, *words: str) -> "subprocess.CompletedProcess[bytes]":
    keys = ",".join(f"{name}:{_text(key)}" for name, key in settings.BACKUP_KEYS.items())
    return subprocess.run(
        [sys.executable, "manage.py", "open_backup", *words],
        cwd=ROOT,
        env=environment(STORAGE_URL=storage.as_uri(), BACKUP_KEYS=keys),
        capture_output=True,
    )


def _text(key: bytes) -> str:
    from base64 import b64encode

    return b64encode(key).decode()


@pytest.mark.campaign
def test_the_dump_comes_out_whole_and_pg_restore_takes_it(plain_shop: Shop, storage_folder: Path) -> None:
    run = plain_shop.run("backup")
    assert run.state == RunState.PASSED
    slug = plain_shop.application.slug
    assert run.result["manifest"] in command(storage_folder, slug, "production").stdout.decode()
    done = command(storage_folder, slug, "production", "--key", "newest")
    assert len(done.stdout) == run.result["dump_bytes"]
    listed = subprocess.run([settings.POSTGRES_BIN / "pg_restore", "-l"], input=done.stdout, capture_output=True)
    assert b"TABLE DATA public purchase" in listed.stdout


@pytest.mark.campaign
def test_configuration_is_put_below_a_folder_and_a_damaged_backup_is_refused(
    transactional_db: None, storage_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "app.cfg").write_text("debug = no\n")
    with shop(tmp_path, configuration_files=["{PLAN_DIR}/app.cfg"]) as made:
        assert made.run("backup").state == RunState.PASSED
        words = (made.application.slug, "production", "--key", "newest")
        target = tmp_path / "put back"
        assert command(storage_folder, *words, "--configuration", str(target)).returncode == 0
        assert (target / str(tmp_path / "app.cfg").lstrip("/")).read_text() == "debug = no\n"
        (path,) = storage_folder.rglob("*.configuration")
        path.write_bytes(path.read_bytes()[:-1])
        done = command(storage_folder, *words)
        assert done.returncode != 0
        assert b"are missing" in done.stderr
        assert done.stdout == b""
