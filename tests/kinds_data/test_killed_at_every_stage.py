"""A worker that gets a KILL at any stage of a backup or a drill leaves nothing that counts, and nothing that stays."""

from pathlib import Path
from typing import Any

import pytest

from checks import reaper
from checks.engine import execute
from checks.enums import RunState, StepState
from checks.models import Run, StoredBackup
from checks.tools import manifest
from releases.models import LedgerEntry
from tests.engine.workers import execute_elsewhere, until
from tests.kinds_data.disasters import ASKED, START, left_of, restorable
from tests.kinds_data.support import Shop, databases, log_of

pytestmark = pytest.mark.campaign

BACKUP = {
    "checks.tools.facts:content": {0, 1},  # while it dumps and counts: a part under its unpublished name
    "checks.tools.storage:move": {1},  # everything is written, nothing has its name
    "checks.tools.storage:read_back": {1},  # named, not read back
    "checks.tools.manifest:sealed_text": {1},  # read back, not published
    "checks.tools.catalogue:record": {2},  # published, not listed: it is whole, so it stays
}
#: Of a drill, in the order in which they come: where it dies, and whether its database stands there then.
DRILL = {
    "checks.tools.manifest:load": False,  # find the backup
    "checks.tools.manifest:authenticate": False,
    "checks.tools.facts:require": False,  # ask the server whether it can take it
    "checks.tools.scratch:create_empty": False,
    "checks.tools.scratch:close_to_others": True,  # made, and open to others still
    "checks.tools.dumping:load": True,
    "checks.tools.dumping:_widen": True,  # pg_restore runs
    "checks.kinds.drill:patiently": True,  # restored; it is analyzed
    "checks.tools.comparing:compare": True,
    "checks.tools.digest:digest_large_objects": True,  # the tables are compared
    "checks.tools.schema:schema_objects": True,
    "checks.tools.comparing:sequence_differences": True,
    "checks.tools.soundness:write_test": True,
    "checks.tools.soundness:why_no_amcheck": True,
    "checks.tools.scratch:drop_at_the_end": True,
    "checks.tools.manifest:moment_of": False,  # dropped; it is judged
    "checks.tools.drill_files:keep": False,
    "checks.tools.catalogue:drilled": False,  # in the transaction that ends the run
}
#: Of a disaster drill: where it dies, and whether a cluster is in its folder then.
DISASTER = {
    "checks.tools.manifest:authenticate": False,
    "checks.tools.cluster:empty_cluster": False,
    "checks.context:Pipes": False,  # the cluster is just being made
    "checks.tools.cluster:make_roles": True,
    "checks.tools.scratch:create_empty": True,
    "checks.tools.dumping:load": True,
    "checks.tools.comparing:compare": True,
    "checks.tools.soundness:write_test": True,
    "checks.tools.soundness:amcheck": True,
    "checks.kinds.disaster:_free_port": True,  # configuration and media are put back
    "checks.kinds.disaster:_listens": True,  # the application begins
    "checks.tools.http:smoke_test": True,  # it listens
    "checks.tools.drill_files:keep": True,  # everything was ended; the folder goes with the run
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
    names = {path.name for path in storage_folder.rglob("backups/**/*") if path.is_file()}
    assert {name.split("-")[1] for name in names} == kept, names
    assert not any(name.endswith(".partial") for name in names)
    drill = plain_shop.run("drill")
    assert drill.state == RunState.PASSED, (drill.error, drill.summary)


def work_folder(run: Run, settings: Any) -> Path:
    return Path(settings.WORK_ROOT) / str(run.pk)


def told_as_given_back(run: Run, settings: Any) -> None:
    """The run says that its worker died and waits for another one; nothing of its work is left on this machine."""
    run.refresh_from_db()
    assert (run.state, run.attempt) == (RunState.QUEUED, 1)
    entry = LedgerEntry.objects.get(action="run.requeued", subject_id=str(run.pk))
    assert "gave no sign of life" in entry.document["reason"]
    running = run.steps.filter(state=StepState.RUNNING)
    assert not running.exists(), [step.key for step in running]
    assert not (work_folder(run, settings) / "1").exists()
    assert not (Path(settings.SPOOL_ROOT) / str(run.pk) / "1").exists()


def test_a_drill_killed_at_any_stage_is_given_back_and_leaves_nothing_behind(
    plain_shop: Shop, storage_folder: Path, settings: Any
) -> None:
    assert plain_shop.run("backup").state == RunState.PASSED
    rows = plain_shop.sql("SELECT count(*) FROM customer")
    stored = {path for path in storage_folder.rglob("*") if path.is_file()}
    runs = []
    for stage, leaves in DRILL.items():
        run = killed_at(plain_shop, "drill", stage, settings)
        assert any(run.pk.hex in name for name in scratch()) == leaves, stage
        runs.append(run)
    until(lambda: not any(left_of(run) for run in runs), 30)
    reaped(runs)
    for run in runs:
        told_as_given_back(run, settings)
    assert StoredBackup.objects.get().look == "verified", "nothing is said of the backup"
    execute(runs[0].pk)
    runs[0].refresh_from_db()
    assert (runs[0].state, runs[0].attempt) == (RunState.PASSED, 2), (runs[0].error, log_of(runs[0]))
    assert scratch() == set()
    assert plain_shop.sql("SELECT count(*) FROM customer") == rows
    files = {path for path in storage_folder.rglob("*") if path.is_file()} - stored
    # The one that died when its files were kept already keeps them; no part of a backup is among them.
    assert {path.suffix for path in files} == {".csv", ".json"}
    assert {path.relative_to(storage_folder).parts[1] for path in files} == {str(runs[0].pk), str(runs[-1].pk)}


def test_a_drill_that_kills_its_worker_three_times_is_lost_and_the_next_one_clears_it_away(
    plain_shop: Shop, storage_folder: Path, settings: Any
) -> None:
    assert plain_shop.run("backup").state == RunState.PASSED
    run = plain_shop.queued("drill")
    for attempt in range(1, reaper.MOST_ATTEMPTS + 1):
        worker = execute_elsewhere(
            run, DIE_AT="checks.tools.comparing:compare", STORAGES=settings.STORAGES, BACKUP_KEYS=settings.BACKUP_KEYS
        )
        assert worker.wait(60) == -9, (attempt, log_of(run))
        reaped([run])
    run.refresh_from_db()
    assert (run.state, run.attempt) == (RunState.LOST, reaper.MOST_ATTEMPTS)
    assert "gave no sign of life" in run.error
    assert "It happened 3 times" in run.error
    assert len(scratch()) == 1, "each attempt drops what the one before left"
    assert plain_shop.run("drill", amcheck=False).state == RunState.PASSED
    assert scratch() == set()


def test_a_disaster_drill_killed_at_any_stage_takes_its_cluster_its_application_and_its_files_along(
    transactional_db: None, storage_folder: Path, settings: Any, tmp_path: Path
) -> None:
    with restorable(tmp_path) as shop:
        runs = [_killed_in_a_disaster(shop, stage, settings, stands=stands) for stage, stands in DISASTER.items()]
        reaped(runs)
        for run in runs:
            told_as_given_back(run, settings)
        assert StoredBackup.objects.get().look == "verified", "nothing is said of the backup"
        execute(runs[0].pk)
        runs[0].refresh_from_db()
        assert (runs[0].state, runs[0].attempt) == (RunState.PASSED, 2), (runs[0].error, log_of(runs[0]))
        assert left_of(runs[0]) == []
        assert not work_folder(runs[0], settings).exists()
        assert scratch() == set()
        assert shop.sql("SELECT count(*) FROM customer") == [(500,)]


def _killed_in_a_disaster(shop: Shop, stage: str, settings: Any, *, stands: bool) -> Run:
    run = killed_at(shop, "disaster", stage, settings, start=START, requests=ASKED)
    until(lambda: not left_of(run), 30)
    assert (work_folder(run, settings) / "1" / "cluster" / "PG_VERSION").exists() == stands, stage
    return run
