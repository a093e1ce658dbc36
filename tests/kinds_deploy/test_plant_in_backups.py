"""Faults of backups are planted aside of the real ones, and each kind that has to do with backups says no to them."""

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from checks import engine, services
from checks.models import Run, StoredBackup
from checks.tools import storage
from checks.tools.planting import in_backups
from tests.engine.support import check, log_text, run_section
from tests.factories import make_team
from tests.kinds_deploy.gate_world import World, verdicts

pytestmark = pytest.mark.django_db(transaction=True)

FRONT = """
import os, psycopg
from http.server import BaseHTTPRequestHandler, HTTPServer

class Front(BaseHTTPRequestHandler):
    def do_GET(self):
        with psycopg.connect(os.environ["DATABASE_URL"]) as database:
            people = database.execute("SELECT count(*) FROM person").fetchone()[0]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{people} people, {os.environ['GONOGO_WORK'] == prepared()}".encode())

def prepared():
    return open(os.environ["GONOGO_WORK"] + "/prepared").read().strip()

HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Front).serve_forever()
"""


def shown(run: Run) -> dict[str, Any]:
    (row,) = run.result["faults"]
    assert (run.state, row["verdict"]) == ("passed", "caught"), (row, log_text(run))
    return dict(row)


def left(storage_folder: Path) -> list[Path]:
    return [path for path in storage_folder.rglob("gate-test/*") if path.is_file()]


def test_storage_that_loses_the_end_of_a_backup_is_caught_and_no_backup_is_left(
    world: World, storage_folder: Path
) -> None:
    row = shown(world.run(faults=["lossy-storage"]))
    assert (row["without"]["said"], row["with"]["said"]) == ("passed", "errored")
    assert "otherwise than it was written" in row["with"]["summary"]
    assert row["why"] == f"broke off and named {row['named']}"
    assert left(storage_folder) == []
    assert not StoredBackup.objects.exists()


def test_a_kept_backup_that_is_cut_short_is_caught_and_the_real_one_is_not_touched(
    world: World, storage_folder: Path
) -> None:
    kept = {"kept": check("retention")}
    run = world.run(first="checks.backup", more=kept, faults=["rotten-backup"])
    row = shown(run)
    assert (row["without"]["said"], row["with"]["said"]) == ("passed", "failed")
    assert "is cut at its end: the last 100 of" in row["with"]["summary"]
    assert left(storage_folder) == []
    assert [backup.look for backup in StoredBackup.objects.all()] == ["verified"]
    assert run_section(run.application, "checks.kept", release=run.release).state == "passed"


def test_a_retention_that_reads_nothing_again_is_not_shown_a_rotten_backup(world: World) -> None:
    kept = {"kept": check("retention", params={"read_again": 0})}
    run = world.run(first="checks.backup", more=kept, faults=["rotten-backup"])
    (row,) = run.result["faults"]
    assert (run.state, row["verdict"]) == ("errored", "untested")
    assert "reads no backup again (read_again)" in row["why"]


@pytest.mark.campaign
def test_a_disaster_drill_says_no_to_a_backup_cut_short_and_makes_the_sound_one_answer(
    world: World, storage_folder: Path
) -> None:
    (world.folder / "front.py").write_text(FRONT)
    params = {
        "prepare": [{"script": 'printf %s "$GONOGO_WORK" > "$GONOGO_WORK/prepared"'}],
        "start": {"argv": [sys.executable, "front.py"]},
        "requests": [{"path": "/", "text": "50 people, True", "within": "30s"}],
    }
    disaster = {"anew": check("disaster", params=params)}
    row = shown(world.run(first="checks.backup", more=disaster, faults=["unusable-backup"]))
    assert (row["without"]["said"], row["with"]["said"]) == ("passed", "failed")
    assert "is cut at its end: the last 100 of" in row["with"]["summary"]
    assert left(storage_folder) == []
    assert [backup.look for backup in StoredBackup.objects.all()] == ["verified"]


def test_a_backup_that_is_not_read_back_is_found_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("checks.tools.backup._publishable", published_unread)
    run = world.run(faults=["lossy-storage"])
    assert verdicts(run) == {"lossy-storage": "missed"}, (run.result["faults"], log_text(run))
    assert run.state == "failed"


def published_unread(context: Any, part: Any, written: list[str]) -> Any:
    """What a backup would do that does not read back what it wrote."""
    key = part.key.removesuffix(".partial")
    written.append(key)
    storage.move(part.key, key)
    return replace(part, key=key)


def test_one_that_is_cancelled_while_a_fault_is_planted_leaves_nothing(
    world: World, storage_folder: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.RUN_HEARTBEAT_SECONDS = 1
    run = world.queued(faults=["lossy-storage"])
    engineer = make_team(run.application).engineer
    cut = in_backups._cut

    def cut_and_cancelled(key: str) -> None:
        cut(key)
        assert left(storage_folder), "nothing was written yet"
        services.cancel_run(run=run, actor=engineer)
        time.sleep(3)

    monkeypatch.setattr(in_backups, "_cut", cut_and_cancelled)
    engine.execute(run.pk)
    assert engine.load(run.pk).state == "cancelled"
    assert left(storage_folder) == []
