"""The live log: every line once, in order, whatever is lost on the way."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError

from checks import streams
from releases.doorbell import publish
from tests.streams.writer import Writer

pytestmark = pytest.mark.django_db(transaction=True)
_NUMBER = re.compile(r'data-n="(\d+)"')


class Viewer:
    """Reads a stream in the background, as a page would."""

    def __init__(self, writer: Writer, seen: streams.Place = (0, 0)) -> None:
        self.text = ""
        self.payloads = 0
        self._events: AsyncIterator[bytes] = streams.follow(writer.run.id, writer.run.log_channel, seen)
        self.task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for payload in self._events:
            self.text += payload.decode()
            self.payloads += 1

    @property
    def numbers(self) -> list[int]:
        return [int(number) for number in _NUMBER.findall(self.text)]

    async def until(self, condition: str, seconds: float = 8.0) -> None:
        async with asyncio.timeout(seconds):
            while condition not in self.text:  # noqa: ASYNC110 - the text grows in another task
                await asyncio.sleep(0.01)

    async def ends(self, seconds: float = 8.0) -> None:
        async with asyncio.timeout(seconds):
            await self.task


begin = sync_to_async(Writer.begin)


def count_reads(monkeypatch: pytest.MonkeyPatch) -> list[streams.Place]:
    """From now on, the places after which PostgreSQL was asked for lines."""
    read: list[streams.Place] = []
    lines_after = streams.log_reading.lines_after
    monkeypatch.setattr(
        streams.log_reading, "lines_after", lambda run, *place: read.append(place) or lines_after(run, *place)
    )
    return read


async def test_it_replays_what_is_committed_and_then_follows() -> None:
    writer = await begin()
    await sync_to_async(writer.lines)("one", "two")
    viewer = Viewer(writer)
    await viewer.until("two")
    await sync_to_async(writer.lines)("three")
    await viewer.until("three")
    await sync_to_async(writer.seal)()
    await viewer.ends()
    assert viewer.numbers == [1, 2, 3]
    assert '"lines":3' in viewer.text


async def test_it_goes_on_after_the_last_event_id() -> None:
    writer = await begin()
    await sync_to_async(writer.lines)("one", "two", "three")
    await sync_to_async(writer.lines)("four")
    await sync_to_async(writer.seal)()
    viewer = Viewer(writer, streams.parse_place("1:2"))
    await viewer.ends()
    assert viewer.numbers == [3, 4]


async def test_lines_that_nobody_rang_for_come_from_postgresql() -> None:
    writer = await begin()
    viewer = Viewer(writer)
    await viewer.until("connected")
    await sync_to_async(writer.lines)("unheard", ring=False)
    await viewer.until("unheard")
    await sync_to_async(writer.lines)("lost", ring=False)
    await sync_to_async(writer.lines)("heard")
    await sync_to_async(writer.seal)(ring=False)
    await viewer.ends()
    assert viewer.numbers == [1, 2, 3]


async def test_lines_come_after_postgresql_was_away_while_they_were_read(monkeypatch: pytest.MonkeyPatch) -> None:
    writer = await begin()
    viewer = Viewer(writer)
    await viewer.until("connected")
    read, failures = streams.log_reading.lines_after, []

    def away_once(*args: Any) -> Any:
        if not failures:
            failures.append(args)
            raise OperationalError("the connection is lost")
        return read(*args)

    monkeypatch.setattr(streams.log_reading, "lines_after", away_once)
    await sync_to_async(writer.lines)("one", "two", ring=False)
    await viewer.until("two")
    assert failures
    await sync_to_async(writer.seal)()
    await viewer.ends()
    assert viewer.numbers == [1, 2]


async def test_a_ring_without_lines_is_answered_from_postgresql() -> None:
    writer = await begin()
    viewer = Viewer(writer)
    await viewer.until("connected")
    await sync_to_async(writer.lines)(*(f"long {number}" for number in range(500)), body=False)
    await sync_to_async(writer.seal)()
    await viewer.ends()
    assert viewer.numbers == list(range(1, 501))


async def test_a_doubled_ring_changes_nothing() -> None:
    writer = await begin()
    viewer = Viewer(writer)
    await viewer.until("connected")
    for number in range(20):
        await sync_to_async(writer.lines)(f"line {number}")
        ring = {"attempt": 1, "first": 1, "lines": 1, "body": "line 0", "stamps": [0], "kinds": "o"}
        await sync_to_async(streams_publish)(writer, ring)
    await sync_to_async(writer.seal)()
    await viewer.ends()
    assert viewer.numbers == list(range(1, 21))


def streams_publish(writer: Writer, ring: dict[str, object]) -> None:
    from releases.doorbell import publish

    publish(writer.run.log_channel, ring)


async def test_a_second_attempt_is_shown_from_its_first_line() -> None:
    writer = await begin()
    viewer = Viewer(writer)
    await sync_to_async(writer.lines)("first attempt")
    await viewer.until("first attempt")
    await sync_to_async(writer.requeue)()
    await sync_to_async(writer.claim)()
    await sync_to_async(writer.lines)("second attempt")
    await viewer.until("second attempt")
    assert "id: 2:1" in viewer.text
    await sync_to_async(writer.seal)()
    await viewer.ends()


@pytest.mark.parametrize("told", [True, False], ids=["and the requeue is told", "and the requeue is not heard"])
async def test_what_was_saved_of_a_dead_worker_is_shown_before_the_next_attempt(told: bool) -> None:
    writer = await begin()
    await sync_to_async(writer.lines)("one")
    viewer = Viewer(writer)
    await viewer.until("one")
    await sync_to_async(writer.lines)("saved of the dead", ring=False)
    await sync_to_async(writer.requeue)()
    if told:
        await sync_to_async(publish)(writer.run.log_channel, {"state": "queued", "attempt": 1})
    await sync_to_async(writer.claim)()
    await sync_to_async(publish)(writer.run.log_channel, {"state": "running", "attempt": 2})
    await sync_to_async(writer.lines)("again")
    await viewer.until("again")
    await sync_to_async(writer.seal)()
    await viewer.ends()
    assert viewer.numbers == [1, 2, 1]
    assert viewer.text.index("saved of the dead") < viewer.text.index('"attempt":2')


async def test_fifty_watchers_share_one_reader_and_see_the_same() -> None:
    writer = await begin()
    viewers = [Viewer(writer) for _ in range(50)]
    for viewer in viewers:
        await viewer.until("connected")
    readers = {id(stream) for key, stream in streams.LogStream._streams.items() if key[1] == writer.run.id}
    for number in range(40):
        await sync_to_async(writer.lines)(f"line {number}")
    await sync_to_async(writer.seal)()
    await asyncio.gather(*(viewer.ends(20) for viewer in viewers))
    assert len(readers) == 1
    assert all(viewer.numbers == list(range(1, 41)) for viewer in viewers)


async def test_who_comes_to_a_watched_run_is_given_what_others_have_without_another_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    writer = await begin()
    await sync_to_async(writer.lines)("line 0", "line 1")
    first = Viewer(writer)
    await first.until("line 1")
    await sync_to_async(writer.lines)("line 2")
    await first.until("line 2")
    await asyncio.sleep(1.2 * streams.LOOK_SECONDS)  # the reader has looked once more by itself
    read = count_reads(monkeypatch)
    late, again = Viewer(writer), Viewer(writer, (1, 2))
    await asyncio.gather(late.until("line 2"), again.until("line 2"))
    await sync_to_async(writer.lines)("line 3")
    await sync_to_async(writer.seal)()
    await asyncio.gather(*(viewer.ends() for viewer in (first, late, again)))
    assert (first.numbers, late.numbers, again.numbers) == ([1, 2, 3, 4], [1, 2, 3, 4], [3, 4])
    assert '"attempt":1' in late.text
    assert read == []


async def test_a_step_that_goes_on_lets_nobody_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """While lines come all the time, the reader never looks by itself: what it knew must survive a state's ring."""
    writer = await begin()
    await sync_to_async(writer.lines)("line 0")
    first = Viewer(writer)
    await first.until("line 0")
    await sync_to_async(publish)(writer.run.log_channel, {"state": "running", "attempt": 1, "step_state": "running"})
    await first.until("step_state")
    monkeypatch.setattr(streams, "LOOK_SECONDS", 60)
    read = count_reads(monkeypatch)
    await sync_to_async(writer.lines)("line 1")
    late = Viewer(writer)
    await late.until("line 1")
    await sync_to_async(writer.seal)()
    await asyncio.gather(first.ends(), late.ends())
    assert (first.numbers, late.numbers, read) == ([1, 2], [1, 2], [])


async def test_a_crowd_that_comes_at_once_reads_once(monkeypatch: pytest.MonkeyPatch) -> None:
    writer = await begin()
    for number in range(30):
        await sync_to_async(writer.lines)(f"line {number}", ring=False)
    read = count_reads(monkeypatch)
    crowd = [Viewer(writer) for _ in range(100)]
    await asyncio.gather(*(viewer.until("line 29") for viewer in crowd))
    assert len(read) == 1
    await sync_to_async(writer.seal)()
    await asyncio.gather(*(viewer.ends() for viewer in crowd))
    assert all(viewer.numbers == list(range(1, 31)) for viewer in crowd)


async def test_many_watchers_get_what_came_together_and_each_line_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "WATCHERS_PER_SECOND", 4)
    writer = await begin()
    early = [Viewer(writer), Viewer(writer)]
    await sync_to_async(writer.lines)("line 0")
    for viewer in early:
        await viewer.until("line 0")
    for number in range(1, 10):
        await sync_to_async(writer.lines)(f"line {number}")
    # It replays up to where it joined, in the middle of what the others wait for.
    late = Viewer(writer)
    await late.until("line 9")
    for number in range(10, 20):
        await sync_to_async(writer.lines)(f"line {number}")
    await sync_to_async(writer.seal)()
    viewers = [*early, late]
    await asyncio.gather(*(viewer.ends(20) for viewer in viewers))
    assert all(viewer.numbers == list(range(1, 21)) for viewer in viewers)
    assert all(viewer.payloads < 15 for viewer in viewers), [viewer.payloads for viewer in viewers]


async def test_a_watcher_that_is_too_slow_reads_on_from_postgresql(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "QUEUE_LIMIT", 3)
    monkeypatch.setattr(streams, "KEPT_BYTES", 0)
    writer = await begin()
    await sync_to_async(writer.lines)("line 0")
    events = streams.follow(writer.run.id, writer.run.log_channel, (0, 0))
    text = ""
    while "line 0" not in text:
        text += (await anext(events)).decode()
    for number in range(1, 30):
        await sync_to_async(writer.lines)(f"line {number}")
    await asyncio.sleep(0.5)
    await sync_to_async(writer.seal)()
    async for payload in events:
        text += payload.decode()
    assert [int(number) for number in _NUMBER.findall(text)] == list(range(1, 31))


async def test_a_reader_that_breaks_is_followed_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "LOOK_SECONDS", 0.2)
    writer = await begin()
    viewer = Viewer(writer)
    await sync_to_async(writer.lines)("line 0")
    await viewer.until("line 0")
    with monkeypatch.context() as broken:
        broken.setattr(streams.LogStream, "_feed", lambda stream, ring: 1 // 0)
        await sync_to_async(writer.lines)("line 1")
        await viewer.until("line 1")
    await sync_to_async(writer.lines)("line 2")
    await sync_to_async(writer.seal)()
    await viewer.ends()
    assert viewer.numbers == [1, 2, 3]


async def test_nothing_is_left_behind_when_everybody_has_gone() -> None:
    writer = await begin()
    viewer = Viewer(writer)
    await viewer.until("connected")
    viewer.task.cancel()
    await asyncio.gather(viewer.task, return_exceptions=True)
    await asyncio.sleep(0.1)
    assert not [key for key in streams.LogStream._streams if key[1] == writer.run.id]


@pytest.mark.parametrize("text", [None, "", "1", "a:b", ":", "1:-2", "1:2:3"])
def test_a_place_that_makes_no_sense_is_the_beginning(text: str | None) -> None:
    assert streams.parse_place(text) == (0, 0)
