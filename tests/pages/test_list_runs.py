"""Lists of runs do not fetch what only the page of one run shows."""

from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from checks.models import Run
from releases.models import Release
from tests.engine.support import check, start
from tests.factories import make_application, make_release, make_team
from tests.pages.test_open_pages import browser

pytestmark = pytest.mark.django_db

PAGES: dict[str, Callable[[Release, Run], str]] = {
    "list": lambda release, run: reverse("checks:run_list"),
    "spreadsheet": lambda release, run: reverse("checks:run_list") + "?format=csv",
    "board": lambda release, run: reverse("releases:release", args=[release.pk]),
    "panel": lambda release, run: f"/runs/release/{release.pk}/panel",
    "menu": lambda release, run: reverse("checks:start_menu", args=[release.pk]),
}


@pytest.mark.parametrize("page", PAGES)
def test_a_list_leaves_the_results_of_its_runs_where_they_are(page: str) -> None:
    tests = {"command": {"argv": ["true"]}, "reports": ["junit.xml"]}
    application = make_application(plan={"checks": {"unit": check("suite", params=tests)}})
    team = make_team(application)
    release = make_release(application=application, requester=team.manager)
    run = start(application, "checks.unit", release=release)
    client = browser(team.engineer)
    with CaptureQueriesContext(connection) as asked:
        answer = client.get(PAGES[page](release, run))
        content = b"".join(answer) if answer.streaming else answer.content
    assert answer.status_code == 200
    assert str(run.number) in content.decode()
    assert not [each["sql"] for each in asked if '"checks_run"."result"' in each["sql"]]
