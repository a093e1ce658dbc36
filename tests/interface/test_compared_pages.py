"""The pages of comparisons with the last release, made for real: a server that got slower, a suite with its history.

Set PICTURES to a folder to get a picture of each.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.db import connections
from django.urls import reverse
from playwright.sync_api import Page
from pytest_django.live_server_helper import LiveServer

from checks.models import Run
from releases.models import User
from tests.engine.support import log_text, run_section
from tests.factories import make_team
from tests.interface.browser import Complaints, show_each_look
from tests.interface.conftest import OpenPage
from tests.interface.test_pages import faults, log_in, picture
from tests.kinds_deploy.local_server import LocalServer, Reply, serving
from tests.kinds_deploy.test_compare_suites import COVERAGE, Suite
from tests.kinds_load.test_compare_with_last import installed, runs_in_last, with_last

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.campaign, pytest.mark.django_db(transaction=True)]

Made = tuple[Run, User]
BEFORE = {"/": 0.03, "/courses/": 0.05, "/courses/what-money-is/lessons/1/": 0.08}
NOW = BEFORE | {"/courses/": 0.085}


def replies(delays: dict[str, float]) -> dict[str, Reply]:
    return {path: Reply(delay=delay) for path, delay in delays.items()}


def slower_release(server: LocalServer, last: LocalServer) -> Made:
    """Short runs that take turns, on this release and on the last; one of three addresses became slower."""
    requests = [{"path": path} for path in BEFORE]
    application = with_last(server, last, requests=requests, hold="8s", steps=[2, 4], compare={"load": 6})
    runs_in_last(application, "1", "1" * 64)
    run = run_section(application, "checks.load", release=installed("2", application))
    assert run.state == "failed", log_text(run) + run.error
    return run, make_team(application).manager


def suite_with_history(folder: Path) -> Made:
    """A release that went before, then one whose build was tested four times; a test changed its mind in between."""
    suite = Suite(folder, least_coverage=60)
    before, now = suite.release(), suite.release()
    usual = {f"test_page_{number}": 0.05 for number in range(40)}
    first = {**usual, "test_the_cart_keeps_its_items": 0.2, "test_an_invoice_has_a_number": 0.3, "test_old_import": 0.1}
    suite.run(before, COVERAGE, **first, test_prices_are_rounded=0.4, test_mail_is_sent=0.2)
    second = {**usual, "test_the_cart_keeps_its_items": 0.2, "test_mail_is_sent": "skipped", "test_vouchers": 0.1}
    for cart in (0.2, "failed", 0.2):
        suite.run(now, COVERAGE, **{**second, "test_the_cart_keeps_its_items": cart}, test_prices_are_rounded=0.4)
    run = suite.run(
        now, COVERAGE, **second, test_an_invoice_has_a_number="failed", test_prices_are_rounded=2.6
    )  # fmt: skip
    assert run.result["compared"]["counts"] | {"added": 0} == {
        "new_failures": 1, "gone": 1, "not_run": 1, "slower": 1, "flaky": 1, "added": 0,
    }  # fmt: skip
    return run, make_team(suite.application).manager


def made_aside(make: Callable[[], Made]) -> Made:
    """In a thread of its own: runs need one without the browser's event loop."""

    def work() -> Made:
        try:
            return make()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work).result()


@pytest.fixture
def servers() -> Iterator[tuple[LocalServer, LocalServer]]:
    with serving(replies(NOW)) as server, serving(replies(BEFORE)) as last:
        yield server, last


def looked_at(page: Page, live_server: LiveServer, complaints: Complaints, made: Made, name: str) -> str:
    """The text of the run's page, which has no faults in either look."""
    run, person = made
    log_in(page, live_server, person)
    complaints.texts.clear()
    page.goto(live_server.url + reverse("checks:run_detail", args=[run.number]))
    page.wait_for_function("window.htmx !== undefined")
    page.wait_for_timeout(200)
    found = {}
    for width in show_each_look(page):
        picture(page, f"{name}-{width}")
        if wrong := faults(page, width, complaints):
            found[width] = wrong
    assert found == {}
    return page.inner_text("main")


def test_a_release_that_became_slower_says_where_and_by_how_much(
    live_server: LiveServer, open_page: OpenPage, complaints: Complaints, storage_folder: Path,
    servers: tuple[LocalServer, LocalServer],
) -> None:  # fmt: skip
    made = made_aside(lambda: slower_release(*servers))
    text = looked_at(open_page(f"{live_server.url}/healthz"), live_server, complaints, made, "slower-release")
    assert "Slower than the last release: /courses/ +" in text


def test_the_history_of_a_suite_can_be_read(
    live_server: LiveServer, open_page: OpenPage, complaints: Complaints, storage_folder: Path, tmp_path: Path
) -> None:
    made = made_aside(lambda: suite_with_history(tmp_path))
    text = looked_at(open_page(f"{live_server.url}/healthz"), live_server, complaints, made, "suite-history")
    assert "Passed in one run and failed in another, of the same build." in text
