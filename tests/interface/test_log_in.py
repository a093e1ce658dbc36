"""A person logs in and out by the browser, as it is served: with the content security policy, and without scripts."""

import pytest
from django.urls import reverse
from pytest_django.live_server_helper import LiveServer

from releases.models import User
from tests.interface.browser import Complaints
from tests.interface.conftest import OpenPage

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

PASSWORD = "a-long-enough-password"


@pytest.fixture
def mara() -> User:
    return User.objects.create_user(email="mara@example.org", name="Mara Lind", password=PASSWORD)


def log_in(page, password: str = PASSWORD) -> None:  # type: ignore[no-untyped-def]
    page.get_by_label("E-mail address").fill("mara@example.org")
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Log in", exact=True).click()


@pytest.mark.parametrize("scripts", [True, False])
def test_a_person_logs_in_and_out(
    live_server: LiveServer, open_page: OpenPage, mara: User, complaints: Complaints, scripts: bool
) -> None:
    page = open_page(live_server.url + reverse("account_login"), scripts=scripts)
    log_in(page)
    page.get_by_text("Mara Lind").first.click()
    page.get_by_role("button", name="Log out").click()
    page.goto(live_server.url + reverse("mfa_index"))
    assert page.get_by_role("heading", name="Log in").is_visible()
    assert complaints.texts == []


def test_a_wrong_password_is_told_beside_the_form(live_server: LiveServer, open_page: OpenPage, mara: User) -> None:
    page = open_page(live_server.url + reverse("account_login"))
    log_in(page, "not-the-password")
    alert = page.get_by_role("alert")
    assert "not correct" in alert.inner_text()
    assert page.get_by_label("E-mail address").input_value() == "mara@example.org"


@pytest.mark.campaign
def test_the_chosen_theme_stays(live_server: LiveServer, open_page: OpenPage, mara: User) -> None:
    page = open_page(live_server.url + reverse("account_login"))
    log_in(page)
    page.goto(live_server.url + reverse("mfa_index"))
    page.get_by_text("Mara Lind").first.click()
    page.get_by_role("button", name="Dark").click()
    page.reload()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(14, 20, 18)"
    page.get_by_text("Mara Lind").first.click()
    assert page.get_by_role("button", name="Dark").get_attribute("aria-pressed") == "true"


ACCOUNT_PAGES = (
    "account_change_password",
    "mfa_index",
    "mfa_activate_totp",
    "mfa_add_webauthn",
    "account_reset_password",
)


@pytest.mark.campaign
def test_the_pages_of_an_account_are_in_the_hand_of_the_program(
    live_server: LiveServer, open_page: OpenPage, mara: User, complaints: Complaints
) -> None:
    page = open_page(live_server.url + reverse("account_login"), width=390)
    log_in(page)
    page.wait_for_url(lambda url: "login" not in url)
    complaints.texts.clear()
    for name in ACCOUNT_PAGES:
        page.goto(live_server.url + reverse(name))
        if page.get_by_role("heading", name="Confirm that it is you").count():
            page.get_by_label("Password").fill(PASSWORD)
            page.get_by_role("button", name="Confirm").click()
            page.wait_for_url(lambda url: "reauthenticate" not in url)
        assert page.locator("header.top").is_visible()
        assert page.locator("main h1").is_visible()
        assert page.locator("main .card, main form.fields").first.is_visible()
        assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert [text for text in complaints.texts if "username fields" not in text] == []
