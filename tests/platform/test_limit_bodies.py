"""What a request may bring before it is known who asks: no more than a form, and not for ever."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.db import connections
from django.test import AsyncClient
from django.urls import resolve, reverse

from config import asgi, bodies
from releases.domain import token
from tests.factories import make_application, make_team

MEGABYTE = 1024 * 1024
BACKEND = "django.contrib.auth.backends.ModelBackend"


@pytest.fixture(autouse=True)
def connections_end_with_their_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request has a thread of its own here, which nobody could tell to close its connection afterwards."""
    monkeypatch.setitem(connections.settings["default"], "CONN_MAX_AGE", 0)


def asked(path: str, *, length: int | None, **headers: str) -> ApplicationCommunicator:
    """A POST that says how long it is, or comes in pieces of unsaid number."""
    told = [(b"host", b"testserver"), (b"content-type", b"application/x-www-form-urlencoded")]
    told.append((b"transfer-encoding", b"chunked") if length is None else (b"content-length", b"%d" % length))
    told += [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {
        "type": "http", "http_version": "1.1", "method": "POST", "path": path, "raw_path": path.encode(),
        "query_string": b"", "headers": told,
    }  # fmt: skip
    return ApplicationCommunicator(asgi.application, scope)


async def answered(
    page: ApplicationCommunicator, pieces: int, *, size: int = MEGABYTE
) -> tuple[int, dict[str, str], str]:
    """(status, headers, text) after so many pieces of a body that goes on."""
    for _ in range(pieces):
        await page.send_input({"type": "http.request", "body": b"x" * size, "more_body": True})
    head = await page.receive_output(20)
    text = (await page.receive_output(20))["body"].decode()
    await page.wait(20)
    return head["status"], {name.decode().lower(): value.decode() for name, value in head["headers"]}, text


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("path", ["/accounts/login/", "/releases/new/", "/no/such/page", "/api/reports"])
@pytest.mark.parametrize("length", [2**31, None], ids=["said", "in pieces"])
async def test_a_stranger_brings_no_more_than_a_form_wherever_they_ask(path: str, length: int | None) -> None:
    status, headers, text = await answered(asked(path, length=length), 7)
    assert status == 413
    assert headers["connection"] == "close"
    assert "default-src" in headers["content-security-policy"]
    assert headers["x-request-id"]
    if path.startswith("/api/"):
        assert "longer than 4 MB" in json.loads(text)["detail"]
    else:
        assert "longer than 4 MB" in text
        assert "What was kept" in text


@pytest.mark.django_db(transaction=True)
async def test_who_is_logged_in_uploads_where_something_is_uploaded_and_nowhere_else() -> None:
    team = await sync_to_async(lambda: make_team(make_application()))()
    client = AsyncClient()
    await client.aforce_login(team.engineer, backend=BACKEND)
    cookie = "; ".join(f"{name}={each.value}" for name, each in client.cookies.items())
    status, *_ = await answered(asked("/accounts/logout/", length=None, cookie=cookie), 5)
    assert status == 413
    build = asked("/releases/new/", length=None, cookie=cookie)
    for _ in range(5):
        await build.send_input({"type": "http.request", "body": b"x" * MEGABYTE, "more_body": True})
    await build.send_input({"type": "http.request", "body": b"", "more_body": False})
    head = await build.receive_output(20)
    assert head["status"] == 403, "it was read, and has no token of a form"
    case = reverse("releases:case", args=["00000000-0000-0000-0000-000000000000", "one"])
    status, _, text = await answered(asked(case, length=2**31, cookie=cookie), 0)
    assert status == 413
    assert "longer than 14 MB" in text


@pytest.mark.django_db(transaction=True)
async def test_only_a_valid_key_brings_a_long_report() -> None:
    def issued() -> str:
        application = make_application()
        actor = make_team(application).engineer
        return token.issue_token(application=application, name="CI", valid_for=timedelta(days=9), actor=actor)[1]

    key = await sync_to_async(issued)()
    for word, expected in ((key, 400), ("gonogo_nobody", 413)):
        page = asked("/api/reports", length=5 * MEGABYTE, authorization=f"Bearer {word}")
        if expected == 413:
            assert (await answered(page, 0))[0] == 413
            continue
        await page.send_input({"type": "http.request", "body": b"x" * 5 * MEGABYTE, "more_body": False})
        assert (await page.receive_output(20))["status"] == 400, "it was read, and is no report"


@pytest.mark.django_db(transaction=True)
async def test_a_body_that_does_not_arrive_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "SECONDS", 0.3)
    status, headers, text = await answered(asked("/accounts/login/", length=100), 1, size=1)
    assert (status, headers["connection"]) == (408, "close")
    assert "did not arrive in time" in text


@pytest.mark.django_db(transaction=True)
async def test_a_small_upload_over_a_slow_line_is_waited_for_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    team = await sync_to_async(lambda: make_team(make_application()))()
    client = AsyncClient()
    await client.aforce_login(team.engineer, backend=BACKEND)
    cookie = "; ".join(f"{name}={each.value}" for name, each in client.cookies.items())
    monkeypatch.setattr(bodies, "SECONDS", 1)
    page = asked("/releases/new/", length=3 * MEGABYTE, cookie=cookie)
    for piece in range(3):
        await page.send_input({"type": "http.request", "body": b"x" * MEGABYTE, "more_body": piece < 2})
        await asyncio.sleep(0.6)
    assert (await page.receive_output(20))["status"] == 403, "it was read, and has no token of a form"


def test_every_upload_is_an_address_of_the_program() -> None:
    arguments: dict[str, list[Any]] = {
        "releases:sign_off": ["00000000-0000-0000-0000-000000000000", "a"],
        "releases:waiver": ["00000000-0000-0000-0000-000000000000", "a"],
        "releases:case": ["00000000-0000-0000-0000-000000000000", "a"],
        "checks:launch": ["00000000-0000-0000-0000-000000000000", "checks.unit"],
    }
    for name in bodies.UPLOADS:
        assert resolve(reverse(name, args=arguments.get(name, []))).view_name == name
