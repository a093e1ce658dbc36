"""What nobody should send is refused as such; it is never a mistake of the program."""

from uuid import UUID

import pytest
from django.test import Client

from tests.factories import UserFactory

JUNK = b"\xff\xfe{" * 10


@pytest.fixture
def browser(db: None) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(UserFactory(is_superuser=True))
    return client


@pytest.mark.parametrize(
    "address",
    [
        "/?q=%00", "/runs/?q=%00", "/runs/?state=a%00b", "/monitoring/incidents/?state=%00", "/ledger/?q=%00",
        "/monitoring/receipts/%00/", "/api/runs?q=%00", "/api/runs?kind=%00", "/people/?q=%00",
    ],
)  # fmt: skip
def test_a_null_byte_in_an_address_is_refused(browser: Client, address: str) -> None:
    answer = browser.get(address)
    assert answer.status_code == 400
    assert b"not understood" in answer.content


@pytest.mark.parametrize(
    "content_type",
    ["multipart/form-data; boundary=", "multipart/form-data; boundary=" + "x" * 300, "text/plain; charset=utf-99",
     "application/x-www-form-urlencoded; charset=utf-99"],
)  # fmt: skip
@pytest.mark.parametrize("address", ["/no/such/page/", "/applications/new/", f"/api/releases/{UUID(int=1)}/runs"])
def test_a_body_that_is_not_what_it_says_is_refused(browser: Client, address: str, content_type: str) -> None:
    answer = browser.generic("POST", address, JUNK, content_type=content_type)
    assert answer.status_code < 500


@pytest.mark.parametrize(("address", "status"), [("/no/such/page/", 404), ("/accounts/login/", 400), ("/%00", 400)])
def test_a_form_without_a_border_is_refused_where_its_token_is_looked_for(address: str, status: int) -> None:
    """With a token in the cookie it is looked for in the body as well, which cannot be read."""
    strict = Client(raise_request_exception=False, enforce_csrf_checks=True)
    strict.cookies["csrftoken"] = "x" * 32
    assert strict.generic("POST", address, b"abc", content_type="multipart/form-data").status_code == status


def test_a_form_sent_to_the_api_is_refused(browser: Client) -> None:
    """The check of the form's token has read it by the time the API looks for JSON."""
    strict = Client(raise_request_exception=False, enforce_csrf_checks=True)
    strict.cookies = browser.cookies
    token = strict.get("/me/").cookies["csrftoken"].value
    sent = {"section": "checks.backup", "csrfmiddlewaretoken": token}
    answer = strict.post(f"/api/releases/{UUID(int=1)}/runs", sent)
    assert answer.status_code == 415
    assert "JSON" in answer.json()["detail"]
