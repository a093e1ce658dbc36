"""The board: what blocks, each a link; a fixed number of queries."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from releases.models import Release
from tests.factories import Team, answer, go_green, make_application, make_approved, make_release, make_team
from tests.pages.test_open_pages import CHECKS, browser

pytestmark = pytest.mark.django_db


@pytest.fixture
def team_and_release() -> tuple[Team, Release]:
    application = make_application(plan={"checks": CHECKS})
    team = make_team(application)
    return team, make_release(application=application, requester=team.manager)


def page(client: Client, release: Release) -> str:
    return client.get(reverse("releases:release", args=[release.pk])).content.decode()


def test_it_links_every_blocker_to_where_it_is_dealt_with(team_and_release: tuple[Team, Release]) -> None:
    team, release = team_and_release
    text = page(browser(team.manager), release)
    assert reverse("releases:item", args=[release.pk, "recovery.backup"]) in text
    assert reverse("releases:window", args=[release.pk]) in text
    assert "Hold" in text
    assert "disabled" in text


def test_it_offers_the_deploy_only_when_the_gate_is_open(team_and_release: tuple[Team, Release]) -> None:
    team, release = team_and_release
    release = make_approved(release, team)
    assert f'href="{reverse("checks:deploy", args=[release.pk])}"' in page(browser(team.manager), release)
    assert f'href="{reverse("checks:deploy", args=[release.pk])}"' not in page(browser(team.engineer), release)


def test_a_vote_over_older_evidence_is_shown_as_not_counting(team_and_release: tuple[Team, Release]) -> None:
    team, release = team_and_release
    release = make_approved(release, team)
    go_green(release)
    assert "does not count" in page(browser(team.manager), release)


def test_it_takes_as_many_queries_with_much_evidence_as_with_little(team_and_release: tuple[Team, Release]) -> None:
    team, release = team_and_release
    client = browser(team.manager)
    go_green(release)
    page(client, release)
    with CaptureQueriesContext(connection) as little:
        page(client, release)
    for _ in range(3):
        for item in release.items.all():
            answer(item)
    with CaptureQueriesContext(connection) as much:
        page(client, release)
    assert len(much) == len(little)


def test_the_list_takes_as_many_queries_for_three_releases_as_for_one(team_and_release: tuple[Team, Release]) -> None:
    team, _ = team_and_release
    client = browser(team.manager)
    address = reverse("releases:list")
    client.get(address)
    with CaptureQueriesContext(connection) as one:
        client.get(address)
    for _ in range(2):
        make_release(application=team_and_release[1].application, requester=team.manager)
    with CaptureQueriesContext(connection) as three:
        client.get(address)
    assert len(three) == len(one)
