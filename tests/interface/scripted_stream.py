"""A small server that plays the part of a run's log, so that a test can do what a network does: drop, repeat, skip.

The page, its scripts and its lines are the real ones; only the order in which they arrive is scripted.
"""

import asyncio
import json
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from aiohttp import web
from django.contrib.staticfiles import finders

from releases.templatetags.interface_log import log_lines

WAIT = 10


class ScriptedStream:
    """Serves ``pages`` (path to HTML), /static/, /stream and /lines on a free port of the loopback."""

    def __init__(self) -> None:
        self.pages: dict[str, str] = {}
        self.parts: dict[str, int] = {}
        self.part_takes = 0.0
        self.texts: list[str] = []
        self.attempt = 1
        self.asked: list[str] = []
        self.filled: list[str] = []
        self.replays = True
        self.refuses_lines = False
        self.url = ""
        self._watchers: dict[web.StreamResponse, asyncio.Event] = {}
        # While a watcher joins, nothing is printed or told: what it is replayed and what it is told would overlap.
        self._joining = asyncio.Lock()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> "ScriptedStream":
        self._thread.start()
        assert self._ready.wait(WAIT)
        return self

    def __exit__(self, *_: object) -> None:
        self.drop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT)

    # What a test does.

    def write(self, *texts: str) -> None:
        """The run prints lines; nobody is told yet."""
        self._run(self._write(texts))

    def send(self, first: int, last: int) -> None:
        """Tell every watcher the lines from ``first`` to ``last``."""
        self._run(self._broadcast(self.frame(first, last)))

    def ring(self, name: str, data: str = "{}") -> None:
        self._run(self._broadcast(f"event: {name}\ndata: {data}\n\n".encode()))

    def seal(self, lines: int | None = None) -> None:
        self.ring("sealed", json.dumps({"lines": len(self.texts) if lines is None else lines}))

    def drop(self) -> None:
        """Cut every connection, as a network does."""
        self._run(self._drop())

    def frame(self, first: int, last: int) -> bytes:
        html = self.lines(first, last)
        return f"id: {self.attempt}:{last}\nevent: lines\ndata: {html}\n\n".encode()

    def lines(self, first: int, last: int) -> str:
        texts = self.texts[first - 1 : last]
        return str(log_lines(first, texts, "o" * len(texts), [1_764_000_000_000] * len(texts)))

    @property
    def watchers(self) -> int:
        return len(self._watchers)

    # The server.

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(WAIT)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        app = web.Application()
        app.router.add_get("/static/{path:.+}", self._static)
        app.router.add_get("/stream", self._stream)
        app.router.add_get("/lines", self._lines)
        app.router.add_get("/part/{name}", self._part)
        app.router.add_get("/{name}", self._page)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        self._loop.run_until_complete(runner.setup())
        site = web.TCPSite(runner, "127.0.0.1", 0)
        self._loop.run_until_complete(site.start())
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()

    async def _page(self, request: web.Request) -> web.Response:
        html = self.pages.get(request.match_info["name"])
        return web.Response(text=html, content_type="text/html") if html else web.Response(status=404)

    async def _part(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        self.parts[name] = self.parts.get(name, 0) + 1
        html = self.pages[f"part-{name}"].replace("COUNT", str(self.parts[name]))
        await asyncio.sleep(self.part_takes)
        return web.Response(text=html, content_type="text/html")

    async def _static(self, request: web.Request) -> web.StreamResponse:
        found = finders.find(request.match_info["path"])
        return web.FileResponse(Path(str(found))) if found else web.Response(status=404)

    async def _lines(self, request: web.Request) -> web.Response:
        self.filled.append(request.query["after"])
        if self.refuses_lines:
            return web.Response(status=503)
        after = int(request.query["after"].split(":")[1])
        return web.Response(text=self.lines(after + 1, len(self.texts)), content_type="text/html")

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        place = request.headers.get("Last-Event-ID") or request.query.get("after", "0:0")
        self.asked.append(place)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        async with self._joining:
            await response.prepare(request)
            await response.write(b"retry: 100\n: connected\n\n")
            after = int(place.split(":")[1]) if int(place.split(":")[0]) == self.attempt else 0
            if self.replays and after < len(self.texts):
                await response.write(self.frame(after + 1, len(self.texts)))
            cut = self._watchers[response] = asyncio.Event()
        try:
            await cut.wait()
        finally:
            self._watchers.pop(response, None)  # also where the page has closed it, which cancels this
        return response

    async def _write(self, texts: tuple[str, ...]) -> None:
        async with self._joining:
            self.texts.extend(texts)

    async def _broadcast(self, payload: bytes) -> None:
        async with self._joining:
            for watcher in tuple(self._watchers):
                try:
                    await watcher.write(payload)
                except ConnectionError:  # the page has closed it
                    self._watchers.pop(watcher).set()

    async def _drop(self) -> None:
        for cut in self._watchers.values():
            cut.set()
        self._watchers.clear()
        await asyncio.sleep(0.05)
