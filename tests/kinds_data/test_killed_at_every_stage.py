"""A worker that gets a KILL at any stage of a backup or a drill leaves nothing that counts, and nothing that stays."""

from pathlib import Path
from typing import Any

import pytest

from checks import reaper
from checks.engine import execute
from checks.enums import RunState
from checks.models import Run, StoredBackup
from checks.tools import manifest
from tests.engine.workers import execute_elsewhere, until
from tests.kinds_data.support import Shop, databases, log_of
from tests.kinds_data.test_disaster import APPLICATION, START, left_of

pytestmark = pytest.mark.campaign

BACKUP = {
    "checks.tools.facts:content": {0, 1},  # while it dumps and counts: a part under its unpublished name
    "checks.tools.storage:move": {1},  # everything is written, nothing has its name
    "checks.tools.storage:read_back": {1},  # named, not read back
    "checks.tools.manifest:sealed_text": {1},  # read back, not published
    "checks.tools.catalogue:record": {2},  # published, not listed: it is whole, so it stays
}
DRILL = {
    "checks.tools.manifest:authenticate": False,
    "checks.tools.dumping:load": True,
    "checks.tools.comparing:compare": True,
    "checks.tools.scratch:drop_at_the_end": True,
}


def killed_at(shop: Shop, kind: str, stage: str, settings: Any, **params: Any) -> Run:
    run = shop.queued(kind, **params)
    worker = execute_elsewhere(run, DIE_AT=stage, STORAGES=settings.STORAGES, BACKUP_KEYS=settings.BACKUP_KEYS)
    assert worker.wait(60) == -9, (stage, log_of(run))
    return run


def reaped(runs: list[Run]) -> None:
    """Until the program has noticed that none of their workers lives."""
    found = Run.objects.filter(pk__in=[run.pk for run in runs])

    def none_runs() -> bool:
        reaper.reap()
        return not found.filter(state=RunState.RUNNING).exists()

    until(none_runs, 30)


def scratch() -> set[str]:
    return {name for name in databases() if name.startswith("gonogo_drill")}


def test_a_backup_killed_at_any_stage_counts_for_nothing_and_the_next_one_clears_it_away(
    plain_shop: Shop, storage_folder: Path, settings: Any
) -> None:
    runs = []
    for stage, objects in BACKUP.items():
        run = killed_at(plain_shop, "backup", stage, settings)
        left = [path.name for path in storage_folder.rglob("*") if run.pk.hex in path.name]
        assert len(left) in objects, (stage, left)
        runs.append(run)
    published = manifest.published(plain_shop.application.slug, "production")
    assert [runs[-1].pk.hex in key for key in published] == [True]
    assert not StoredBackup.objects.exists()
    reaped(runs)
    execute(runs[0].pk)
    runs[0].refresh_from_db()
    assert (runs[0].state, runs[0].attempt) == (RunState.PASSED, 2), (runs[0].error, log_of(runs[0]))
    kept = {runs[-1].pk.hex, runs[0].pk.hex}
    names = {path.name for path in storage_folder.rglob("*") if path.is_file()}
    assert {name.split("-")[1] for name in names} == kept, names
    assert not any(name.endswith(".partial") for name in names)
    drill = plain_shop.run("drill")
    assert drill.state == RunState.PASSED, (drill.error, drill.summary)


def test_a_drill_killed_at_any_stage_is_cleared_away_by_the_next_one(
    plain_shop: Shop, storage_folder: Path, settings: Any
) -> None:
    assert plain_shop.run("backup").state == RunState.PASSED
    rows = plain_shop.sql("SELECT count(*) FROM customer")
    runs = []
    for stage, leaves in DRILL.items():
        run = killed_at(plain_shop, "drill", stage, settings)
        assert any(run.pk.hex in name for name in scratch()) == leaves, stage
        runs.append(run)
    reaped(runs)
    assert plain_shop.run("drill").state == RunState.PASSED
    assert scratch() == set()
    assert plain_shop.sql("SELECT count(*) FROM customer") == rows


def test_a_disaster_drill_that_is_killed_takes_its_cluster_and_its_application_along(
    plain_shop: Shop, storage_folder: Path, settings: Any, tmp_path: Path
) -> None:
    (tmp_path / "front.py").write_text(APPLICATION)
    assert plain_shop.run("backup").state == RunState.PASSED
    run = killed_at(plain_shop, "disaster", "checks.tools.http:smoke_test", settings, start=START, amcheck=False)

    until(lambda: not left_of(run), 30)
