"""A person adds a passkey and logs in with it, by Chromium's own virtual authenticator."""

import re

import pytest
from allauth.mfa.models import Authenticator
from django.urls import reverse
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from releases.models import User
from tests.interface.browser import Complaints
from tests.interface.conftest import OpenPage
from tests.interface.test_log_in import PASSWORD, log_in

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def mara() -> User:
    return User.objects.create_user(email="mara@example.org", name="Mara Lind", password=PASSWORD)


def plug_in(page: Page) -> None:
    """An authenticator inside the machine that knows its owner, as a laptop with a fingerprint reader has."""
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    session.send("WebAuthn.addVirtualAuthenticator", {"options": options})


def log_out(page: Page) -> None:
    page.get_by_text("Mara Lind").first.click()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()


def add_key(page: Page, address: str, *, passwordless: bool) -> None:
    page.goto(address + reverse("mfa_add_webauthn"))
    if page.get_by_role("heading", name="Confirm that it is you").count():
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Confirm").click()
        page.wait_for_url(lambda url: "reauthenticate" not in url)
    page.get_by_label("Name").fill("My laptop")
    page.get_by_label(re.compile("Passwordless")).set_checked(passwordless)
    page.get_by_role("button", name="Add", exact=True).click()
    page.wait_for_url(lambda url: "webauthn/add" not in url)


def test_a_passkey_is_added_and_logs_in_without_a_password(
    live_server: LiveServer, open_page: OpenPage, mara: User, complaints: Complaints
) -> None:
    page = open_page(live_server.url + reverse("account_login"))
    plug_in(page)
    log_in(page)
    page.wait_for_url(lambda url: "login" not in url)
    add_key(page, live_server.url, passwordless=True)
    assert Authenticator.objects.get(user=mara, type=Authenticator.Type.WEBAUTHN).wrap().is_passwordless
    log_out(page)
    complaints.texts.clear()
    page.get_by_role("button", name="Log in with a passkey").click()
    expect(page.get_by_role("navigation", name="Main")).to_be_visible()
    expect(page.get_by_text("Mara Lind").first).to_be_visible()
    assert complaints.texts == []


@pytest.mark.campaign
def test_a_key_that_is_no_passkey_is_asked_for_after_the_password(
    live_server: LiveServer, open_page: OpenPage, mara: User
) -> None:
    page = open_page(live_server.url + reverse("account_login"))
    plug_in(page)
    log_in(page)
    page.wait_for_url(lambda url: "login" not in url)
    add_key(page, live_server.url, passwordless=False)
    log_out(page)
    log_in(page)
    expect(page.get_by_role("heading", name="Second factor")).to_be_visible()
    page.get_by_role("button", name="Use a passkey or security key").click()
    expect(page.get_by_role("navigation", name="Main")).to_be_visible()


@pytest.mark.campaign
def test_a_passkey_of_a_deactivated_account_opens_nothing(
    live_server: LiveServer, open_page: OpenPage, mara: User
) -> None:
    page = open_page(live_server.url + reverse("account_login"))
    plug_in(page)
    log_in(page)
    page.wait_for_url(lambda url: "login" not in url)
    add_key(page, live_server.url, passwordless=True)
    log_out(page)
    User.objects.update(is_active=False)
    page.get_by_role("button", name="Log in with a passkey").click()
    page.wait_for_url(lambda url: "login" not in url or "inactive" in url)
    expect(page.get_by_role("navigation", name="Main")).to_have_count(0)


@pytest.mark.campaign
def test_a_browser_that_has_no_passkey_here_says_so(live_server: LiveServer, open_page: OpenPage, mara: User) -> None:
    page = open_page(live_server.url + reverse("account_login"))
    plug_in(page)
    page.get_by_role("button", name="Log in with a passkey").click()
    expect(page.get_by_role("alert")).to_contain_text("passkey")


def test_at_a_number_instead_of_a_name_the_way_to_passkeys_is_told(
    live_server: LiveServer, open_page: OpenPage, mara: User
) -> None:
    address = live_server.url.replace("localhost", "127.0.0.1")
    page = open_page(address + reverse("account_login"))
    expect(page.get_by_role("button", name="Log in with a passkey")).to_have_count(0)
    expect(page.get_by_role("link", name="localhost")).to_have_attribute(
        "href", live_server.url + reverse("account_login")
    )
