"""Pages of a release that really went live: no barriers for anybody, no sideways scrolling on a phone, nothing refused.

Each page is looked at wide and light, and as wide as a phone and dark. Pages with rows made by hand are looked at in
tests/interface/test_pages.py.
"""

import pytest
from playwright.sync_api import expect

from tests.browser.journey import Journey

# The first of them walks the whole journey up to the place that it asks for.
pytestmark = [pytest.mark.browser, pytest.mark.campaign, pytest.mark.timeout(1800)]

#: Page -> who looks at it and where; RELEASE and START stand for the addresses of the release.
PAGES = {
    "the acceptance cases": ("engineer", "RELEASE/acceptance/"),
    "a case that was walked": ("engineer", "RELEASE/acceptance/lesson/"),
    "what one signs": ("security", "RELEASE/vote/"),
    "runs to start": ("engineer", "START/start"),
    "starting the tests": ("engineer", "START/start/checks.tests"),
    "rolling back": ("manager", "START/rollback"),
    "a new plan": ("administrator", "/runs/plans/thinkincoin/new"),
}
CHECKS = ["tests", "smoke", "backup", "drill", "migration", "rollback"]


@pytest.mark.parametrize("name", ["board, approved", "board, watching", "board, rolled back", "run of the deploy"])
def test_a_page_of_a_passing_moment_has_no_barriers(journey: Journey, name: str) -> None:
    journey.reach("rolled_back")
    assert journey.faults[name] == []


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_no_barriers(journey: Journey, name: str) -> None:
    journey.reach("live")
    role, path = PAGES[name]
    release = journey.release.removeprefix(journey.stack.address).rstrip("/")
    start = release.replace("/releases/", "/runs/release/")
    page = journey.page(role)
    answer = page.goto(journey.stack.address + path.replace("RELEASE", release).replace("START", start))
    assert answer is not None
    assert answer.status == 200
    journey.inspect(name, page)
    assert journey.faults[name] == []


@pytest.mark.parametrize("check", CHECKS)
def test_the_run_of_a_check_has_no_barriers(journey: Journey, check: str) -> None:
    journey.reach("live")
    page = journey.page("viewer")
    section = check if check == "rollback" else f"checks.{check}"
    found = page.request.get(f"{journey.stack.address}/runs/?format=json&q={section}").json()
    page.goto(f"{journey.stack.address}/runs/{found[0]['number']}/")
    expect(page.locator("#run-head .pill")).to_have_text("Passed")
    expect(page.locator("#run-figures")).to_be_visible()
    journey.inspect(check, page)
    assert journey.faults[check] == []
