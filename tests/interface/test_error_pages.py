"""Each error page says what happened, what was kept and what to do."""

from pathlib import Path

import pytest
from django.conf import settings
from django.template.loader import render_to_string
from django.test import Client, RequestFactory
from django.views.defaults import bad_request, permission_denied, server_error

PAGES = ["400", "403", "403_csrf", "404", "413", "429", "500", "503"]


@pytest.mark.parametrize("name", PAGES)
def test_it_says_what_happened_what_was_kept_and_what_to_do(name: str) -> None:
    html = render_to_string(f"{name}.html")
    for words in ("What happened", "What was kept", "What to do"):
        assert words in html
    assert name[:3] in html


@pytest.mark.parametrize("name", PAGES)
def test_it_needs_no_context_because_a_broken_program_has_none(name: str) -> None:
    assert (
        (Path(settings.BASE_DIR) / "templates" / f"{name}.html").read_text().startswith('{% extends "failure.html" %}')
    )
    assert "<dd></dd>" not in render_to_string(f"{name}.html")


def test_a_mistake_of_the_program_is_answered_without_database_and_session() -> None:
    response = server_error(RequestFactory().get("/"))
    assert response.status_code == 500
    assert b"was taken back whole" in response.content


def test_a_refusal_gives_its_reason_escaped() -> None:
    response = permission_denied(RequestFactory().get("/"), PermissionError("Only <approvers> vote."))
    assert b"Only &lt;approvers&gt; vote." in response.content


def test_a_bad_request_tells_nothing_of_the_inside() -> None:
    response = bad_request(RequestFactory().get("/"), ValueError("secret detail"))
    assert response.status_code == 400
    assert b"secret detail" not in response.content


@pytest.mark.django_db
def test_a_missing_page_is_ours_and_names_the_request(client: Client) -> None:
    response = client.get("/no/such/page/", headers={"X-Request-ID": "01JDTEST0123456789"})
    assert response.status_code == 404
    assert b"Nothing is here for you" in response.content
    assert b"01JDTEST0123456789" in response.content


@pytest.mark.django_db
def test_a_form_from_another_session_is_refused_with_our_page() -> None:
    response = Client(enforce_csrf_checks=True).post("/accounts/login/", {"login": "a@example.org", "password": "x"})
    assert response.status_code == 403
    assert b"This form is too old" in response.content


@pytest.mark.django_db
@pytest.mark.lockout
def test_too_many_wrong_passwords_are_answered_with_our_page(client: Client) -> None:
    for _ in range(settings.AXES_FAILURE_LIMIT + 1):
        response = client.post("/accounts/login/", {"login": "mara@example.org", "password": "wrong"})
    assert response.status_code == 429
    assert b"Too many tries" in response.content
    assert b"Wait a quarter of an hour" in response.content
