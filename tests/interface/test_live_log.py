"""The log of a run in a real browser: no line missing, doubled or out of order."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.template import Context, Template
from django.test import RequestFactory
from django.utils.safestring import mark_safe
from playwright.sync_api import Page, expect

from tests.interface.browser import Complaints
from tests.interface.conftest import OpenPage
from tests.interface.scripted_stream import ScriptedStream
from tests.interface.test_live_parts import HIDE
from tests.platform.runner import eventually

pytestmark = pytest.mark.browser

VALUES = (
    'lines_html=html attempt=attempt last=last first=1 stream_url=stream_url most=most lines_url="/lines" sealed=sealed'
)
PAGE = (
    '{% extends "base.html" %}{% block title %}Run{% endblock %}'
    '{% block main %}<p id="head" hx-get="/part/head" hx-trigger="live" data-live-refresh="state">as it was</p>'
    '<p id="bar" hx-get="/part/bar" hx-trigger="live" data-live-refresh="state progress">as it was</p>'
    f'{{% include "components/log.html" with {VALUES} only %}}{{% endblock %}}'
)


@pytest.fixture
def server() -> Iterator[ScriptedStream]:
    with ScriptedStream() as scripted:
        yield scripted


@pytest.fixture
def open_log(server: ScriptedStream, open_page: OpenPage) -> Callable[..., Page]:
    """Open a page that already shows the lines written so far, and wait until it listens."""

    def open_one(
        hash_: str = "", *, live: bool = True, most: int | None = None, attempt: int = 1, **options: Any
    ) -> Page:
        request = RequestFactory().get("/log")
        request.user = AnonymousUser()
        last = len(server.texts)
        context = {
            "request": request,
            "html": mark_safe(server.lines(1, last)),  # noqa: S308 - rendered by the program itself
            "last": last,
            "stream_url": "/stream" if live else "",
            "sealed": None if live else last,
            "most": most,
            "attempt": attempt,
        }
        server.pages["log"] = Template(PAGE).render(Context(context))
        page = open_page(f"{server.url}/log{hash_}", **options)
        if live and options.get("scripts", True):
            expect(page.locator("[data-log-state]")).to_have_text("Live")
        return page

    return open_one


def numbers(page: Page) -> list[int]:
    found: list[int] = page.evaluate(
        "[...document.querySelectorAll('.log .line')].map((line) => Number(line.dataset.n))"
    )
    return found


def wait_for_line(page: Page, number: int) -> None:
    page.wait_for_selector(f"#L{number}", state="attached")


def lines(count: int, *, since: int = 1) -> list[str]:
    return [f"line {number}" for number in range(since, since + count)]


def test_lines_come_as_they_are_printed(server: ScriptedStream, open_log: Callable[..., Page]) -> None:
    server.write(*lines(3))
    page = open_log()
    server.write(*lines(2, since=4))
    server.send(4, 5)
    wait_for_line(page, 5)
    assert numbers(page) == [1, 2, 3, 4, 5]
    assert server.asked == ["1:3"]


def test_lines_that_come_twice_are_shown_once(server: ScriptedStream, open_log: Callable[..., Page]) -> None:
    server.write(*lines(3))
    page = open_log()
    server.write(*lines(4, since=4))
    server.send(4, 5)
    server.send(2, 6)
    server.send(5, 7)
    wait_for_line(page, 7)
    assert numbers(page) == list(range(1, 8))
    assert server.filled == []


@pytest.mark.campaign
def test_a_gap_is_fetched_before_anything_after_it_is_shown(
    server: ScriptedStream, open_log: Callable[..., Page]
) -> None:
    server.write(*lines(3))
    page = open_log()
    server.write(*lines(7, since=4))
    server.send(9, 10)
    wait_for_line(page, 10)
    assert numbers(page) == list(range(1, 11))
    assert server.filled == ["1:3"]


@pytest.mark.campaign
def test_a_gap_that_cannot_be_fetched_is_replayed_by_the_stream(
    server: ScriptedStream, open_log: Callable[..., Page]
) -> None:
    server.write(*lines(3))
    page = open_log()
    server.refuses_lines = True
    server.write(*lines(7, since=4))
    server.send(9, 10)
    wait_for_line(page, 10)
    assert numbers(page) == list(range(1, 11))
    assert server.asked == ["1:3", "1:3"]


def test_a_lost_connection_goes_on_after_the_last_line(server: ScriptedStream, open_log: Callable[..., Page]) -> None:
    server.write(*lines(2))
    page = open_log()
    server.write(*lines(2, since=3))
    server.send(3, 4)
    wait_for_line(page, 4)
    server.drop()
    server.write(*lines(3, since=5))
    wait_for_line(page, 7)
    assert numbers(page) == list(range(1, 8))
    assert server.asked == ["1:2", "1:4"]


def test_a_thousand_lines_in_many_pieces_stay_in_order(server: ScriptedStream, open_log: Callable[..., Page]) -> None:
    page = open_log()
    for first in range(1, 1001, 8):
        server.write(*lines(8, since=first))
        server.send(first, first + 7)
        if first % 200 == 1:
            server.drop()
    wait_for_line(page, 1000)
    assert numbers(page) == list(range(1, 1001))


def test_the_end_is_sealed_with_the_number_of_lines(server: ScriptedStream, open_log: Callable[..., Page]) -> None:
    server.write(*lines(3))
    page = open_log()
    server.seal()
    expect(page.locator("[data-log-sealed]")).to_have_text("sealed at 3 lines")
    expect(page.locator("[data-log-state]")).to_have_text("Ended")
    page.wait_for_timeout(500)
    assert server.asked == ["1:3"]


def test_lines_missing_at_the_seal_are_fetched(server: ScriptedStream, open_log: Callable[..., Page]) -> None:
    server.write(*lines(3))
    page = open_log()
    server.write(*lines(2, since=4))
    server.seal()
    wait_for_line(page, 5)
    assert numbers(page) == [1, 2, 3, 4, 5]


def test_another_attempt_begins_from_its_first_line(server: ScriptedStream, open_log: Callable[..., Page]) -> None:
    server.write(*lines(3))
    page = open_log()
    server.attempt, server.texts = 2, ["again 1", "again 2"]
    server.send(1, 2)
    expect(page.locator("#L2 .t")).to_have_text("again 2")
    assert numbers(page) == [1, 2]
    expect(page.locator(".log .break")).to_contain_text("Attempt 2 begins. The lines of attempt 1 are kept")


def test_the_first_attempt_of_a_run_that_was_queued_begins_without_a_word(
    server: ScriptedStream, open_log: Callable[..., Page]
) -> None:
    page = open_log(attempt=0)
    server.write("first")
    server.send(1, 1)
    expect(page.locator("#L1 .t")).to_have_text("first")
    expect(page.locator(".log .break")).to_have_count(0)


def test_scrolling_up_ends_following_and_scrolling_down_begins_it(
    server: ScriptedStream, open_log: Callable[..., Page]
) -> None:
    server.write(*lines(200))
    page = open_log()
    follow = page.get_by_label("Follow")
    expect(follow).to_be_checked()
    view = page.locator("[data-log-view]")
    view.hover()
    page.mouse.wheel(0, -900)
    expect(follow).not_to_be_checked()
    before = view.evaluate("(element) => element.scrollTop")
    server.write(*lines(50, since=201))
    server.send(201, 250)
    wait_for_line(page, 250)
    assert view.evaluate("(element) => element.scrollTop") == before
    page.mouse.wheel(0, 20_000)
    expect(follow).to_be_checked()


def test_following_keeps_the_last_line_in_sight(server: ScriptedStream, open_log: Callable[..., Page]) -> None:
    server.write(*lines(100))
    page = open_log()
    server.write(*lines(100, since=101))
    server.send(101, 200)
    wait_for_line(page, 200)
    expect(page.locator("#L200")).to_be_in_viewport()


def test_words_are_found_counted_and_walked_through(server: ScriptedStream, open_log: Callable[..., Page]) -> None:
    server.write("start", "Slow query", "fine", "another SLOW one, slow indeed")
    page = open_log()
    page.keyboard.press("/")
    page.keyboard.type("slow")
    matches = page.locator("[data-log-matches]")
    expect(matches).to_have_text("– of 3")
    page.keyboard.press("Enter")
    expect(matches).to_have_text("1 of 3")
    expect(page.locator(".line.found")).to_have_attribute("id", "L2")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    expect(matches).to_have_text("3 of 3")
    page.keyboard.press("Shift+Enter")
    expect(matches).to_have_text("2 of 3")
    server.write("slow again")
    server.send(5, 5)
    expect(matches).to_have_text("2 of 4")


def test_a_step_taken_before_the_search_has_settled_is_kept(
    server: ScriptedStream, open_log: Callable[..., Page]
) -> None:
    """The search waits for the end of the typing; who is quicker walks through what was found, and stays there."""
    server.write("start", "Slow query", "fine", "another SLOW one, slow indeed")
    page = open_log()
    page.clock.install()
    page.clock.pause_at(page.evaluate("Date.now() + 1000"))
    page.keyboard.press("/")
    page.keyboard.type("slow")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    matches = page.locator("[data-log-matches]")
    expect(matches).to_have_text("2 of 3")
    page.clock.fast_forward(1000)
    page.keyboard.press("Shift+Enter")
    expect(matches).to_have_text("1 of 3")


def test_a_link_to_lines_marks_them_and_does_not_follow(server: ScriptedStream, open_log: Callable[..., Page]) -> None:
    server.write(*lines(300))
    page = open_log("#L40-L42")
    marked = page.evaluate("[...document.querySelectorAll('.marked')].map((line) => line.id)")
    assert marked == ["L40", "L41", "L42"]
    expect(page.locator("#L41")).to_be_in_viewport()
    expect(page.get_by_label("Follow")).not_to_be_checked()


def test_shift_and_a_click_mark_a_range(server: ScriptedStream, open_log: Callable[..., Page]) -> None:
    server.write(*lines(9))
    page = open_log()
    page.locator("#L3 .n").click()
    page.locator("#L6 .n").click(modifiers=["Shift"])
    assert page.url.endswith("#L3-L6")
    expect(page.locator(".marked")).to_have_count(4)  # the browser tells of a new fragment a moment later


def test_it_says_when_the_last_line_came(server: ScriptedStream, open_log: Callable[..., Page]) -> None:
    page = open_log()
    server.write("one")
    server.send(1, 1)
    expect(page.locator("[data-log-heard]")).to_have_text(re.compile(r"last line \d\.\d s ago"))


def test_very_long_logs_keep_a_bounded_page_and_say_so(server: ScriptedStream, open_log: Callable[..., Page]) -> None:
    page = open_log(most=1000)
    server.write(*lines(2400))
    for first in range(1, 2401, 300):
        server.send(first, first + 299)
    wait_for_line(page, 2400)
    shown = numbers(page)
    assert shown == list(range(shown[0], 2401))
    assert len(shown) <= 1000
    expect(page.locator("[data-log-older]")).to_contain_text("are kept but no longer on this page")


def test_without_scripts_the_page_shows_the_same_lines(server: ScriptedStream, open_log: Callable[..., Page]) -> None:
    server.write("first", "second")
    page = open_log(scripts=False)
    assert page.locator(".log .line .t").all_inner_texts() == ["first", "second"]
    expect(page.get_by_text("Reload the page to see newer lines.")).to_be_visible()
    expect(page.get_by_label("Find in log")).not_to_be_visible()


@pytest.mark.campaign
def test_a_finished_log_opens_no_stream(server: ScriptedStream, open_log: Callable[..., Page]) -> None:
    server.write("first", "second")
    page = open_log(live=False)
    expect(page.get_by_text("sealed at 2 lines")).to_be_visible()
    page.wait_for_timeout(300)
    assert server.asked == []


def test_nothing_in_a_line_is_run(
    server: ScriptedStream, open_log: Callable[..., Page], complaints: Complaints
) -> None:
    page = open_log()
    server.write("<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>")
    server.send(1, 1)
    wait_for_line(page, 1)
    page.wait_for_timeout(200)
    assert "taken" not in page.title()
    assert page.locator(".log img, .log script").count() == 0
    assert complaints.texts == []


def test_parts_that_show_the_state_of_the_run_are_fetched_when_it_changes(
    server: ScriptedStream, open_log: Callable[..., Page]
) -> None:
    server.pages["part-head"] = "fetched COUNT"
    page = open_log()
    server.ring("state", '{"state": "running"}')
    expect(page.locator("#head")).to_have_text("fetched 1")
    server.seal()
    expect(page.locator("#head")).to_have_text("fetched 2")


def test_parts_that_show_the_state_alone_are_left_in_peace_while_a_step_goes_on(
    server: ScriptedStream, open_log: Callable[..., Page]
) -> None:
    server.pages["part-head"] = server.pages["part-bar"] = "fetched COUNT"
    page = open_log()
    server.ring("progress", '{"state": "running"}')
    expect(page.locator("#bar")).to_have_text("fetched 1")
    page.wait_for_timeout(500)
    expect(page.locator("#head")).to_have_text("as it was")


def test_the_state_is_asked_for_again_after_a_lost_connection(
    server: ScriptedStream, open_log: Callable[..., Page]
) -> None:
    server.pages["part-head"] = "fetched COUNT"
    page = open_log()
    server.drop()
    expect(page.locator("#head")).to_have_text("fetched 1")


def test_a_log_that_nobody_sees_gives_its_connection_back_and_goes_on_where_it_was(
    server: ScriptedStream, open_log: Callable[..., Page]
) -> None:
    server.write(*lines(3))
    page = open_log()
    page.clock.install()
    page.evaluate(HIDE, False)
    page.clock.fast_forward(11_000)
    eventually(lambda: server.watchers == 0)
    server.write(*lines(2, since=4))
    server.send(4, 5)
    page.evaluate(HIDE, True)
    wait_for_line(page, 5)
    assert numbers(page) == [1, 2, 3, 4, 5]
    assert server.asked == ["1:3", "1:3"]
