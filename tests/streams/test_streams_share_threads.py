"""Event streams take no thread and no connection each; which addresses are streams is known from their endings."""

import asyncio
from collections.abc import Iterator
from http.cookies import SimpleCookie
from typing import Any

import pytest
from asgiref.sync import iscoroutinefunction, sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.db import connection, connections
from django.test import AsyncClient
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from config import asgi
from releases.enums import Role
from tests.factories import make_application, make_release, member

STREAMS = 30


def patterns(resolver: URLResolver, before: str = "") -> Iterator[tuple[str, Any]]:
    for each in resolver.url_patterns:
        path = before + str(each.pattern)
        if isinstance(each, URLResolver):
            yield from patterns(each, path)
        elif isinstance(each, URLPattern):
            yield path, each.callback


def test_the_endings_are_those_of_the_views_that_stream() -> None:
    streaming = {path for path, view in patterns(get_resolver()) if iscoroutinefunction(view)}
    named = {path for path, _ in patterns(get_resolver()) if f"/{path}".endswith(asgi.STREAM_ENDINGS)}
    assert len(streaming) >= 2
    assert streaming == named


def connections_now() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        return int(cursor.fetchone()[0])


def opened(path: str, cookies: SimpleCookie) -> ApplicationCommunicator:
    header = "; ".join(f"{name}={each.value}" for name, each in cookies.items())
    scope = {
        "type": "http", "http_version": "1.1", "method": "GET", "path": path, "raw_path": path.encode(),
        "query_string": b"", "headers": [(b"host", b"testserver"), (b"cookie", header.encode())],
    }  # fmt: skip
    return ApplicationCommunicator(asgi.application, scope)


@pytest.mark.django_db(transaction=True)
async def test_many_that_begin_at_once_are_all_answered_over_a_few_connections() -> None:
    release = await sync_to_async(lambda: make_release(application=make_application()))()
    viewer = await sync_to_async(member)(release.application, Role.VIEWER)
    client = AsyncClient()
    await client.aforce_login(viewer, backend="django.contrib.auth.backends.ModelBackend")
    before = await sync_to_async(connections_now)()
    pages = [opened(reverse("releases:events", args=[release.pk]), client.cookies) for _ in range(STREAMS)]
    for page in pages:
        await page.send_input({"type": "http.request", "body": b""})
    most = 0
    for page in pages:
        head = await page.receive_output(20)
        assert head["status"] == 200
        most = max(most, await sync_to_async(connections_now)() - before)
    for page in pages:
        await page.send_input({"type": "http.disconnect"})
    await asyncio.gather(*(page.wait(5) for page in pages))
    for _thread in range(4):
        next(asgi._threads).submit(connections.close_all).result(10)
    # Four threads of streams, and the four that read for them; one for each stream would be thirty.
    assert most <= 8
