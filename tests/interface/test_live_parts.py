"""Parts of a page that keep themselves true: they are fetched anew when the server rings."""

from collections.abc import Callable, Iterator

import pytest
from django.contrib.auth.models import AnonymousUser
from django.template import Context, Template
from django.test import RequestFactory
from playwright.sync_api import Page, expect

from tests.interface.conftest import OpenPage
from tests.interface.scripted_stream import ScriptedStream
from tests.platform.runner import eventually

pytestmark = pytest.mark.browser

PART = """<section id="{name}" hx-get="/part/{name}" hx-trigger="live" hx-swap="outerHTML" data-live-refresh="{events}">
<h2>{name} COUNT</h2><label>Note <input name="note"></label>
<details id="more-{name}"><summary>More</summary><p>inside</p></details></section>"""
INDICATOR = '<span class="live-state" data-live-indicator role="status" hidden></span>'


@pytest.fixture
def server() -> Iterator[ScriptedStream]:
    with ScriptedStream() as scripted:
        yield scripted


@pytest.fixture
def open_parts(server: ScriptedStream, open_page: OpenPage) -> Callable[[], Page]:
    def open_one() -> Page:
        for name, events in (("stations", "run evidence"), ("poll", "vote")):
            server.pages[f"part-{name}"] = PART.format(name=name, events=events)
        parts = "".join(server.pages[f"part-{name}"].replace("COUNT", "0") for name in ("stations", "poll"))
        source = (
            '{% extends "base.html" %}{% block main_attributes %}data-live="/stream"{% endblock %}'
            f"{{% block main %}}{INDICATOR}{parts}{{% endblock %}}"
        )
        request = RequestFactory().get("/board")
        request.user = AnonymousUser()
        server.pages["board"] = Template(source).render(Context({"request": request}))
        page = open_page(f"{server.url}/board")
        expect(page.get_by_role("status")).to_have_text("Live")
        return page

    return open_one


def heading(page: Page, name: str) -> str:
    return page.locator(f"#{name} h2").inner_text()


def test_an_event_fetches_only_the_parts_that_show_it(server: ScriptedStream, open_parts: Callable[[], Page]) -> None:
    page = open_parts()
    server.ring("evidence")
    expect(page.locator("#stations h2")).to_have_text("stations 1")
    assert heading(page, "poll") == "poll 0"


def test_a_part_is_fetched_again_and_again(server: ScriptedStream, open_parts: Callable[[], Page]) -> None:
    page = open_parts()
    for count in (1, 2, 3):
        server.ring("vote")
        expect(page.locator("#poll h2")).to_have_text(f"poll {count}")


def test_many_events_at_once_fetch_once(server: ScriptedStream, open_parts: Callable[[], Page]) -> None:
    page = open_parts()
    for _ in range(20):
        server.ring("run")
    expect(page.locator("#stations h2")).not_to_have_text("stations 0")
    page.wait_for_timeout(600)
    assert server.parts["stations"] <= 2


@pytest.mark.campaign
@pytest.mark.parametrize("pause", [400, 600, 900])
def test_an_event_that_comes_while_a_part_is_fetched_is_not_lost(
    server: ScriptedStream, open_parts: Callable[[], Page], pause: int
) -> None:
    page = open_parts()
    server.part_takes = 0.5
    server.ring("vote")
    page.wait_for_timeout(pause)
    server.ring("vote")
    expect(page.locator("#poll h2")).to_have_text("poll 2")


def test_a_lost_connection_is_told_and_everything_is_fetched_when_it_is_back(
    server: ScriptedStream, open_parts: Callable[[], Page]
) -> None:
    page = open_parts()
    server.drop()
    expect(page.locator("#stations h2")).to_have_text("stations 1")
    expect(page.locator("#poll h2")).to_have_text("poll 1")
    expect(page.get_by_role("status")).to_have_text("Live")


def test_a_part_in_which_somebody_types_waits(server: ScriptedStream, open_parts: Callable[[], Page]) -> None:
    page = open_parts()
    page.locator("#poll input").fill("half a sentence")
    server.ring("vote")
    page.wait_for_timeout(600)
    assert page.locator("#poll input").input_value() == "half a sentence"
    assert heading(page, "poll") == "poll 0"
    page.locator("#stations input").focus()
    expect(page.locator("#poll h2")).to_have_text("poll 1")


@pytest.mark.campaign
def test_opened_details_stay_open(server: ScriptedStream, open_parts: Callable[[], Page]) -> None:
    page = open_parts()
    page.locator("#stations summary").click()
    server.ring("run")
    expect(page.locator("#stations h2")).to_have_text("stations 1")
    expect(page.locator("#stations details p")).to_be_visible()


def test_whoever_walks_by_keyboard_stays_where_they_were(
    server: ScriptedStream, open_parts: Callable[[], Page]
) -> None:
    page = open_parts()
    page.locator("#poll summary").focus()
    server.ring("vote")
    expect(page.locator("#poll h2")).to_have_text("poll 1")
    expect(page.locator("#poll summary")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    expect(page.locator("#poll input")).to_be_focused()


def test_a_part_inside_of_another_is_kept_as_it_stands(server: ScriptedStream, open_parts: Callable[[], Page]) -> None:
    page = open_parts()
    page.evaluate("""() => {
        const inner = document.createElement("div");
        inner.id = "inner";
        inner.textContent = "newest runs";
        document.querySelector("#stations").append(inner);
    }""")
    server.pages["part-stations"] = server.pages["part-stations"].replace(
        "</section>", '<div id="inner" hx-preserve="true">to be loaded</div></section>'
    )
    server.ring("run")
    expect(page.locator("#stations h2")).to_have_text("stations 1")
    expect(page.locator("#inner")).to_have_text("newest runs")


def test_a_message_names_its_event_in_the_data(server: ScriptedStream, open_parts: Callable[[], Page]) -> None:
    page = open_parts()
    server.ring("message", "vote")
    expect(page.locator("#poll h2")).to_have_text("poll 1")


HIDE = """seen => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => !seen });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def test_a_tab_that_nobody_sees_gives_its_connection_back_and_is_true_again_when_seen(
    server: ScriptedStream, open_parts: Callable[[], Page]
) -> None:
    """A browser grants six connections to a site; seven boards in seven tabs would stop everything."""
    page = open_parts()
    page.clock.install()
    page.evaluate(HIDE, False)
    page.clock.fast_forward(5_000)
    server.ring("evidence")
    expect(page.locator("#stations h2")).to_have_text("stations 1")
    page.clock.fast_forward(6_000)
    eventually(lambda: server.watchers == 0)
    server.ring("vote")
    assert heading(page, "poll") == "poll 0"
    page.evaluate(HIDE, True)
    expect(page.locator("#poll h2")).to_have_text("poll 1")
    server.ring("vote")
    expect(page.locator("#poll h2")).to_have_text("poll 2")
