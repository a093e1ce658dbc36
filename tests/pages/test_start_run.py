"""Starting a run from its page: parameters, uploads, refusals."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from checks import engine
from checks.models import Run
from releases.models import Release
from tests.engine.support import check
from tests.factories import Team, make_application, make_release, make_team
from tests.pages.test_open_pages import browser

REPORT = b'<testsuite name="unit"><testcase classname="a" name="one"/><testcase classname="a" name="two"/></testsuite>'


@pytest.fixture
def team_and_release() -> tuple[Team, Release]:
    plan = {"checks": {"unit": check("suite"), "smoke": check("smoke")}}
    application = make_application(plan=plan)
    team = make_team(application)
    return team, make_release(application=application, requester=team.manager)


def start(client: Client, release: Release, section: str, **data: object) -> int:
    return client.post(reverse("checks:launch", args=[release.pk, section]), data).status_code


@pytest.mark.django_db(transaction=True)
def test_an_uploaded_report_becomes_evidence(team_and_release: tuple[Team, Release]) -> None:
    team, release = team_and_release
    upload = SimpleUploadedFile("../../junit report.xml", REPORT)
    assert start(browser(team.engineer), release, "checks.unit", uploaded=upload) == 302
    run = Run.objects.get()
    engine.execute(run.pk)
    run.refresh_from_db()
    assert (run.state, run.summary) == ("passed", run.summary)
    assert "2" in run.summary
    assert release.evidence.get().verdict == "passed"


@pytest.mark.django_db
def test_what_the_kind_refuses_is_told_at_its_field(team_and_release: tuple[Team, Release]) -> None:
    team, release = team_and_release
    client = browser(team.engineer)
    answer = client.post(reverse("checks:launch", args=[release.pk, "checks.smoke"]), {})
    assert "Deploy" in answer.content.decode()
    assert not Run.objects.exists()


@pytest.mark.django_db
def test_a_section_that_the_plan_lacks_is_not_found(team_and_release: tuple[Team, Release]) -> None:
    team, release = team_and_release
    assert browser(team.engineer).get(reverse("checks:launch", args=[release.pk, "checks.other"])).status_code == 404


@pytest.mark.django_db
def test_what_a_check_leaves_behind_is_said_before_it_starts() -> None:
    application = make_application(plan={"checks": {"audit": check("audit", params={"headers": {}, "web": {}})}})
    team = make_team(application)
    release = make_release(application=application, requester=team.manager)
    page = browser(team.engineer).get(reverse("checks:launch", args=[release.pk, "checks.audit"])).content.decode()
    assert "this leaves test data behind" in page
    assert not Run.objects.exists()


@pytest.mark.django_db
def test_a_plan_of_before_with_words_that_are_no_longer_read_is_told_and_not_started() -> None:
    counted = {"command": {"argv": ["true"]}, "silenced": {"messages": 3, "reason": "The settings say why."}}
    application = make_application(plan={"checks": {"audit": check("audit", params={"deploy_check": counted})}})
    team = make_team(application)
    release = make_release(application=application, requester=team.manager)
    address, client = reverse("checks:launch", args=[release.pk, "checks.audit"]), browser(team.engineer)
    assert client.get(address).status_code == 200
    assert "name each silenced check by its id with its reason" in client.post(address).content.decode()
    assert not Run.objects.exists()
