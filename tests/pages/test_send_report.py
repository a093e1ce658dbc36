"""Reports sent by CI: a key of its own, one build, one section, and a run about nothing else."""

from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from checks import engine, reports_api
from checks.models import Run
from releases.domain.token import issue_token, revoke_token
from releases.enums import Role
from releases.models import Environment, Evidence, LedgerEntry, Membership, ReportToken
from tests.engine.support import check
from tests.factories import Team, make_application, make_release, make_team, publish

pytestmark = pytest.mark.django_db(transaction=True)

GREEN = b'<testsuite name="unit" tests="1"><testcase name="buys" time="0.1"/></testsuite>'
CHECKS = {"unit": check("suite"), "smoke": check("smoke")}


class World:
    def __init__(self) -> None:
        self.application = make_application(plan={"checks": CHECKS})
        self.team: Team = make_team(self.application)
        self.release = make_release(application=self.application, requester=self.team.manager)
        self.token, self.key = issue_token(
            application=self.application, name="CI", valid_for=timedelta(days=1), actor=self.team.engineer
        )

    def send(self, key: str | None = None, body: bytes = GREEN, **fields: Any) -> Any:
        data = {"build": self.release.build_digest, "section": "checks.unit", **fields}
        headers = {"Authorization": f"Bearer {self.key if key is None else key}"}
        return Client(enforce_csrf_checks=True).post(
            "/api/reports", {**data, "report": SimpleUploadedFile("junit.xml", body)}, headers=headers
        )


@pytest.fixture
def world(storage_folder: Any) -> World:
    return World()


def browser(user: Any) -> Client:
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def test_a_report_becomes_a_run_and_evidence_of_exactly_this_build(world: World) -> None:
    other = make_release(application=world.application, requester=world.team.manager)
    answer = world.send(build=f"sha256:{world.release.build_digest}", section="unit")
    assert answer.status_code == 201, answer.content
    run = Run.objects.get(number=answer.json()["number"])
    assert (run.release, run.section, run.started_by) == (world.release, "checks.unit", world.team.engineer)
    engine.execute(run.pk)
    run.refresh_from_db()
    assert (run.state, run.result["names_build"]) == ("passed", True)
    evidence = Evidence.objects.get(run_id=run.pk)
    assert (evidence.build_digest, evidence.author) == (world.release.build_digest, world.team.engineer)
    assert not other.evidence.exists()
    assert ReportToken.objects.get().used_at is not None


def asked(key: str, number: int) -> Any:
    return Client().get(f"/api/reports/{number}", headers={"Authorization": f"Bearer {key}"})


def test_ci_asks_with_its_key_what_became_of_its_report(world: World) -> None:
    number = world.send().json()["number"]
    assert asked(world.key, number).json()["state"] == "queued"
    engine.execute(Run.objects.get(number=number).pk)
    answer = asked(world.key, number)
    assert answer.status_code == 200
    told = answer.json()
    assert (told["state"], told["verdict"], told["build_digest"]) == ("passed", "passed", world.release.build_digest)
    assert told["summary"]
    assert told["link"].endswith(reverse("checks:run_detail", args=[number]))


def test_a_key_tells_nothing_of_what_its_owner_did_not_start_for_its_application(world: World) -> None:
    number = world.send().json()["number"]
    _, key_of_another = issue_token(
        application=world.application, name="CI", valid_for=timedelta(days=1), actor=world.team.manager
    )
    elsewhere = World()
    for key, sought in ((key_of_another, number), (elsewhere.key, number), (world.key, 10**6)):
        assert asked(key, sought).status_code == 404
    assert asked("gonogo_wrong", number).status_code == 401
    assert browser(world.team.engineer).get(f"/api/reports/{number}").status_code == 401
    Membership.objects.filter(user=world.team.engineer).delete()
    assert asked(world.key, number).status_code == 404


def test_a_build_that_nobody_releases_is_refused(world: World) -> None:
    elsewhere = make_release()
    for build in ("a" * 64, elsewhere.build_digest, "not a digest", ""):
        answer = world.send(build=build)
        assert answer.status_code == 422, build
    assert not Run.objects.exists()


def test_a_section_that_takes_no_report_is_refused(world: World) -> None:
    for section in ("checks.smoke", "checks.nothing", "deploy"):
        answer = world.send(section=section)
        assert (answer.status_code, answer.json()["field"]) == (422, "section")


def files_in(folder: Any) -> list[str]:
    """What was uploaded; the build of the release is there as well."""
    return [str(each) for each in (folder / "uploads").rglob("*") if each.is_file()]


COVERAGE = b"<coverage/>"


def test_who_lost_the_right_writes_nothing_to_the_storage(world: World, storage_folder: Any) -> None:
    Membership.objects.filter(user=world.team.engineer).update(role=Role.VIEWER)
    answer = world.send(coverage=SimpleUploadedFile("coverage.xml", COVERAGE))
    assert answer.status_code == 403
    assert files_in(storage_folder) == []


def test_a_report_whose_run_is_refused_does_not_stay(world: World, storage_folder: Any) -> None:
    """The plan lost the environment, by hand: what the start of a run finds out only after the files are there."""
    Environment.objects.filter(application=world.application, name="staging").update(name="elsewhere")
    answer = world.send(coverage=SimpleUploadedFile("coverage.xml", COVERAGE))
    assert answer.status_code == 422, answer.content
    launch = reverse("checks:launch", args=[world.release.pk, "checks.unit"])
    page = browser(world.team.engineer).post(launch, {"uploaded": SimpleUploadedFile("junit.xml", GREEN)})
    assert page.status_code == 200
    assert not Run.objects.exists()
    assert files_in(storage_folder) == []
    Environment.objects.filter(application=world.application, name="elsewhere").update(name="staging")
    assert world.send().status_code == 201
    assert len(files_in(storage_folder)) == 1


def test_one_key_sends_so_many_a_minute_and_no_other_key_suffers(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports_api.SENDING, "num_requests", 3)
    codes = [world.send(build="a" * 64).status_code for _ in range(5)]
    assert codes == [422, 422, 422, 429, 429]
    _, another = issue_token(
        application=world.application, name="CI", valid_for=timedelta(days=1), actor=world.team.engineer
    )
    assert world.send(another).status_code == 201


@pytest.mark.parametrize("key", ["", "gonogo_wrong", "x" * 500])
def test_without_a_valid_key_nothing_is_taken(world: World, key: str) -> None:
    assert world.send(key).status_code == 401
    assert not Run.objects.exists()


def test_a_revoked_an_expired_and_an_owner_s_key_without_rights_open_nothing(world: World) -> None:
    Membership.objects.filter(user=world.team.engineer).delete()
    assert world.send().status_code == 403
    world.team.engineer.is_active = False
    world.team.engineer.save()
    assert world.send().status_code == 401
    world.team.engineer.is_active = True
    world.team.engineer.save()
    ReportToken.objects.update(expires_at=timezone.now())
    assert world.send().status_code == 401
    ReportToken.objects.update(expires_at=timezone.now() + timedelta(days=1))
    revoke_token(token=world.token, actor=world.team.manager)
    assert world.send().status_code == 401
    assert not Run.objects.exists()
    actions = list(LedgerEntry.objects.filter(action__startswith="token.").values_list("action", flat=True))
    assert sorted(actions) == ["token.issued", "token.revoked"]
    # The session's cookie alone is no key for reports.
    answer = browser(world.team.manager).post("/api/reports", {"build": world.release.build_digest})
    assert answer.status_code == 401


def test_the_key_is_shown_once_and_its_hash_is_kept(world: World) -> None:
    page = reverse("releases:tokens", args=[world.application.slug])
    client = browser(world.team.manager)
    answer = client.post(page, {"name": "Nightly", "days": 30})
    key = answer.context["key"]
    assert key.startswith("gonogo_")
    assert key in answer.content.decode()
    assert answer["Cache-Control"] == "no-store"
    assert key not in client.get(page).content.decode()
    kept = ReportToken.objects.get(name="Nightly")
    assert key not in (kept.digest, str(kept.__dict__))
    assert world.send(key).status_code == 201
    client.post(reverse("releases:token_revoke", args=[world.application.slug, kept.pk]))
    assert world.send(key).status_code == 401


def test_who_may_issue_and_revoke(world: World) -> None:
    page = reverse("releases:tokens", args=[world.application.slug])
    for person in (world.team.viewer, world.team.auditor, world.team.approvers["security"]):
        assert browser(person).get(page).status_code == 200
        assert browser(person).post(page, {"name": "x", "days": 30}).status_code in (403, 422)
        browser(person).post(reverse("releases:token_revoke", args=[world.application.slug, world.token.pk]))
    world.token.refresh_from_db()
    assert world.token.revoked_at is None
    assert ReportToken.objects.count() == 1
    stranger = make_team(make_application()).manager
    assert browser(stranger).get(page).status_code == 404
    assert browser(world.team.manager).post(page, {"name": "x", "days": 5000}).status_code == 422


def test_a_report_that_was_judged_already_is_refused_and_starts_nothing(world: World) -> None:
    first = Run.objects.get(number=world.send().json()["number"])
    engine.execute(first.pk)
    answer = world.send()
    assert (answer.status_code, f"Run #{first.number} judged this very report" in answer.json()["detail"]) == (
        422,
        True,
    )
    assert Run.objects.count() == 1
    assert Evidence.objects.get().verdict == "passed"


def test_no_report_answers_for_tests_that_the_plan_runs_itself(world: World) -> None:
    params = {"command": {"script": "exit 1", "timeout": "9s"}}
    publish(world.application, {"checks": {"unit": check("suite", params=params)}})
    release = make_release(application=world.application, requester=world.team.manager, build=b"another")
    answer = world.send(build=release.build_digest)
    assert (answer.status_code, "names a command for these tests" in answer.json()["detail"]) == (422, True)
    assert not Run.objects.exists()
