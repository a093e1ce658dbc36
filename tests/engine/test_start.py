"""Starting a run: who may, what is refused with a sentence, and what is written together."""

import threading
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from checks import services
from checks.models import Outbox, Run
from releases.domain.environment import adopt_build
from releases.errors import DomainError, GateClosed, NotAllowed, StateChanged
from releases.models import Environment, LedgerEntry
from tests.engine.support import application_with, check, run_section, start
from tests.factories import ReleaseFactory, make_approved, make_team

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def application(tmp_path: Path) -> Any:
    return application_with(
        {
            "command": check("test_command", params={"argv": ["echo", "planned"], "timeout": 5}),
            "build": check("test_build"),
            "exclusive": check("test_exclusive"),
        },
        folder=tmp_path,
    )


def test_run_outbox_and_ledger_are_written_together(application: Any) -> None:
    team = make_team(application)
    release = ReleaseFactory(application=application, requester=team.engineer)
    run = start(application, "checks.command", release=release, actor=team.engineer)
    assert (run.state, run.environment.name, run.build_digest) == ("queued", "staging", release.build_digest)
    assert Outbox.objects.get(run=run).queue == "default"
    entry = LedgerEntry.objects.get(action="run.started", subject_id=str(run.pk))
    assert (entry.actor, entry.release_id) == (team.engineer, release.pk)


def test_numbers_are_never_given_twice(application: Any) -> None:
    numbers: list[int] = []

    def begin() -> None:
        numbers.extend(start(application, "checks.command").number for _ in range(5))
        connection.close()

    threads = [threading.Thread(target=begin) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(numbers)) == 30


def test_parameters_are_laid_over_the_plan(application: Any) -> None:
    run = start(application, "checks.command", params={"timeout": 7})
    assert (run.params["argv"], run.params["timeout"]) == (["echo", "planned"], 7)


@pytest.mark.parametrize(
    ("section", "params", "words"),
    [
        ("checks.none", {}, "has no check 'checks.none'; it has: checks.build, checks.command"),
        ("command", {}, "has no check"),
        ("checks.command", {"nonsense": 1}, "nonsense: Extra inputs"),
        ("checks.command", {"timeout": "soon"}, "timeout: Input should be a valid number"),
        ("checks.build", {}, "is about one release; name it"),
    ],
)
def test_it_refuses_what_makes_no_sense(application: Any, section: str, params: Any, words: str) -> None:
    with pytest.raises(DomainError, match=words):
        start(application, section, params=params)
    assert not Run.objects.exists()
    assert not Outbox.objects.exists()


def test_it_refuses_to_judge_a_build_that_does_not_run_there(application: Any) -> None:
    release = ReleaseFactory(application=application)
    with pytest.raises(DomainError, match="runs a build that nobody can name, not"):
        start(application, "checks.build", release=release)
    staging = Environment.objects.get(application=application, name="staging")
    adopt_build(
        environment=staging, version=release.version, build_digest=release.build_digest, actor=None, reason="I looked."
    )
    assert run_section(application, "checks.build", release=release).state == "passed"


@pytest.mark.campaign
def test_a_build_that_changes_during_the_run_makes_it_errored(application: Any) -> None:
    release = ReleaseFactory(application=application)
    staging = Environment.objects.get(application=application, name="staging")
    adopt_build(
        environment=staging, version=release.version, build_digest=release.build_digest, actor=None, reason="I looked."
    )
    run = start(application, "checks.build", release=release, params={"argv": ["sleep", "2"]})
    thread = threading.Thread(target=lambda: (services_execute(run), connection.close()))
    thread.start()
    from tests.engine.workers import until

    until(lambda: run.steps.filter(state="running").exists())
    adopt_build(environment=staging, version="0.9", build_digest="0" * 64, actor=None, reason="Somebody changed it.")
    thread.join()
    run.refresh_from_db()
    assert run.state == "errored"
    assert "It changed while this ran" in run.error


def services_execute(run: Run) -> None:
    from checks import engine

    engine.execute(run.pk)


@pytest.mark.parametrize("role", ["viewer", "auditor", "administrator"])
def test_only_engineers_and_release_managers_start_runs(application: Any, role: str) -> None:
    team = make_team(application)
    with pytest.raises(NotAllowed):
        start(application, "checks.command", actor=getattr(team, role))


def test_one_of_twenty_raced_deploys_gets_the_environment(application: Any) -> None:
    release = ReleaseFactory(application=application)
    begun: list[Run] = []
    refused: list[str] = []
    barrier = threading.Barrier(20)

    def race() -> None:
        barrier.wait()
        try:
            begun.append(start(application, "checks.exclusive", release=release))
        except StateChanged as error:
            refused.append(error.message)
        finally:
            connection.close()

    threads = [threading.Thread(target=race) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(begun) == 1
    assert len(refused) == 19
    assert all(f"Run #{begun[0].number} (test_exclusive, queued) holds staging" in sentence for sentence in refused)
    assert Run.objects.count() == Outbox.objects.count() == 1


def test_an_engineer_rehearses_a_deploy_in_staging_only(application: Any) -> None:
    team = make_team(application)
    release = ReleaseFactory(application=application, requester=team.engineer)
    run = services.start_deploy(release=release, actor=team.engineer, environment=release.source_environment)
    assert (run.kind, run.section, run.exclusive, run.environment.name) == ("deploy", "deploy", True, "staging")
    with pytest.raises(NotAllowed):
        services.start_deploy(release=release, actor=team.engineer)


def test_a_closed_gate_lets_nothing_start(application: Any) -> None:
    team = make_team(application)
    release = ReleaseFactory(application=application)
    with pytest.raises(GateClosed):
        services.start_deploy(release=release, actor=team.manager)
    release.refresh_from_db()
    assert release.state == "rehearsing"
    assert not Run.objects.exists()


def test_an_open_gate_moves_the_release_and_queues_the_run_together(tmp_path: Path) -> None:
    application = application_with({}, folder=tmp_path)
    team = make_team(application)
    release = make_approved(ReleaseFactory(application=application), team)
    run = services.start_deploy(release=release, actor=team.manager)
    release.refresh_from_db()
    assert (release.state, run.state, run.environment.name) == ("deploying", "queued", "production")
    with pytest.raises(StateChanged):
        services.start_deploy(release=release, actor=team.manager)
    services.cancel_run(run=run, actor=team.manager)
    release.refresh_from_db()
    assert release.state == "failed", "a launch that was cancelled is not forgotten"
    with pytest.raises(DomainError, match="on the evidence that stands when somebody launches"):
        services.retry_run(run=run, actor=team.manager)
    assert services.start_deploy(release=release, actor=team.manager).state == "queued"


def test_a_retry_is_a_new_run_that_names_the_old_one(application: Any) -> None:
    team = make_team(application)
    run = run_section(application, "checks.command", params={"passed": False, "timeout": 9})
    again = services.retry_run(run=run, actor=team.engineer)
    assert (again.retry_of, again.params["timeout"], again.number > run.number) == (run, 9, True)
    with pytest.raises(StateChanged, match="still queued"):
        services.retry_run(run=again, actor=team.engineer)
