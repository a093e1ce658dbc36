"""What a person may change when starting a run, and what such a run is worth to the checklist."""

import json
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from checks import engine, services
from checks.forms import LaunchForm
from checks.kinds.base import get_kind
from checks.models import Run
from releases.domain import gate as gates
from releases.domain import release as releases
from releases.domain.items import item_statuses
from releases.domain.poll import signers
from releases.enums import ItemState, Role
from releases.errors import NotAllowed
from releases.models import Release
from tests.engine.support import check
from tests.factories import Team, make_application, make_release, make_team, member, schedule, vote
from tests.pages.test_open_pages import browser
from tests.pages.test_start_run import REPORT, start

pytestmark = pytest.mark.django_db(transaction=True)
FAILING = {"command": {"script": "exit 1"}}
GREEN = {"command": {"script": f"mkdir reports; echo '{REPORT.decode()}' > reports/all.xml"}}


@pytest.fixture
def shop() -> tuple[Team, Release]:
    plan = {"checks": {"unit": check("suite", params=FAILING), "upload": check("suite"), "backup": check("backup")}}
    application = make_application(plan=plan)
    team = make_team(application)
    return team, make_release(application=application, requester=team.manager)


def by_api(client: Client, release: Release, section: str, params: dict[str, Any]) -> Any:
    address = reverse("api:start_run", args=[release.pk])
    return client.post(address, json.dumps({"section": section, "params": params}), content_type="application/json")


def state_of(release: Release, section: str) -> ItemState:
    found = Release.objects.select_related("plan_version", "application").get(pk=release.pk)
    return next(each.state for each in item_statuses(found, timezone.now()) if each.item.section == section)


@pytest.mark.parametrize("params", [GREEN, {"reports": ["*.xml"]}, {"uploaded": "uploads/x/old.xml"}])
def test_the_api_takes_no_command_list_or_stored_file(shop: tuple[Team, Release], params: dict[str, Any]) -> None:
    team, release = shop
    answer = by_api(browser(team.engineer), release, "checks.unit", params)
    assert answer.status_code == 422, answer.content
    assert "only the plan sets" in answer.json()["detail"]
    assert not Run.objects.exists()


def test_the_form_leaves_lists_to_the_plan(shop: tuple[Team, Release]) -> None:
    plan = {"tables": ["person"], "source": "staging"}
    form = LaunchForm(get_kind("reconcile"), plan, data={"source": "staging", "mode": "identical", "workers": "4"})
    assert not {"tables", "leave_out", "hide", "keys", "normalise"} & form.fields.keys()
    assert form.is_valid(), form.errors
    assert (form.params["workers"], "tables" in form.params) == (4, False)


def test_a_run_with_other_parameters_than_the_plans_answers_nothing(shop: tuple[Team, Release]) -> None:
    team, release = shop
    run = services.start_run(
        application=release.application, release=release, section="checks.unit", actor=team.engineer, params=GREEN
    )
    engine.execute(run.pk)
    run.refresh_from_db()
    assert run.state == "passed", run.error
    assert state_of(release, "checks.unit") == ItemState.OTHER_PLAN


def test_a_run_with_the_plans_own_values_answers(shop: tuple[Team, Release]) -> None:
    team, release = shop
    run = services.start_run(
        application=release.application, release=release, section="checks.unit", actor=team.engineer, params=FAILING
    )
    assert run.section_digest == release.plan_version.sections["checks.unit"]
    engine.execute(run.pk)
    assert state_of(release, "checks.unit") in (ItemState.ERRORED, ItemState.FAILED)


def test_who_uploaded_a_report_that_counts_cannot_vote(shop: tuple[Team, Release]) -> None:
    team, release = shop
    voter = team.approvers["security"]
    member(release.application, Role.ENGINEER, user=voter)
    upload = SimpleUploadedFile("report.xml", REPORT)
    assert start(browser(voter), release, "checks.upload", uploaded=upload) == 302
    run = Run.objects.get()
    engine.execute(run.pk)
    assert release.evidence.get().author == voter
    schedule(release, team.manager)
    release.refresh_from_db()
    releases.open_poll(release=release, actor=team.manager)
    answered = [each for each in gates.evaluate(release).items if each.proven]
    assert voter.pk in signers(answered)
    with pytest.raises(NotAllowed, match="your own evidence"):
        vote(release, voter, "security")
