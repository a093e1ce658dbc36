"""ThinkInCoin goes live, walked by clicking in a browser, as each role in turn, through the whole running program.

What is clicked and seen stands in chapters.py. Each test asks for the chapters it needs; each chapter is walked once.
"""

import httpx
import pytest
from playwright.sync_api import expect

from tests.browser.chapters import CHAPTERS
from tests.browser.journey import Journey

# The first of them walks the whole journey up to the place that it asks for.
pytestmark = [pytest.mark.browser, pytest.mark.campaign, pytest.mark.timeout(1800)]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_journey_is_walked(journey: Journey, chapter: str) -> None:
    journey.reach(chapter)


def test_a_stranger_sees_nothing(journey: Journey) -> None:
    journey.reach("rehearsing")
    journey.add_stranger()
    page = journey.page("stranger")
    page.goto(journey.stack.address)
    expect(page.locator("#main")).to_contain_text("No releases yet")
    expect(page.locator("body")).not_to_contain_text("ThinkInCoin")
    release = journey.release.removeprefix(journey.stack.address)
    for path in (release, f"{release}vote/", "/applications/thinkincoin/", "/runs/plans/thinkincoin/new"):
        answer = page.goto(journey.stack.address + path)
        assert answer is not None
        assert answer.status == 404, f"{path} answered {answer.status}"


def test_who_is_not_logged_in_is_asked_to_log_in(journey: Journey) -> None:
    journey.reach("rehearsing")
    answer = httpx.get(journey.release)
    assert answer.status_code == 302
    assert "/accounts/login/" in answer.headers["location"]


@pytest.mark.parametrize("role", ["viewer", "auditor"])
def test_who_only_reads_has_no_button_and_changes_nothing(journey: Journey, role: str) -> None:
    journey.reach("rehearsing")
    page = journey.board(role)
    expect(page.locator("#board")).to_be_visible()
    # Taking the evidence pack changes nothing but the ledger, which says who took it.
    expect(page.locator("#main form[method=post]:not([action$='/pack'])")).to_have_count(0)
    before = page.locator("#board h1").inner_text()
    token = page.evaluate("JSON.parse(document.body.getAttribute('hx-headers'))['X-CSRFToken']")
    release = journey.release.removeprefix(journey.stack.address)
    run = release.replace("/releases/", "/runs/release/")
    deeds = (f"{release}rehearse", f"{release}poll", f"{release}cancel/", f"{run}deploy", f"{run}start/checks.backup")
    runs = _runs(journey)
    for path in deeds:
        page.request.post(
            journey.stack.address + path,
            form={"csrfmiddlewaretoken": token, "reason": "I only read."},
            headers={"Referer": journey.release},
        )
    page.reload()
    assert page.locator("#board h1").inner_text() == before
    assert _runs(journey) == runs


def _runs(journey: Journey) -> int:
    page = journey.page("auditor")
    found = page.request.get(f"{journey.stack.address}/runs/?format=json").json()
    return len(found["runs"] if isinstance(found, dict) else found)
