"""Testing the gate with one click on the board."""

import pytest
from django.test import Client
from django.urls import reverse

from checks.models import Run
from releases.domain import environment as environments
from releases.models import Release
from tests.engine.support import check
from tests.factories import Team, make_application, make_release, make_team
from tests.pages.test_open_pages import browser

pytestmark = pytest.mark.django_db
BUTTON = "Test the gate</button>"


def world(**checks: object) -> tuple[Team, Release]:
    application = make_application(plan={"checks": {"smoke": check("smoke"), **checks}})
    team = make_team(application)
    return team, make_release(application=application, requester=team.manager)


def board(client: Client, release: Release) -> str:
    return client.get(reverse("releases:release", args=[release.pk])).content.decode()


def test_an_engineer_starts_it_with_one_click_and_others_see_no_button() -> None:
    team, release = world(gate=check("gate_test", params={"faults": ["slow-endpoint"]}))
    client = browser(team.engineer)
    assert BUTTON in board(client, release)
    assert BUTTON not in board(browser(team.viewer), release)
    address = reverse("checks:start_planned", args=[release.pk, "checks.gate"])
    answer = client.post(address, follow=True)
    assert "Deploy it there first. Nothing was started." in answer.content.decode()
    environments.build_running(
        environment=release.source_environment, release=release, version=release.version,
        build_digest=release.build_digest,
    )  # fmt: skip
    answer = client.post(address)
    run = Run.objects.get()
    assert (answer.url, run.section, run.started_by) == (f"/runs/{run.number}/", "checks.gate", team.engineer)
    assert run.params["faults"] == ["slow-endpoint"]
    assert BUTTON not in board(client, release)


def test_nobody_else_starts_it_and_a_plan_without_it_has_no_button() -> None:
    team, release = world(gate=check("gate_test"))
    address = reverse("checks:start_planned", args=[release.pk, "checks.gate"])
    browser(team.viewer).post(address)
    assert not Run.objects.exists()
    team, release = world()
    client = browser(team.engineer)
    assert BUTTON not in board(client, release)
    assert client.post(reverse("checks:start_planned", args=[release.pk, "checks.gate"])).status_code == 404
