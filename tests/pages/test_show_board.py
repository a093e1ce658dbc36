"""The board: what blocks, each a link; a fixed number of queries."""

import pytest
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.html import escape

from releases.domain import deploy as deploys
from releases.domain import release as releases
from releases.domain.gate import evaluate
from releases.enums import ReleaseState
from releases.errors import GateClosed
from releases.models import Release
from releases.views.showing import standing
from tests.factories import Team, answer, go_green, make_application, make_approved, make_release, make_team, schedule
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


@pytest.mark.campaign
def test_a_vote_over_older_evidence_is_shown_as_not_counting(team_and_release: tuple[Team, Release]) -> None:
    team, release = team_and_release
    release = make_approved(release, team)
    go_green(release)
    assert "does not count" in page(browser(team.manager), release)


@pytest.fixture
def failed(team_and_release: tuple[Team, Release]) -> Release:
    """Approved, launched, and stopped in the middle."""
    team, release = team_and_release
    release = make_approved(release, team)
    with transaction.atomic():
        deploys.authorise_deploy(release=release, actor=team.manager)
    return deploys.deploy_failed(release=release, reason="A step stopped.")


def test_after_a_deploy_that_stopped_it_tells_what_stands_against_another_try(
    team_and_release: tuple[Team, Release], failed: Release
) -> None:
    team, _ = team_and_release
    assert "every station voted for it" in page(browser(team.manager), failed)
    go_green(failed)
    text = page(browser(team.manager), failed)
    assert "the evidence changed since it was given" in text
    assert reverse("releases:window", args=[failed.pk]) in text
    assert reverse("checks:deploy", args=[failed.pk]) not in text


@pytest.mark.campaign
def test_after_a_deploy_that_stopped_people_vote_anew_from_the_board_and_the_retry_goes_through(
    team_and_release: tuple[Team, Release], failed: Release
) -> None:
    team, _ = team_and_release
    go_green(failed)
    with pytest.raises(GateClosed, match="the evidence changed"), transaction.atomic():
        deploys.authorise_deploy(release=failed, actor=team.manager)
    address = reverse("releases:vote", args=[failed.pk])
    for station, approver in team.approvers.items():
        client = browser(approver)
        assert f'href="{address}"' in page(client, failed)
        assert "1 waits for you" in client.get(reverse("releases:waiting")).content.decode()
        facts = {"station": station, "choice": "go", "comment": "", "manifest_digest": evaluate(failed).digest}
        assert client.post(address, facts).status_code == 302
        assert client.get(reverse("releases:waiting")).content.decode().strip() == ""
    assert "3 of 3" in page(browser(team.viewer), failed)
    with transaction.atomic():
        deploys.authorise_deploy(release=failed, actor=team.manager)
    failed.refresh_from_db()
    assert failed.state == ReleaseState.DEPLOYING


def test_after_a_deploy_by_break_glass_that_stopped_votes_can_be_asked_for(
    team_and_release: tuple[Team, Release], failed: Release
) -> None:
    team, _ = team_and_release
    Release.objects.filter(pk=failed.pk).update(poll_opened_at=None)
    client = browser(team.manager)
    address = reverse("releases:open_poll", args=[failed.pk])
    assert f'action="{address}"' in page(client, failed)
    client.post(address)
    failed.refresh_from_db()
    assert failed.poll_opened_at is not None


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


def test_its_runs_are_a_part_of_it_and_without_scripts_a_page(team_and_release: tuple[Team, Release]) -> None:
    team, release = team_and_release
    client, address = browser(team.engineer), reverse("checks:release_panel", args=[release.pk])
    assert f'hx-get="{address}"' in page(client, release)
    assert "<html" not in client.get(address, headers={"HX-Request": "true"}).content.decode()
    assert "<html" in client.get(address).content.decode()


@pytest.mark.parametrize(
    ("state", "words"),
    [(ReleaseState.LIVE, "went live in production"), (ReleaseState.WATCHING, "is watched before it is called live"),
     (ReleaseState.ROLLED_BACK, "The previous build runs again"), (ReleaseState.CANCELLED, "never goes live")],
)  # fmt: skip
def test_once_the_gate_is_not_asked_any_more_it_says_where_a_release_stands(
    team_and_release: tuple[Team, Release], state: ReleaseState, words: str
) -> None:
    _, release = team_and_release
    release.state = state
    assert words in standing(release)


def test_a_cancelled_release_has_a_board_without_a_gate(team_and_release: tuple[Team, Release]) -> None:
    team, release = team_and_release
    releases.cancel(release=release, actor=team.manager, reason="Another build takes its place.")
    text = page(browser(team.viewer), release)
    assert "It was cancelled and never goes live" in text
    assert 'id="blockers"' not in text


def test_what_blocks_beyond_nine_is_folded_and_none_of_it_is_left_out(
    team_and_release: tuple[Team, Release],
) -> None:
    team, release = team_and_release
    blockers = evaluate(release).blockers
    assert len(blockers) > 9
    text = page(browser(team.viewer), release)
    assert f"and {len(blockers) - 7} more" in text
    assert all(escape(blocker.title) in text for blocker in blockers)


def test_votes_are_asked_for_once_the_window_is_known(team_and_release: tuple[Team, Release]) -> None:
    team, release = team_and_release
    address = reverse("releases:open_poll", args=[release.pk])
    assert "Once the window is scheduled" in page(browser(team.manager), release)
    schedule(release, team.manager)
    text = page(browser(team.manager), release)
    assert f'action="{address}"' in text
    assert "Once the window is scheduled" not in text


def test_only_who_may_start_a_run_is_offered_one(team_and_release: tuple[Team, Release]) -> None:
    team, release = team_and_release
    menu = reverse("checks:start_menu", args=[release.pk])
    launch = reverse("checks:launch", args=[release.pk, "checks.backup"])
    assert launch in browser(team.engineer).get(menu).content.decode()
    text = browser(team.viewer).get(menu).content.decode()
    assert launch not in text
    assert "You can look, not start." in text
    assert "disabled" in browser(team.viewer).get(launch).content.decode()
