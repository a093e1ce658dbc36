"""The list of runs in the API tells what the page of all runs tells; what a run found is told of that run alone."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from checks.models import Run
from releases.models import Application
from tests.engine.support import application_with, check, start
from tests.factories import make_team

pytestmark = pytest.mark.django_db


@pytest.fixture
def application() -> Application:
    return application_with({"command": check("test_command")})


@pytest.fixture
def browser(application: Application) -> Client:
    client = Client()
    client.force_login(make_team(application).engineer, backend="django.contrib.auth.backends.ModelBackend")
    return client


def made(application: Application, count: int) -> list[Run]:
    runs = [start(application, "checks.command") for _ in range(count)]
    Run.objects.update(result={"rows": ["much"] * 1000})
    return runs


def test_a_run_of_the_list_comes_without_its_result_and_by_itself_with_it(
    application: Application, browser: Client
) -> None:
    (run,) = made(application, 1)
    (listed,) = browser.get("/api/runs").json()
    assert (listed["number"], listed["state"], listed["kind"]) == (run.number, "queued", "test_command")
    assert not {"result", "progress", "steps", "waits_for"} & listed.keys()
    whole = browser.get(f"/api/runs/{run.number}").json()
    assert whole["result"]["rows"] == ["much"] * 1000
    assert listed.items() <= whole.items()
    assert whole["steps"] == []


def test_a_longer_list_asks_no_more_queries(application: Application, browser: Client) -> None:
    made(application, 1)
    browser.get("/api/runs")
    asked = []
    for more in (0, 5):
        made(application, more)
        with CaptureQueriesContext(connection) as queries:
            browser.get("/api/runs")
        asked.append(len(queries))
    assert asked[0] == asked[1]
