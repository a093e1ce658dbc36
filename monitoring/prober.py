"""The prober: one process that asks every probe on its interval, records the answers, and looks at watched releases.

The asking is asynchronous and never waits for the database. Answers gather in memory and are written in batches by
one thread; while PostgreSQL is away they wait, at most ``MAX_WAITING`` of them, and are written when it is back.
"""

import asyncio
import functools
import logging
import random
import signal
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import aiohttp
from django.db import DatabaseError, InterfaceError, close_old_connections, connections

from monitoring.asking import Target, ask, new_session
from monitoring.domain import delivery, probe, watch
from monitoring.domain.probe import Answer
from monitoring.models import Probe

logger = logging.getLogger(__name__)

RELOAD_SECONDS: Final = 2.0
WRITE_SECONDS: Final = 0.5
WATCH_SECONDS: Final = 3.0
DELIVER_SECONDS: Final = 2.0
SYNC_SECONDS: Final = 300.0
PRUNE_SECONDS: Final = 3600.0
MOST_AT_ONCE: Final = 200
MAX_WAITING: Final = 100_000
MAX_BATCH: Final = 2_000
_AWAY = (DatabaseError, InterfaceError)

_T = TypeVar("_T")


def read_targets() -> list[Target]:
    """All enabled probes, as the prober asks them."""
    return [
        Target(
            probe_id=one.pk,
            url=one.url,
            place=one.environment.url,
            interval=float(one.interval_seconds),
            timeout=float(one.timeout_seconds),
            status=one.expect_status,
            text=one.expect_text,
        )
        for one in Probe.objects.filter(enabled=True).select_related("environment").order_by("pk")
    ]


class Prober:
    """Runs until ``stop`` is called; then what was answered is still written."""

    def __init__(self) -> None:
        self._stopping = asyncio.Event()
        self._waiting: deque[Answer] = deque(maxlen=MAX_WAITING)
        self._following: dict[Target, asyncio.Task[None]] = {}
        self._at_once = asyncio.Semaphore(MOST_AT_ONCE)
        # One thread for the database and one for alerts, which may wait long for a mail server.
        self._database = ThreadPoolExecutor(1, thread_name_prefix="prober-database")
        self._alerts = ThreadPoolExecutor(1, thread_name_prefix="prober-alerts")
        self._session: aiohttp.ClientSession | None = None

    def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        """Until ``stop``: follow the probes, write, watch, deliver. One broken part does not end the others."""
        self._session = new_session(MOST_AT_ONCE)
        parts = [
            asyncio.create_task(self._every(RELOAD_SECONDS, self._reload), name="reload"),
            asyncio.create_task(self._every(WRITE_SECONDS, self._write), name="write"),
            asyncio.create_task(self._every(WATCH_SECONDS, self._look), name="watch"),
            asyncio.create_task(self._every(DELIVER_SECONDS, self._deliver), name="deliver"),
            asyncio.create_task(self._every(SYNC_SECONDS, self._sync), name="sync"),
            asyncio.create_task(self._every(PRUNE_SECONDS, self._prune), name="prune"),
        ]
        try:
            await self._stopping.wait()
        finally:
            await self._end([*parts, *self._following.values()])

    async def _end(self, tasks: list[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
        try:
            await self._write()
        except _AWAY:
            logger.error("prober.unwritten", extra={"answers": len(self._waiting)})
        for executor in (self._database, self._alerts):
            await asyncio.get_running_loop().run_in_executor(executor, connections.close_all)
            executor.shutdown(wait=True)

    async def _every(self, seconds: float, part: Callable[[], Any]) -> None:
        """Do a part again and again. While the database is away it is tried more and more slowly, to 10 s."""
        failures = 0
        while True:
            try:
                await part()
                failures = 0
            except asyncio.CancelledError:
                raise
            except _AWAY as error:
                failures += 1
                logger.warning("prober.database_away", extra={"part": part.__name__, "error": str(error)[:200]})
            except Exception:
                failures += 1
                logger.exception("prober.part_broke", extra={"part": part.__name__})
            await asyncio.sleep(seconds if not failures else min(10.0, max(seconds, 0.5 * 2 ** min(failures, 5))))

    async def _in(self, executor: ThreadPoolExecutor, function: Callable[[], _T]) -> _T:
        def call() -> _T:
            close_old_connections()
            try:
                return function()
            except _AWAY:
                connections.close_all()
                raise

        return await asyncio.get_running_loop().run_in_executor(executor, call)

    async def _reload(self) -> None:
        """Begin to follow new and changed probes, and stop following those that are gone."""
        wanted = set(await self._in(self._database, read_targets))
        for target in self._following.keys() - wanted:
            self._following.pop(target).cancel()
        for target in wanted - self._following.keys():
            self._following[target] = asyncio.create_task(self._follow(target))

    async def _follow(self, target: Target) -> None:
        """Ask on the beat of the interval: a slow answer or a busy moment shifts no later one."""
        assert self._session is not None
        loop = asyncio.get_running_loop()
        # Probes begin spread over their interval, so that they never all ask in the same instant.
        begin = loop.time() + random.uniform(0, min(target.interval, 5.0))  # noqa: S311 - no secret
        beat = 0
        while True:
            await asyncio.sleep(max(0.0, begin + beat * target.interval - loop.time()))
            async with self._at_once:
                self._waiting.append(await ask(self._session, target))
            beat = max(beat + 1, int((loop.time() - begin) // target.interval) + 1)

    async def _write(self) -> None:
        """Write what waits. What was not surely committed goes back; an answer written twice is dropped by its time."""
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(MAX_BATCH, len(self._waiting)))]
            try:
                await self._in(self._database, functools.partial(probe.record_results, batch))
            except BaseException:
                room = MAX_WAITING - len(self._waiting)
                self._waiting.extendleft(reversed(batch[-room:] if room else []))
                raise

    async def _look(self) -> None:
        await self._in(self._database, watch.tick)

    async def _deliver(self) -> None:
        await self._in(self._alerts, delivery.deliver_due)

    async def _sync(self) -> None:
        await self._in(self._database, probe.sync_all)

    async def _prune(self) -> None:
        await self._in(self._alerts, probe.prune)


async def serve() -> None:
    """Run a prober until SIGTERM or SIGINT."""
    prober = Prober()
    loop = asyncio.get_running_loop()
    for one in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(one, prober.stop)
    began = time.monotonic()
    logger.info("prober.started")
    await prober.run()
    logger.info("prober.stopped", extra={"seconds": round(time.monotonic() - began)})
