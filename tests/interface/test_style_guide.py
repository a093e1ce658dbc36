"""The style guide is found by administrators only, is free of barriers, and fits on a phone and on paper."""

from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import AnonymousUser
from django.http import Http404, HttpRequest, HttpResponse
from django.test import RequestFactory, override_settings
from django.urls import path

from config.urls import urlpatterns as site
from releases.models import User
from releases.templatetags.interface import NAVIGATION
from releases.views.styleguide import styleguide
from tests.interface.browser import Complaints, barriers
from tests.interface.conftest import OpenPage


def shown(request: HttpRequest) -> HttpResponse:
    """The style guide as an administrator sees it; only the log-in is left out."""
    request.user = User(pk=1, email="mara@example.org", name="Mara Lind", is_superuser=True)
    return styleguide(request)


urlpatterns = [path("guide/", shown), *site]


@pytest.fixture
def guide(page_server: str) -> str:
    return f"{page_server}/guide/"


def ask(user: object) -> HttpResponse:
    request = RequestFactory().get("/styleguide/")
    request.user = user  # type: ignore[assignment]
    return styleguide(request)


@pytest.mark.parametrize(
    "user", [AnonymousUser(), User(email="a@example.org"), User(email="b@example.org", is_staff=True)]
)
def test_it_is_hidden_from_all_but_administrators(user: object) -> None:
    with pytest.raises(Http404):
        ask(user)


@pytest.mark.browser
@pytest.mark.urls("tests.interface.test_style_guide")
class TestInTheBrowser:
    @pytest.mark.parametrize(
        ("width", "scheme"), [pytest.param(1280, "light", marks=pytest.mark.campaign), (390, "dark")]
    )
    def test_it_has_no_barriers(self, guide: str, open_page: OpenPage, width: int, scheme: str) -> None:
        page = open_page(guide, width=width, scheme=scheme)
        # The contents of closed <details> would be measured where they are not.
        page.evaluate("document.querySelectorAll('main details').forEach((one) => { one.open = true })")
        assert barriers(page) == []

    @pytest.mark.parametrize("width", [390, 620, 860, 1900])
    def test_it_needs_no_sideways_scrolling(self, guide: str, open_page: OpenPage, width: int) -> None:
        page = open_page(guide, width=width)
        assert page.evaluate("document.documentElement.scrollWidth") == width

    def test_the_browser_refuses_nothing_on_it(self, guide: str, open_page: OpenPage, complaints: Complaints) -> None:
        page = open_page(guide)
        page.wait_for_function("window.htmx !== undefined")
        assert complaints.texts == []

    def test_every_part_of_the_navigation_is_there(self, guide: str, open_page: OpenPage) -> None:
        page = open_page(guide)
        links = page.get_by_role("navigation", name="Main").get_by_role("link")
        assert links.all_inner_texts() == [label for _, label, _, _ in NAVIGATION]
        assert page.locator("nav [aria-current=page]").first.inner_text() == "Releases"

    def test_on_paper_it_is_light_and_has_no_controls(self, guide: str, open_page: OpenPage) -> None:
        page = open_page(guide, scheme="dark")
        page.emulate_media(media="print")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert not page.locator("button:visible").count()
        assert page.get_by_text("No-go").first.is_visible()

    @pytest.mark.campaign
    def test_what_the_scripts_write_about_time_is_what_the_server_wrote(self, guide: str, open_page: OpenPage) -> None:
        plain = open_page(guide, scripts=False)
        words = plain.locator("dl.facts time[data-relative]").all_inner_texts()
        ticking = open_page(guide)
        ticking.wait_for_timeout(1200)
        assert ticking.locator("dl.facts time[data-relative]").all_inner_texts() == words


@pytest.mark.browser
@pytest.mark.urls("tests.interface.test_style_guide")
class TestKeys:
    @pytest.mark.campaign
    def test_a_question_mark_lists_the_keys(self, guide: str, open_page: OpenPage) -> None:
        page = open_page(guide)
        page.keyboard.press("?")
        dialog = page.get_by_role("dialog", name="Keyboard")
        assert "Monitoring" in dialog.inner_text()
        page.keyboard.press("Escape")
        assert not dialog.is_visible()

    def test_a_slash_goes_to_the_search(self, guide: str, open_page: OpenPage) -> None:
        page = open_page(guide)
        page.keyboard.press("/")
        assert page.evaluate("document.activeElement.type") == "search"
        page.keyboard.type("g r")
        assert page.url == guide
        assert page.locator(":focus").input_value() == "g r"

    def test_two_keys_lead_to_a_part(self, guide: str, open_page: OpenPage) -> None:
        page = open_page(guide)
        wanted = page.locator('[data-key="g k"]').first.get_attribute("href")
        with page.expect_request(lambda request: request.is_navigation_request()) as asked:
            page.keyboard.press("g")
            page.keyboard.press("k")
        assert urlsplit(asked.value.url).path == wanted

    @pytest.mark.campaign
    def test_the_keys_can_be_turned_off(self, guide: str, open_page: OpenPage) -> None:
        page = open_page(guide)
        page.keyboard.press("?")
        page.get_by_label("Use these single keys").uncheck()
        page.keyboard.press("Escape")
        page.reload()
        page.keyboard.press("?")
        page.wait_for_timeout(200)
        assert not page.get_by_role("dialog").count()


@pytest.mark.browser
@pytest.mark.urls("tests.interface.test_style_guide")
class TestConfirm:
    def test_a_form_that_asks_is_sent_only_after_the_word_was_typed(self, guide: str, open_page: OpenPage) -> None:
        page = open_page(guide)
        sent: list[str] = []
        page.on("request", lambda request: sent.append(request.method) if request.method == "POST" else None)
        form = page.locator("form[data-confirm]")
        form.locator("input[name=version]").fill("2025.2.2")
        form.locator("textarea").fill("Because.")
        form.locator("input[name=opens]").fill("")
        deploy = form.get_by_role("button", name="Deploy")
        deploy.click()
        dialog = page.get_by_role("dialog", name="Deploy 2025.2.2 to production?")
        assert "A backup is taken first" in dialog.inner_text()
        dialog.get_by_role("button", name="Go back").click()
        assert sent == []
        deploy.click()
        yes = dialog.get_by_role("button", name="Deploy")
        assert yes.is_disabled()
        dialog.get_by_label("Type production to go on").fill("production")
        # A browser that is closed while it sends a form may wait for ever.
        with page.expect_response(lambda response: response.request.method == "POST"):
            yes.click()
        assert sent == ["POST"]


def test_the_address_is_not_shown_without_debug() -> None:
    with override_settings(DEBUG=True):
        assert ask(AnonymousUser()).status_code == 200
