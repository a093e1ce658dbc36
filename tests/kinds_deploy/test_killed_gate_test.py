"""A test of the gate whose whole worker gets a real KILL: it is taken up or ends, and nothing planted is left."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from checks import engine, reaper
from checks.models import Run, StoredBackup
from tests.engine.support import check, log_text, run_section
from tests.engine.workers import execute_elsewhere, kill_tree, until
from tests.kinds_data.support import databases
from tests.kinds_deploy.gate_world import World, verdicts

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.campaign]


def killed_when(run: Run, settings: Any, reached: Callable[[int], Any]) -> Any:
    """Begin an attempt elsewhere and KILL all of it once ``reached`` (given its process) returns something."""
    worker = execute_elsewhere(run, STORAGES=settings.STORAGES, BACKUP_KEYS=settings.BACKUP_KEYS)

    def held() -> Any:
        """What was reached, with the worker stopped there: a fault is planted for moments only."""
        if not reached(worker.pid):
            return None
        process = psutil.Process(worker.pid)
        process.suspend()
        found = reached(worker.pid)
        if not found:
            process.resume()
        return found

    found = until(held, seconds=150, every=0.005)
    kill_tree(worker)
    assert engine.load(run.pk).state == "running", "the worker had ended by itself"
    return found


def reaped(run: Run) -> Run:
    until(lambda: any(each.pk == run.pk for each in reaper.reap()), seconds=30)
    return engine.load(run.pk)


def copies(run: Run) -> set[str]:
    return {name for name in databases() if run.pk.hex in name}


def listening(process: int) -> set[int]:
    """Ports on which a process waits for visitors, as the server in front of the environment does."""
    return {each.laddr.port for each in psutil.Process(process).net_connections("tcp") if each.status == "LISTEN"}


def anybody_listens(ports: set[int]) -> bool:
    return any(each.laddr.port in ports and each.status == "LISTEN" for each in psutil.net_connections("tcp"))


def test_one_that_is_killed_twice_is_taken_up_and_leaves_nothing(
    world: World, storage_folder: Path, settings: Any
) -> None:
    before = databases()
    faults = ["drifted-setting", "lost-row", "truncated-backup"]
    run = world.queued(first="checks.backup", faults=faults)

    def cut() -> list[Path]:
        return [path for path in storage_folder.rglob("gate-test/*") if path.is_file()]

    killed_when(run, settings, lambda _: copies(run))
    assert copies(run), "the copy was gone before the worker was"
    assert reaped(run).state == "queued"
    killed_when(run, settings, lambda _: len(cut()) == 2)
    assert len(cut()) == 2, "the cut backup was gone before the worker was"
    assert reaped(run).state == "queued"

    engine.execute(run.pk)
    ended = engine.load(run.pk)
    assert (ended.state, ended.attempt) == ("passed", 3), log_text(ended)
    assert verdicts(ended) == dict.fromkeys(faults, "caught")
    assert databases() == before
    assert cut() == []
    assert run_section(run.application, "checks.drill", release=run.release).state == "passed"
    assert [kept.fault for kept in StoredBackup.objects.all()] == [""]


def test_one_that_is_killed_leaves_neither_a_report_nor_a_backup_made_aside(
    world: World, storage_folder: Path, settings: Any
) -> None:
    faults = ["reported-weakness", "lossy-storage"]
    run = world.queued(more={"audit": check("audit", params={"sarif": {}})}, faults=faults)

    def stored(pattern: str) -> list[Path]:
        return list(storage_folder.rglob(f"gate-test/{pattern}"))

    killed_when(run, settings, lambda _: stored("*.sarif"))
    assert stored("*.sarif"), "the report was gone before the worker was"
    assert reaped(run).state == "queued"
    killed_when(run, settings, lambda _: stored("*.database*"))
    assert stored("*.database*"), "the backup was gone before the worker was"
    assert reaped(run).state == "queued"

    engine.execute(run.pk)
    ended = engine.load(run.pk)
    assert (ended.state, ended.attempt) == ("passed", 3), log_text(ended)
    assert verdicts(ended) == dict.fromkeys(faults, "caught")
    assert stored("*") == []
    assert not StoredBackup.objects.exists()


def test_one_whose_worker_is_killed_each_time_ends_as_lost_and_the_next_clears_away(
    world: World, storage_folder: Path, settings: Any
) -> None:
    before = databases()
    run = world.queued(first="checks.backup", faults=["slow-endpoint", "lost-row", "truncated-backup"])
    ports = killed_when(run, settings, listening)
    assert not anybody_listens(ports)
    assert reaped(run).state == "queued"
    killed_when(run, settings, lambda _: copies(run))
    assert reaped(run).state == "queued"
    killed_when(run, settings, lambda _: list(storage_folder.rglob("gate-test/*.database")))
    lost = reaped(run)
    assert (lost.state, lost.verdict) == ("lost", "errored")
    assert run.release.evidence.get(run_id=run.pk).verdict == "errored"
    assert [path for path in storage_folder.rglob("gate-test/*") if path.is_file()] == []
    assert world.run(faults=["broken-page"]).state == "passed"
    assert databases() == before


def test_a_copy_that_cannot_be_dropped_is_told_and_proves_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("checks.tools.scratch.drop_at_the_end", lambda context, orders, name: None)
    run = world.run(faults=["drifted-setting"])
    assert run.state == "errored"
    assert f"The copy gonogo_restore_{run.pk.hex}_1, in which a fault was planted, is still there." in run.error
    monkeypatch.undo()
    world.run(faults=["broken-page"])
    assert copies(run) == set()
