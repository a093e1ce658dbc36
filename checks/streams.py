"""The live log of a run as server-sent events.

One ``LogStream`` for each run and process reads for all its watchers and renders each line once. PostgreSQL is the
truth: a watcher first joins, then replays from there after its Last-Event-ID, drops what it has seen, and follows; what
was read for another watcher a moment ago is not read again.
Whatever the doorbell did not deliver (a gap, a lost ring, Redis away) is read from PostgreSQL as well.
"""

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from django.db import Error as DatabaseError

from checks import log_reading
from checks.enums import ACTIVE_STATES
from checks.log_reading import Lines, Position
from releases.listening import BEAT, HEARTBEAT_SECONDS, Bell, event, read_database

logger = logging.getLogger(__name__)

# How often the reader looks itself while nothing rings: the longest that a lost ring can delay a line.
LOOK_SECONDS = 1.0
# A watcher that cannot keep up is not fed any longer; it reads from PostgreSQL at its own pace.
QUEUE_LIMIT = 1000
# So much of a run's newest lines is kept rendered, for those who come to watch while it runs.
KEPT_BYTES = 4_000_000
# So many lines are read at most by one for all; of a longer log, each reads what they lack by themselves.
MOST_READ = 5000

# With so many watchers each piece waits a second for what follows it; with fewer, in proportion less. What is sent is
# counted by pieces, not by lines, so a thousand watchers of a busy run do not take the whole processor.
WATCHERS_PER_SECOND = 2000

_T = TypeVar("_T")
Place = tuple[int, int]  # attempt, line


@dataclass(frozen=True, slots=True)
class Frame:
    """Something to send. For lines: the places of the first and the last; ``payload`` is the whole event."""

    payload: bytes
    first: Place | None = None
    last: Place | None = None
    ends: bool = False


@dataclass(frozen=True, slots=True)
class Piece:
    """Frames that go out together. ``payload``: all of them, joined once for every watcher that needs them all."""

    frames: tuple[Frame, ...]
    payload: bytes


def parse_place(text: str | None) -> Place:
    """'2:413' -> (2, 413); anything else -> (0, 0), the beginning."""
    attempt, _, line = (text or "").partition(":")
    return (int(attempt), int(line)) if attempt.isdecimal() and line.isdecimal() else (0, 0)


def lines_frame(lines: Lines) -> Frame:
    identity = f"{lines.attempt}:{lines.last}"
    payload = event(lines.to_html(), name="lines", event_id=identity)
    return Frame(payload, (lines.attempt, lines.first), (lines.attempt, lines.last))


def state_frame(message: dict[str, Any]) -> Frame:
    """``progress`` where nothing but the progress of a step changed, as it may do every second; else ``state``."""
    name = "progress" if "progress" in message and "step_state" not in message else "state"
    return Frame(event(json.dumps(message, separators=(",", ":")), name=name))


def attempt_frame(where: Position) -> Frame:
    return state_frame({"state": where.state, "attempt": where.attempt})


def sealed_frame(where: Position) -> Frame:
    data = {"lines": where.lines, "state": where.state, "attempt": where.attempt, "more": where.stored_rest}
    return Frame(event(json.dumps(data, separators=(",", ":")), name="sealed"), ends=True)


class LogStream:
    """Reads one run for all watchers of this process; lives as long as somebody watches."""

    _streams: dict[tuple[int, UUID], "LogStream"] = {}

    def __init__(self, run_id: UUID, channel: str) -> None:
        self.run_id = run_id
        self.channel = channel
        self.watchers: set[asyncio.Queue[Piece | None]] = set()
        self._waiting: list[Frame] = []
        self._sent_at = 0.0
        self._rings: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._place: Place = (0, 0)
        # Where the run stood when it was last looked at.
        self._known: Position | None = None
        self._looked_at = 0.0
        self._rendered: dict[Place, Frame] = {}
        self._rendered_bytes = 0
        # One of many who lack the same lines reads them for all.
        self._reading = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        # A watcher replays only after the reader knows its own place; otherwise a line committed between the two
        # would be neither replayed nor sent.
        self.ready = asyncio.Event()

    @classmethod
    def of(cls, run_id: UUID, channel: str) -> "LogStream":
        key = (id(asyncio.get_running_loop()), run_id)
        if key not in cls._streams:
            cls._streams[key] = cls(run_id, channel)
        return cls._streams[key]

    def join(self) -> "asyncio.Queue[Piece | None]":
        queue: asyncio.Queue[Piece | None] = asyncio.Queue(QUEUE_LIMIT)
        self.watchers.add(queue)
        if self._task is None or self._task.done():
            self.ready.clear()
            self._waiting.clear()
            self._task = asyncio.get_running_loop().create_task(self._serve())
        return queue

    def leave(self, queue: "asyncio.Queue[Piece | None]") -> None:
        self.watchers.discard(queue)
        if not self.watchers:
            self._streams.pop((id(asyncio.get_running_loop()), self.run_id), None)
            self._rings.put_nowait(None)

    def _send(self, frame: Frame) -> None:
        """Give a frame to all watchers, together with what comes in the next moment where there are many of them."""
        self._waiting.append(frame)
        if frame.ends or self._due() <= 0:
            self._pass_on()

    def _due(self) -> float:
        """Seconds until what waits goes out."""
        return self._sent_at + len(self.watchers) / WATCHERS_PER_SECOND - time.monotonic()

    def _pass_on(self) -> None:
        piece = Piece(tuple(self._waiting), b"".join(frame.payload for frame in self._waiting))
        self._waiting.clear()
        self._sent_at = time.monotonic()
        for queue in tuple(self.watchers):
            try:
                queue.put_nowait(piece)
            except asyncio.QueueFull:
                self._feed_no_longer(queue)

    def _feed_no_longer(self, queue: "asyncio.Queue[Piece | None]") -> None:
        self.watchers.discard(queue)
        while not queue.empty():
            queue.get_nowait()
        queue.put_nowait(None)

    async def _serve(self) -> None:
        bell = Bell.of_this_loop()
        bell.listen(self.channel, self._rings.put_nowait)
        try:
            self._known = where = await self.position()
            self._looked_at = time.monotonic()
            self._place = (where.attempt, where.lines)
            self.ready.set()
            while self.watchers and not await self._step():
                pass
        except Exception:
            # Nobody may be left watching a reader that is dead: they read for themselves, and the next one is begun.
            logger.exception("stream.reader_failed", extra={"run": str(self.run_id)})
            await asyncio.sleep(LOOK_SECONDS)
            for queue in tuple(self.watchers):
                self._feed_no_longer(queue)
        finally:
            bell.leave(self.channel, self._rings.put_nowait)

    async def _step(self) -> bool:
        """Handle one ring, or look when none came. True when the log is sealed and everybody was told."""
        try:
            async with asyncio.timeout(max(0.0, self._due()) if self._waiting else LOOK_SECONDS):
                ring = await self._rings.get()
        except TimeoutError:
            if self._waiting:
                self._pass_on()
                return False
            ring = None
        if ring is not None and "first" in ring and self._feed(ring):
            return False
        if ring is not None and "state" in ring:
            if ring.get("attempt", 0) > self._place[0]:
                await self._end_attempt()
            self._send(state_frame(ring))
            if self._tells_nothing_new(ring):
                return False
        return await self._look()

    def _tells_nothing_new(self, ring: dict[str, Any]) -> bool:
        """Whether the run is as it was last seen a moment ago: so it is with the progress of a step."""
        known = self._known
        if known is None or time.monotonic() - self._looked_at > LOOK_SECONDS:
            return False
        return known.state in ACTIVE_STATES and (ring["state"], ring.get("attempt")) == (known.state, known.attempt)

    def frame(self, lines: Lines) -> Frame:
        """Lines as they are sent, rendered once for everybody who reads them now."""
        key, last = (lines.attempt, lines.first), (lines.attempt, lines.last)
        found = self._rendered.get(key)
        if found is None or found.last != last:
            self._rendered_bytes -= len(found.payload) if found else 0
            found = self._rendered[key] = lines_frame(lines)
            self._rendered_bytes += len(found.payload)
            while self._rendered_bytes > KEPT_BYTES:
                oldest = next(iter(self._rendered))
                self._rendered_bytes -= len(self._rendered.pop(oldest).payload)
        return found

    def kept_after(self, seen: Place) -> tuple[Position, list[Frame]] | None:
        """What a watcher at ``seen`` lacks, where all of it is still rendered and the run goes on.

        None: PostgreSQL must be asked. So a thousand who come to watch one run do not each read it.
        """
        where = self._going_on()
        if where is None:
            return None
        place, frames = self._chain(seen if seen[0] == where.attempt else (where.attempt, 0))
        return (where, frames) if place >= self._place else None

    def _going_on(self) -> Position | None:
        """Where the run stood when last seen, where it goes on in the attempt that is read; else None."""
        where = self._known
        if where is None or where.sealed or where.state not in ACTIVE_STATES or self._place[0] != where.attempt:
            return None
        return where

    def _chain(self, place: Place) -> tuple[Place, list[Frame]]:
        """What is rendered without a gap from a place on, and where that ends."""
        frames: list[Frame] = []
        while place < self._place:
            frame = self._rendered.get((place[0], place[1] + 1))
            if frame is None or frame.last is None:
                break
            frames.append(frame)
            place = frame.last
        return place, frames

    async def read_for_all(self, seen: Place) -> tuple[Position, list[Frame]] | None:
        """As ``kept_after``, once what is missing has been read; whoever comes meanwhile waits for that.

        None where it is more than is kept: then each reads at their own pace.
        """
        async with self._reading:
            if self._going_on() is None:
                return None
            place = self._chain(seen if seen[0] == self._place[0] else (self._place[0], 0))[0]
            if self._place[1] - place[1] > MOST_READ:
                return None
            if place < self._place:
                for lines in await self.lines_after(place):
                    self.frame(lines)
            return self.kept_after(seen)

    def _feed(self, ring: dict[str, Any]) -> bool:
        """Pass on lines that came with the ring itself. False: they must be read from PostgreSQL."""
        attempt, first = int(ring["attempt"]), int(ring["first"])
        last = first + int(ring["lines"]) - 1
        if (attempt, last) <= self._place:
            return True
        if "body" not in ring or (attempt, first - 1) != self._place:
            return False
        self._send(self.frame(Lines(attempt, first, ring["body"].split("\n"), ring["kinds"], ring["stamps"])))
        self._place = (attempt, last)
        return True

    async def _look(self) -> bool:
        self._known = where = await self.position()
        self._looked_at = time.monotonic()
        if where.attempt > self._place[0]:
            await self._end_attempt()
            self._place = (where.attempt, 0)
            self._send(attempt_frame(where))
        while self._place[1] < where.lines and await self._send_after_place():
            pass
        if where.sealed and where.state not in ACTIVE_STATES and self._place[1] >= where.lines:
            self._send(sealed_frame(where))
            return True
        return False

    async def _end_attempt(self) -> None:
        """What was saved of a worker that died belongs to the attempt before the next, and nothing rang for it."""
        while await self._send_after_place():
            pass

    async def _send_after_place(self) -> bool:
        """Send what PostgreSQL has of this attempt after the place; False where that is nothing."""
        parts = await self.lines_after(self._place) if self._place[0] else []
        for lines in parts:
            self._send(self.frame(lines))
            self._place = (lines.attempt, lines.last)
        return bool(parts)

    async def position(self) -> Position:
        return await self._ask(log_reading.position, self.run_id)

    async def lines_after(self, place: Place) -> list[Lines]:
        return await self._ask(log_reading.lines_after, self.run_id, *place)

    async def _ask(self, read: Callable[..., _T], *args: Any) -> _T:
        """Ask PostgreSQL until it answers; a restart of it must not end a stream."""
        while True:
            try:
                return await read_database(read, *args)
            except DatabaseError as error:
                logger.warning("stream.database_lost", extra={"run": str(self.run_id), "error": str(error)})
                await asyncio.sleep(0.5)


_BEAT = Piece((Frame(BEAT),), BEAT)


class _Watcher:
    """One reader of the stream: where it stands, and how it goes on from there."""

    def __init__(self, stream: LogStream, seen: Place) -> None:
        self.stream = stream
        self.seen = seen
        self.queue = stream.join()
        self.ended = False

    async def replay(self) -> AsyncIterator[bytes]:
        """Everything committed after the place. A new attempt is given from its first line."""
        await self.stream.ready.wait()
        if kept := self.stream.kept_after(self.seen) or await self.stream.read_for_all(self.seen):
            where, frames = kept
            if self.seen[0] != where.attempt:
                self.seen = (where.attempt, 0)
                yield attempt_frame(where).payload
            if frames and frames[-1].last:
                self.seen = frames[-1].last
                yield b"".join(frame.payload for frame in frames)
            return
        where = await self.stream.position()
        if self.seen[0] != where.attempt:
            self.seen = (where.attempt, 0)
            yield attempt_frame(where).payload
        while self.seen[1] < where.lines:
            parts = await self.stream.lines_after(self.seen)
            if not parts:
                break
            for lines in parts:
                yield self.stream.frame(lines).payload
                self.seen = (lines.attempt, lines.last)
        if where.sealed and where.state not in ACTIVE_STATES:
            self.ended = True
            yield sealed_frame(where).payload

    async def listen(self) -> AsyncIterator[bytes]:
        """Frames as they come, until one does not follow the place: then PostgreSQL must be read again.

        What came meanwhile goes out in one piece, so that a thousand watchers cost less for each line when it is busy.
        """
        while not self.ended:
            parts: list[bytes] = []
            follows = self._take(await self._next(), parts)
            while follows and not self.queue.empty():
                follows = self._take(self.queue.get_nowait(), parts)
            if parts:
                yield b"".join(parts)
            if not follows:
                return

    def _take(self, piece: Piece | None, parts: list[bytes]) -> bool:
        """Add a piece's new frames; False where one does not follow, or where this watcher was too slow to be fed."""
        if piece is None:
            return False
        before = len(parts)
        for frame in piece.frames:
            if frame.first is not None and frame.last is not None:
                if frame.last <= self.seen:
                    continue
                if frame.first != (self.seen[0], self.seen[1] + 1):
                    return False
                self.seen = frame.last
            parts.append(frame.payload)
            self.ended = frame.ends
        if len(parts) - before == len(piece.frames):
            parts[before:] = [piece.payload]
        return True

    async def _next(self) -> Piece | None:
        """The next piece; a heartbeat where none came for a while; None: this watcher was too slow to be fed."""
        try:
            async with asyncio.timeout(HEARTBEAT_SECONDS):
                return await self.queue.get()
        except TimeoutError:
            return _BEAT

    def join_again(self) -> None:
        if self.queue not in self.stream.watchers:
            self.stream = LogStream.of(self.stream.run_id, self.stream.channel)
            self.queue = self.stream.join()

    def leave(self) -> None:
        self.stream.leave(self.queue)


async def follow(run_id: UUID, channel: str, seen: Place) -> AsyncGenerator[bytes, None]:
    """All lines after ``seen``, in order, each once, until the log is sealed. Heartbeats keep the line open.

    A watcher that comes back after another attempt began gets that attempt from its first line.
    """
    watcher = _Watcher(LogStream.of(run_id, channel), seen)
    try:
        yield b"retry: 1000\n: connected\n\n"
        while not watcher.ended:
            async for payload in watcher.replay():
                yield payload
            async for payload in watcher.listen():
                yield payload
            watcher.join_again()
    finally:
        watcher.leave()
