"""Runs that would spoil each other's results in an environment go one after the other, however they were started."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.urls import reverse

from checks import engine, outbox, reaper, services, starting
from checks.engine import load
from checks.kinds.base import get_kind
from checks.models import Outbox, Run
from releases.domain import environment as environments
from releases.models import Application, LedgerEntry
from tests.engine.support import application_with, check, start
from tests.engine.workers import execute_elsewhere, kill_tree, until
from tests.factories import ReleaseFactory, make_release, make_team
from tests.pages.test_open_pages import browser

pytestmark = pytest.mark.django_db(transaction=True)

#: Says so in a file where another run is in here at the same moment.
INSIDE = "mkdir inside || echo twice >> twice; echo one >> ran; sleep 0.05; rmdir inside"
WAIT = "echo begun >> begun; while [ ! -e go ]; do sleep 0.02; done; echo one >> ran"


@pytest.fixture
def application(tmp_path: Path) -> Application:
    checks = {
        "alone": check("test_alone"),
        "elsewhere": check("test_alone", "production"),
        "both": check("test_alone", params={"also_in": "production"}),
        "beside": check("test_command"),
        "deploy": check("test_exclusive"),
    }
    return application_with(checks, folder=tmp_path)


def script(text: str) -> dict[str, Any]:
    return {"argv": ["sh", "-c", text]}


def waits(run: Run) -> bool:
    """A worker is asked to take it, and does not."""
    return engine._claim(run.pk) is None and load(run.pk).state == "queued"


def goes(run: Run) -> bool:
    return engine._claim(run.pk) is not None


def work_off(slots: int) -> None:
    """What relay and workers do, with so many slots, until no message is left and nothing runs."""
    under_way: list[Future[None]] = []

    def execute(run_id: str) -> None:
        try:
            engine.execute(run_id)
        finally:
            connection.close()

    with ThreadPoolExecutor(slots) as workers:

        def publish(run_id: str, queue: str) -> None:
            under_way.append(workers.submit(execute, run_id))

        def all_done() -> bool:
            outbox.publish_due(publish)
            finished = all(each.done() for each in under_way)
            return finished and not Outbox.objects.filter(published_at=None).exists()

        until(all_done, seconds=60, every=0.02)
    for each in under_way:
        each.result()


@pytest.mark.campaign
def test_six_runs_started_at_once_go_one_after_the_other_and_none_is_lost(
    application: Application, tmp_path: Path
) -> None:
    runs = [start(application, "checks.alone", params=script(INSIDE)) for _ in range(6)]
    work_off(slots=6)
    assert [load(run.pk).state for run in runs] == ["passed"] * 6
    assert (tmp_path / "ran").read_text() == "one\n" * 6
    assert not (tmp_path / "twice").exists()


def test_of_ten_that_workers_claim_at_the_same_moment_one_runs(application: Application) -> None:
    for _ in range(3):
        runs = [start(application, f"checks.{name}") for name in ("alone", "both") * 5]
        barrier = threading.Barrier(len(runs))

        def claim(run_id: UUID, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            try:
                engine._claim(run_id)
            finally:
                connection.close()

        threads = [threading.Thread(target=claim, args=[run.pk]) for run in runs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        states = sorted(load(run.pk).state for run in runs)
        assert states == ["queued"] * 9 + ["running"]
        Run.objects.filter(state="running").update(state="queued", token=None, owner=None, lease_until=None)
        Run.objects.filter(state="queued").update(state="cancelled", ended_at="2026-01-01T00:00Z")


def test_another_environment_and_what_disturbs_nobody_go_beside_it(application: Application) -> None:
    assert goes(start(application, "checks.alone"))
    assert goes(start(application, "checks.elsewhere"))
    assert goes(start(application, "checks.beside"))


def test_a_run_that_needs_two_environments_waits_for_either(application: Application) -> None:
    assert goes(start(application, "checks.elsewhere"))
    both = start(application, "checks.both")
    assert waits(both)
    assert goes(start(application, "checks.alone")), "it waits for one that runs, not for one that waits"


def test_it_does_not_begin_while_a_deploy_changes_the_environment_and_no_deploy_waits_for_it(
    application: Application, tmp_path: Path
) -> None:
    release = ReleaseFactory(application=application)
    deploy = start(application, "checks.deploy", release=release, params=script(WAIT))
    thread = threading.Thread(target=lambda: (engine.execute(deploy.pk), connection.close()))
    thread.start()
    until((tmp_path / "begun").exists)
    alone = start(application, "checks.alone")
    assert waits(alone)
    outbox.publish_due(lambda run_id, queue: None)
    (tmp_path / "go").touch()
    thread.join()
    assert Outbox.objects.filter(run=alone, published_at=None).count() == 1, "the deploy's end calls it"
    assert goes(alone)
    assert goes(start(application, "checks.deploy", release=release))


@pytest.mark.campaign
def test_a_worker_that_is_killed_loses_neither_run(application: Application, tmp_path: Path) -> None:
    first = start(application, "checks.alone", params=script(WAIT))
    worker = execute_elsewhere(first)
    until((tmp_path / "begun").exists)
    second = start(application, "checks.alone", params=script("echo two >> ran"))
    assert waits(second)
    kill_tree(worker)
    assert waits(second), "until it is certain that nothing of the first one lives any more"
    until(lambda: [each for each in reaper.reap() if each.pk == first.pk], seconds=12)
    (tmp_path / "go").touch()
    work_off(slots=2)
    assert [load(run.pk).state for run in (first, second)] == ["passed", "passed"]
    assert sorted((tmp_path / "ran").read_text().split()) == ["one", "two"]


def test_one_that_waits_can_be_cancelled_and_never_runs(application: Application, tmp_path: Path) -> None:
    team = make_team(application)
    first = start(application, "checks.alone", params=script(INSIDE))
    assert goes(first)
    second = start(application, "checks.alone", params=script(INSIDE))
    assert waits(second)
    services.cancel_run(run=second, actor=team.engineer)
    assert load(second.pk).state == "cancelled"
    Run.objects.filter(pk=first.pk).update(state="queued", token=None, owner=None, lease_until=None)
    work_off(slots=2)
    assert (tmp_path / "ran").read_text() == "one\n"
    assert LedgerEntry.objects.filter(action="run.cancelled", subject_id=str(second.pk)).exists()


def test_a_cancelled_one_lets_the_next_go(application: Application, tmp_path: Path) -> None:
    team = make_team(application)
    first = start(application, "checks.alone", params=script(WAIT))
    thread = threading.Thread(target=lambda: (engine.execute(first.pk), connection.close()))
    thread.start()
    until((tmp_path / "begun").exists)
    second = start(application, "checks.alone", params=script("true"))
    assert waits(second)
    services.cancel_run(run=first, actor=team.engineer)
    thread.join()
    work_off(slots=1)
    assert [load(run.pk).state for run in (first, second)] == ["cancelled", "passed"]


def test_its_page_and_the_api_say_for_which_run_it_waits(application: Application) -> None:
    team = make_team(application)
    first, second = (start(application, "checks.alone") for _ in range(2))
    client = browser(team.engineer)
    page, interface = reverse("checks:run_detail", args=[second.number]), f"/api/runs/{second.number}"
    assert "Waiting for a worker" in client.get(page).content.decode()
    assert goes(first)
    shown = client.get(page).content.decode()
    assert f"run #{first.number}</a> (alone) to end: side by side in staging each would spoil" in shown
    assert 'action="' + reverse("checks:cancel", args=[second.number]) in shown
    assert client.get(interface).json()["waits_for"] == first.number
    assert client.get(f"/api/runs/{first.number}").json()["waits_for"] is None


ACTIVE: dict[str, Any] = {"web": {}}
PASSIVE: dict[str, Any] = {"headers": {}}
COMPARED = {"steps": [1], "compare": {"load": 1, "environment": "previous"}}


@pytest.mark.parametrize(
    ("kind", "params", "alone_in"),
    [
        ("load", {"steps": [1]}, ["staging"]),
        ("load", COMPARED, ["staging", "previous"]),
        ("audit", ACTIVE, ["staging"]),
        ("audit", {**PASSIVE, **ACTIVE}, ["staging"]),
        ("audit", PASSIVE, []),
        ("gate_test", {}, ["staging"]),
        ("suite", {"command": {"argv": ["true"]}, "alone": True}, ["staging"]),
        ("suite", {"command": {"argv": ["true"]}}, []),
        ("smoke", {}, []),
        ("parity", {}, []),
    ],
)
def test_load_attacks_and_planted_faults_are_alone_and_what_only_reads_is_not(
    kind: str, params: dict[str, Any], alone_in: list[str]
) -> None:
    found = get_kind(kind)
    assert found.alone_in(found.Params.model_validate(params), "staging") == alone_in


def test_of_what_blocks_the_load_and_the_scan_do_not_run_side_by_side(tmp_path: Path) -> None:
    consent = {"load": {"consent": {"staging": {"by": "Operations", "on": "2026-11-24", "at_most": 5}}}}
    checks = {"load": check("load", params={"steps": [1]}), "audit": check("audit", params=ACTIVE)}
    application = application_with(checks, folder=tmp_path, plan=consent)
    team = make_team(application)
    release = make_release(application=application, requester=team.manager)
    environments.build_running(
        environment=release.source_environment, release=release, version=release.version,
        build_digest=release.build_digest,
    )  # fmt: skip
    runs, refused = starting.start_blocking(release=release, actor=team.engineer)
    assert ({run.kind for run in runs}, refused) == ({"load", "audit"}, [])
    assert [goes(run) for run in runs] == [True, False]
    assert load(runs[1].pk).state == "queued"
