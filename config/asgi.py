"""The ASGI application: pages, API and event streams."""

import gc
import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from asgiref.sync import ThreadSensitiveContext
from django.core.asgi import get_asgi_application
from django.urls import get_resolver

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

pages = get_asgi_application()

# Load every view now: the master process does it once for all its workers, and no first visitor waits for it.
get_resolver().url_patterns  # noqa: B018 - reading it is what loads it

from config import bodies  # noqa: E402 - its limits are those of forms, which need Django

# What is loaded by now stays for good. Left out of the collector's rounds, it costs no page a pause, and workers go on
# sharing its memory with their master.
gc.freeze()

#: How the addresses of event streams end; a test compares it with the views that stream.
STREAM_ENDINGS = ("/stream", "/events")
# Django gives each request a thread of its own until it ends, and a thread takes a connection of the database's pool.
# A stream needs either for a moment only: a thousand that begin at once would be refused for want of connections.
_threads = itertools.cycle(ThreadPoolExecutor(1, thread_name_prefix=f"stream-{number}") for number in range(4))


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answer a request; what brings too much is refused before it is written anywhere."""
    if scope["type"] != "http":
        await pages(scope, receive, send)
        return
    body = bodies.Body(scope, receive)
    if await body.admit():
        await _answer(scope, body.receive, send)
    if body.refused:
        await _answer({**scope, bodies.REFUSED: body.refused}, body.refusal, send)


async def _answer(scope: Any, receive: Any, send: Any) -> None:
    """Event streams share a few threads."""
    if scope["path"].endswith(STREAM_ENDINGS):
        async with ThreadSensitiveContext(executor=next(_threads)):
            await pages(scope, receive, send)
    else:
        await pages(scope, receive, send)
