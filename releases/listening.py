"""The listening side of the doorbell: one Redis subscription for each process, shared by all event streams."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

import redis.asyncio as redis
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import close_old_connections, connections

from releases.doorbell import person_channel
from releases.permissions import still_seen

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 15.0
# How long somebody may go on reading whose role is gone, where nothing rang.
ASK_SECONDS = 30.0
# And how long it may take to be answered, so that a restart of PostgreSQL silences nobody.
ANSWER_SECONDS = 10.0
# A comment keeps proxies from closing the line; the event tells the page that the line still lives.
BEAT = b": still here\nevent: beat\ndata: {}\n\n"
Listener = Callable[[dict[str, Any] | None], None]
#: A person and the application of which something is followed.
Guest = tuple[int, int]

_P = ParamSpec("_P")
_T = TypeVar("_T")
# Streams read PostgreSQL in a few threads of their own, so that a thousand watchers never hold a thousand connections.
_readers = ThreadPoolExecutor(max_workers=4, thread_name_prefix="stream-reader")


async def read_database(function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Run a read in one of the readers' threads and give its connection back afterwards."""

    def call() -> _T:
        close_old_connections()
        try:
            return function(*args, **kwargs)
        finally:
            connections.close_all()

    return await asyncio.get_running_loop().run_in_executor(_readers, call)


class Bell:
    """Hands each ring of a channel to its listeners; after a lost connection each gets None: look for yourself."""

    _bells: "WeakKeyDictionary[asyncio.AbstractEventLoop, Bell]" = WeakKeyDictionary()

    def __init__(self) -> None:
        self._listeners: dict[str, set[Listener]] = {}
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @classmethod
    def of_this_loop(cls) -> "Bell":
        loop = asyncio.get_running_loop()
        if loop not in cls._bells:
            cls._bells[loop] = cls()
        return cls._bells[loop]

    def listen(self, channel: str, listener: Listener) -> None:
        self._listeners.setdefault(channel, set()).add(listener)
        self._changed.set()
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._serve())

    def leave(self, channel: str, listener: Listener) -> None:
        self._listeners.get(channel, set()).discard(listener)
        if not self._listeners.get(channel):
            self._listeners.pop(channel, None)
            self._changed.set()

    async def _serve(self) -> None:
        delay = 0.2
        while self._listeners:
            try:
                await self._follow()
                delay = 0.2
            except (redis.RedisError, OSError) as error:
                logger.warning("stream.redis_lost", extra={"error": str(error)})
                await asyncio.sleep(delay)
                delay = min(delay * 2, 2.0)

    async def _follow(self) -> None:
        client = redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=2, health_check_interval=10)
        try:
            async with client.pubsub() as pubsub:
                subscribed: set[str] = set()
                while self._listeners:
                    if self._changed.is_set():
                        self._changed.clear()
                        subscribed = await self._subscribe(pubsub, subscribed)
                    message = await pubsub.get_message(ignore_subscribe_messages=False, timeout=0.05)
                    while message is not None:
                        self._handle(message)
                        message = await pubsub.get_message(ignore_subscribe_messages=False, timeout=0.0)
        finally:
            await client.aclose()

    async def _subscribe(self, pubsub: Any, subscribed: set[str]) -> set[str]:
        wanted = set(self._listeners)
        if wanted - subscribed:
            await pubsub.subscribe(*(wanted - subscribed))
        if subscribed - wanted:
            await pubsub.unsubscribe(*(subscribed - wanted))
        return wanted

    def _handle(self, message: dict[str, Any]) -> None:
        channel = message["channel"].decode()
        if message["type"] == "message":
            try:
                self._tell(channel, json.loads(message["data"]))
            except ValueError:
                self._tell(channel, None)
        elif message["type"] == "subscribe":
            # Whatever was rung before the subscription held is in PostgreSQL.
            self._tell(channel, None)

    def _tell(self, channel: str, ring: dict[str, Any] | None) -> None:
        for listener in tuple(self._listeners.get(channel, ())):
            listener(ring)


def event(data: str, *, name: str = "", event_id: str = "") -> bytes:
    """One server-sent event. ``data`` may have many lines."""
    head = (f"id: {event_id}\n" if event_id else "") + (f"event: {name}\n" if name else "")
    return (head + "".join(f"data: {line}\n" for line in data.split("\n")) + "\n").encode()


class Doorkeeper:
    """Asks, for all open streams of this process at once, who may still listen: one query however many they are."""

    _keepers: "WeakKeyDictionary[asyncio.AbstractEventLoop, Doorkeeper]" = WeakKeyDictionary()

    def __init__(self) -> None:
        self._guests: dict[Guest, set[asyncio.Event]] = {}
        self._task: asyncio.Task[None] | None = None

    @classmethod
    def of_this_loop(cls) -> "Doorkeeper":
        loop = asyncio.get_running_loop()
        if loop not in cls._keepers:
            cls._keepers[loop] = cls()
        return cls._keepers[loop]

    def enter(self, guest: Guest, refused: asyncio.Event) -> None:
        """``refused`` is set as soon as the guest is found to have no place here any more."""
        self._guests.setdefault(guest, set()).add(refused)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._serve())

    def leave(self, guest: Guest, refused: asyncio.Event) -> None:
        self._guests.get(guest, set()).discard(refused)
        if not self._guests.get(guest):
            self._guests.pop(guest, None)

    async def ask(self, guests: set[Guest]) -> None:
        allowed = await read_database(still_seen, guests)
        for guest in guests - allowed:
            for refused in self._guests.get(guest, ()):
                refused.set()

    async def _serve(self) -> None:
        try:
            while self._guests:
                await asyncio.sleep(ASK_SECONDS)
                await self._ask_patiently()
        finally:
            # Whatever ended this, nobody may stay unasked.
            self._refuse_everybody()

    async def _ask_patiently(self) -> None:
        answered_by = time.monotonic() + ANSWER_SECONDS
        while guests := set(self._guests):
            try:
                await self.ask(guests)
                return
            except DatabaseError as error:
                logger.warning("stream.database_lost", extra={"error": str(error)})
                if time.monotonic() > answered_by:
                    # Where it cannot be asked, nobody stays by default; a page may come again and ask.
                    self._refuse_everybody()
                    return
                await asyncio.sleep(0.5)

    def _refuse_everybody(self) -> None:
        for events in self._guests.values():
            for refused in events:
                refused.set()


async def while_allowed(
    frames: AsyncGenerator[bytes, None], person: int, application: int
) -> AsyncGenerator[bytes, None]:
    """Pass on ``frames`` while this person sees this application.

    A role that was taken away or an account that ended silences what is open already: it is asked after each ring of
    the person's channel, before anything more is sent. A ring may be lost, so it is asked every ``ASK_SECONDS`` as
    well, beside the frames: those do not wait for it.
    """
    rung, refused = asyncio.Event(), asyncio.Event()
    guest, channel = (person, application), person_channel(person)

    def listener(_ring: dict[str, Any] | None) -> None:
        rung.set()

    # The request's own connection would be held until the stream ends, and a few dozen open pages would hold them all.
    await sync_to_async(connections.close_all)()
    bell, keeper = Bell.of_this_loop(), Doorkeeper.of_this_loop()
    bell.listen(channel, listener)
    keeper.enter(guest, refused)
    try:
        async for frame in frames:
            if rung.is_set():
                rung.clear()
                try:
                    await keeper.ask({guest})
                except DatabaseError as error:
                    logger.warning("stream.database_lost", extra={"error": str(error)})
                    return  # The page comes again, and is let in when it can be asked.
            if refused.is_set():
                return
            yield frame
    finally:
        bell.leave(channel, listener)
        keeper.leave(guest, refused)
        await frames.aclose()


async def topics(channel: str) -> AsyncGenerator[bytes, None]:
    """Follow a release: one event for each topic rung, several rings of a moment folded into one."""
    rung: set[str] = set()
    wake = asyncio.Event()

    def listener(ring: dict[str, Any] | None) -> None:
        rung.add(str(ring["topic"]) if ring and "topic" in ring else "changed")
        wake.set()

    bell = Bell.of_this_loop()
    bell.listen(channel, listener)
    try:
        yield b"retry: 2000\n: connected\n\n"
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    await wake.wait()
            except TimeoutError:
                yield BEAT
                continue
            await asyncio.sleep(0.05)
            wake.clear()
            names = sorted(rung)
            rung.clear()
            for name in names:
                yield event("{}", name=name)
    finally:
        bell.leave(channel, listener)
