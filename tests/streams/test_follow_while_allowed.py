"""What is open already goes silent when a role is taken away, or the account ends."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError, connection
from django.test import AsyncClient
from django.urls import reverse

from releases import listening
from releases.domain import user as users
from releases.domain.membership import remove_member
from releases.doorbell import ring_release
from releases.enums import Role
from releases.models import User
from releases.permissions import still_seen
from tests.factories import make_application, make_release, member
from tests.streams.writer import Writer

pytestmark = pytest.mark.django_db(transaction=True)


def take_away(viewer: User, administrator: User) -> None:
    remove_member(membership=viewer.memberships.get(), actor=administrator)


def deactivate(viewer: User, administrator: User) -> None:
    users.deactivate(user=viewer, actor=administrator, reason="Left.")


async def opened(user: User, address: str) -> AsyncIterator[bytes]:
    client = AsyncClient()
    await client.aforce_login(user, backend="django.contrib.auth.backends.ModelBackend")
    answer: Any = await client.get(address)
    assert answer.status_code == 200
    frames: AsyncIterator[bytes] = answer.streaming_content
    return frames


async def until(frames: AsyncIterator[bytes], text: str) -> None:
    async with asyncio.timeout(8):
        async for frame in frames:
            if text.encode() in frame:
                return
    raise AssertionError(f"The stream ended before {text!r}.")


async def rest(frames: AsyncIterator[bytes]) -> bytes:
    async with asyncio.timeout(20):
        return b"".join([frame async for frame in frames])


@pytest.mark.parametrize("deed", [take_away, deactivate])
async def test_the_log_and_the_board_go_silent_for_this_person_only(deed: Callable[[User, User], None]) -> None:
    writer = await sync_to_async(Writer.begin)()
    application = await sync_to_async(lambda: writer.run.application)()
    viewer = await sync_to_async(member)(application, Role.VIEWER)
    other = await sync_to_async(member)(application, Role.AUDITOR)
    administrator = await sync_to_async(member)(application, Role.ADMINISTRATOR)
    address = reverse("checks:log_stream", args=[writer.run.number])
    theirs, others = await opened(viewer, address), await opened(other, address)
    await sync_to_async(writer.lines)("before")
    await until(theirs, "before")
    await until(others, "before")
    await sync_to_async(deed)(viewer, administrator)
    await asyncio.sleep(0.3)  # the ring is on its way to this process
    await sync_to_async(writer.lines)("after")
    await until(others, "after")
    assert b"after" not in await rest(theirs)


async def test_an_open_page_holds_no_connection() -> None:
    """A pool of twenty would be empty after twenty open pages, and nobody would be answered any more."""
    writer = await sync_to_async(Writer.begin)()
    application = await sync_to_async(lambda: writer.run.application)()
    viewer = await sync_to_async(member)(application, Role.VIEWER)
    release = await sync_to_async(lambda: make_release(application=application))()
    await sync_to_async(writer.lines)("before")
    for address, first in (
        (reverse("checks:log_stream", args=[writer.run.number]), "before"),
        (reverse("releases:events", args=[release.pk]), "connected"),
    ):
        frames = await opened(viewer, address)
        assert await sync_to_async(lambda: connection.connection is not None)(), "the page was asked for in this one"
        await until(frames, first)
        assert await sync_to_async(lambda: connection.connection is None)()


async def test_a_lost_ring_only_delays_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "ASK_SECONDS", 0.2)
    writer = await sync_to_async(Writer.begin)()
    application = await sync_to_async(lambda: writer.run.application)()
    viewer = await sync_to_async(member)(application, Role.VIEWER)
    theirs = await opened(viewer, reverse("checks:log_stream", args=[writer.run.number]))
    await sync_to_async(writer.lines)("before")
    await until(theirs, "before")
    await sync_to_async(lambda: viewer.memberships.all().delete())()  # nothing rings
    await asyncio.sleep(0.3)
    await sync_to_async(writer.lines)("after")
    assert b"after" not in await rest(theirs)


async def test_all_open_pages_are_asked_about_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def counted(guests: Collection[tuple[int, int]]) -> set[tuple[int, int]]:
        asked.append(len(guests))
        return still_seen(guests)

    monkeypatch.setattr(listening, "ASK_SECONDS", 0.3)
    monkeypatch.setattr(listening, "still_seen", counted)
    application = await sync_to_async(make_application)()
    viewers = [await sync_to_async(member)(application, Role.VIEWER) for _ in range(4)]
    release = await sync_to_async(lambda: make_release(application=application))()
    address = reverse("releases:events", args=[release.pk])
    pages = [await opened(viewer, address) for viewer in [*viewers, viewers[0]]]
    for page in pages:
        await until(page, "connected")
    await until_asked(asked, 4)
    asked.clear()
    await until_asked(asked, 4)
    assert set(asked) == {4}, "four people, one of them with two pages, and one query for all"
    await sync_to_async(lambda: viewers[0].memberships.all().delete())()
    asked.clear()
    await until_asked(asked, 4)
    await until_asked(asked, 4)
    await sync_to_async(ring_release)(release.pk, "vote")
    assert b"vote" not in await rest(pages[0]) + await rest(pages[4])
    await until(pages[1], "event: vote")


async def until_asked(asked: list[int], people: int) -> None:
    """Until the next time that so many were asked about at once."""
    before = asked.count(people)
    async with asyncio.timeout(8):
        while asked.count(people) <= before:  # noqa: ASYNC110 - another task counts
            await asyncio.sleep(0.02)


async def test_where_it_cannot_be_asked_nobody_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_guests: Collection[tuple[int, int]]) -> set[tuple[int, int]]:
        raise OperationalError("the server is gone")

    monkeypatch.setattr(listening, "ASK_SECONDS", 0.2)
    monkeypatch.setattr(listening, "ANSWER_SECONDS", 0.2)
    application = await sync_to_async(make_application)()
    viewer = await sync_to_async(member)(application, Role.VIEWER)
    release = await sync_to_async(lambda: make_release(application=application))()
    page = await opened(viewer, reverse("releases:events", args=[release.pk]))
    await until(page, "connected")
    monkeypatch.setattr(listening, "still_seen", away)
    await asyncio.sleep(2)
    await sync_to_async(ring_release)(release.pk, "vote")
    assert b"vote" not in await rest(page)


async def test_the_events_of_a_release_end_with_the_role() -> None:
    release = await sync_to_async(lambda: make_release(application=make_application()))()
    viewer = await sync_to_async(member)(release.application, Role.VIEWER)
    administrator = await sync_to_async(member)(release.application, Role.ADMINISTRATOR)
    frames = await opened(viewer, reverse("releases:events", args=[release.pk]))
    await until(frames, "event: changed")  # it listens now
    await sync_to_async(ring_release)(release.pk, "vote")
    await until(frames, "event: vote")
    await sync_to_async(take_away)(viewer, administrator)
    await asyncio.sleep(0.3)
    await sync_to_async(ring_release)(release.pk, "risk")
    assert b"risk" not in await rest(frames)
