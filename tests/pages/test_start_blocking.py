"""Running again, from the board, what blocks."""

import re

import pytest
from django.test import Client
from django.urls import reverse

from checks import page_queries, services
from checks.models import Run
from releases.domain import environment as environments
from releases.enums import Role
from releases.models import Release
from tests.engine.support import check
from tests.factories import Team, go_green, make_application, make_release, make_team, member
from tests.pages.test_open_pages import browser

pytestmark = pytest.mark.django_db
BUTTON = "what blocks</button>"


@pytest.fixture
def team_and_release() -> tuple[Team, Release]:
    tests = {"command": {"argv": ["true"]}, "reports": ["junit.xml"]}
    plan = {
        "checks": {
            "unit": check("suite", params=tests),
            "smoke": check("smoke"),
            "backup": check("backup", "production"),
        }
    }
    application = make_application(plan=plan)
    team = make_team(application)
    return team, make_release(application=application, requester=team.manager)


def press(client: Client, release: Release) -> str:
    """Press the button; the text of the board that comes back."""
    answer = client.post(reverse("checks:start_blocking", args=[release.pk]), follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


def test_it_starts_every_check_that_blocks_and_tells_of_the_rest_why_not(
    team_and_release: tuple[Team, Release],
) -> None:
    team, release = team_and_release
    page = press(browser(team.engineer), release)
    assert set(Run.objects.values_list("section", flat=True)) == {"checks.unit", "checks.backup"}
    assert "Started #" in page
    assert "Deploy it there first. Nothing was started." in page  # the smoke test judges what staging runs


def test_it_starts_nothing_twice(team_and_release: tuple[Team, Release]) -> None:
    team, release = team_and_release
    client = browser(team.engineer)
    press(client, release)
    before = Run.objects.count()
    assert "Started #" not in press(client, release)
    assert Run.objects.count() == before


def test_where_nothing_blocks_there_is_no_button_and_nothing_starts(team_and_release: tuple[Team, Release]) -> None:
    team, release = team_and_release
    client = browser(team.engineer)
    assert BUTTON in client.get(reverse("releases:release", args=[release.pk])).content.decode()
    go_green(release)
    assert BUTTON not in client.get(reverse("releases:release", args=[release.pk])).content.decode()
    assert "Nothing was started." in press(client, release)
    assert not Run.objects.exists()


@pytest.mark.parametrize("role", [Role.VIEWER, Role.AUDITOR])
def test_whoever_may_start_nothing_is_refused(team_and_release: tuple[Team, Release], role: Role) -> None:
    _, release = team_and_release
    client = browser(member(release.application, role))
    assert BUTTON not in client.get(reverse("releases:release", args=[release.pk])).content.decode()
    press(client, release)
    assert not Run.objects.exists()


BEFORE = "Every form and address that is found is sent many times with made-up values"


@pytest.fixture
def with_active_scan() -> tuple[Team, Release]:
    plan = {"checks": {"backup": check("backup", "production"), "audit": check("audit", params={"web": {}})}}
    application = make_application(plan=plan)
    team = make_team(application)
    release = make_release(application=application, requester=team.manager)
    staging = release.source_environment
    environments.build_running(
        environment=staging, release=release, version=release.version, build_digest=release.build_digest
    )
    return team, release


def test_what_leaves_something_behind_is_started_from_a_page_that_says_so(
    with_active_scan: tuple[Team, Release],
) -> None:
    team, release = with_active_scan
    client = browser(team.engineer)
    page = press(client, release)
    assert not Run.objects.exists()
    assert BEFORE in page
    assert "Nothing was started yet." in page
    address = reverse("checks:start_blocking", args=[release.pk])
    read = re.findall(r'name="read" value="([^"]+)"', page)
    assert read == [f"{release.plan_version.number} checks.audit"]
    # What was read of another plan was not read.
    assert BEFORE in client.post(address, {"read": ["7 checks.audit"], "choice": "all"}).content.decode()
    assert not Run.objects.exists()
    client.post(address, {"read": read, "choice": "all"})
    assert set(Run.objects.values_list("section", flat=True)) == {"checks.audit", "checks.backup"}


def test_the_others_can_be_started_without_it(with_active_scan: tuple[Team, Release]) -> None:
    team, release = with_active_scan
    client = browser(team.engineer)
    assert 'value="quiet"' in press(client, release)
    client.post(reverse("checks:start_blocking", args=[release.pk]), {"choice": "quiet"})
    assert [run.section for run in Run.objects.all()] == ["checks.backup"]


def test_one_run_again_and_one_click_say_it_too(with_active_scan: tuple[Team, Release]) -> None:
    team, release = with_active_scan
    client = browser(team.engineer)
    planned = client.post(reverse("checks:start_planned", args=[release.pk, "checks.audit"]), follow=True)
    assert BEFORE in planned.content.decode()
    assert not Run.objects.exists()
    client.post(reverse("checks:launch", args=[release.pk, "checks.audit"]), {})
    run = Run.objects.get()
    services.cancel_run(run=run, actor=team.engineer)
    address = reverse("checks:retry", args=[run.number])
    assert BEFORE in client.post(address).content.decode()
    assert Run.objects.count() == 1
    client.post(address, {"read": "yes"})
    assert Run.objects.count() == 2
    # What leaves nothing behind needs no second click.
    client.post(reverse("checks:start_blocking", args=[release.pk]), {"choice": "quiet"})
    backup = Run.objects.get(section="checks.backup")
    services.cancel_run(run=backup, actor=team.engineer)
    client.post(reverse("checks:retry", args=[backup.number]))
    assert Run.objects.filter(section="checks.backup").count() == 2


def test_a_check_of_before_with_parameters_that_are_no_longer_accepted_is_shown_all_the_same() -> None:
    """Its plan was published by an older version; the start says what is wrong."""
    application = make_application(plan={"checks": {"audit": check("audit", params={})}})
    team = make_team(application)
    release = make_release(application=application, requester=team.engineer)
    (offered,) = page_queries.startable(release)
    assert "Deploy" in offered.refusal
