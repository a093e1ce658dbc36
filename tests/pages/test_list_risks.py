"""The risks of all releases under way: filtered, sorted, exported."""

import json

import pytest
from django.test import Client
from django.urls import reverse

from releases.models import Release
from tests.factories import Team, make_application, make_release, make_team
from tests.pages.test_open_pages import browser

pytestmark = pytest.mark.django_db


@pytest.fixture
def team_and_releases() -> tuple[Team, list[Release]]:
    shop, forum = make_application(name="Shop"), make_application(name="Forum")
    team = make_team(shop)
    team.viewer.memberships.create(application=forum, role="viewer")
    releases = [
        make_release(application=shop, version="2.0", requester=team.manager),
        make_release(application=forum, version="7.1", requester=make_team(forum).manager),
    ]
    releases[0].risks.filter(key="data-loss").update(appetite=25)
    return team, releases


def found(client: Client, query: str) -> list[tuple[str, str]]:
    answer = client.get(f"{reverse('releases:risk_list')}?format=json&{query}")
    rows = json.loads(b"".join(answer.streaming_content))
    return [(row["version"], row["risk"]) for row in rows]


def test_the_highest_stands_first_and_nothing_is_left_out(team_and_releases: tuple[Team, list[Release]]) -> None:
    team, releases = team_and_releases
    rows = found(browser(team.viewer), "")
    assert len(rows) == sum(release.risks.count() for release in releases)
    text = browser(team.viewer).get(reverse("releases:risk_list")).content.decode()
    assert all(str(release) in text for release in releases)


@pytest.mark.parametrize(
    ("query", "expected"),
    [("q=7.1+data+loss", [("7.1", "Data loss")]), ("q=shop+privacy", [("2.0", "Data privacy")]),
     ("level=within", [("2.0", "Data loss")]), ("q=nothing+like+it", [])],
)  # fmt: skip
def test_words_and_the_level_filter_it(
    team_and_releases: tuple[Team, list[Release]], query: str, expected: list[tuple[str, str]]
) -> None:
    team, _ = team_and_releases
    assert found(browser(team.viewer), query) == expected


def test_it_is_sorted_by_what_a_person_asks(team_and_releases: tuple[Team, list[Release]]) -> None:
    team, _ = team_and_releases
    by_title = [risk for _, risk in found(browser(team.viewer), "sort=risk")]
    assert by_title == sorted(by_title)
    assert [risk for _, risk in found(browser(team.viewer), "sort=-risk")] == by_title[::-1]


def test_the_file_has_the_position_and_the_owner(team_and_releases: tuple[Team, list[Release]]) -> None:
    team, _ = team_and_releases
    answer = browser(team.viewer).get(f"{reverse('releases:risk_list')}?format=csv&q=shop+loss")
    head, line, *rest = b"".join(answer.streaming_content).decode().splitlines()
    assert head.startswith("application,version,risk,owner,likelihood,impact,score,appetite,level")
    assert line.startswith("Shop,2.0,Data loss,")
    assert rest == []


def test_a_filter_that_fits_nothing_leads_back_to_all(team_and_releases: tuple[Team, list[Release]]) -> None:
    team, _ = team_and_releases
    text = browser(team.viewer).get(f"{reverse('releases:risk_list')}?q=unheard-of").content.decode()
    assert "No risk fits" in text
    assert "Show all risks" in text
