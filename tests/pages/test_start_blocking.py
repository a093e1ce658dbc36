"""Running again, from the board, what blocks."""

import pytest
from django.test import Client
from django.urls import reverse

from checks.models import Run
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
