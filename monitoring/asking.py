"""One request of a probe: up or not, how fast, and why not. Asks only the host of the probe's own environment."""

import asyncio
import os
import time
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import aiohttp
from django.utils import timezone
from yarl import URL

from monitoring.domain.probe import Answer

MAX_BODY_BYTES: Final = 1_000_000
MAX_REDIRECTS: Final = 3
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Target:
    """What the prober needs to know of a probe. ``place`` is the address of its environment by the plan."""

    probe_id: int
    url: str
    place: str
    interval: float
    timeout: float
    status: int
    text: str


class ProbeError(Exception):
    """The answer is not what the plan declares; the text says in what."""


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port. ProbeError for what is not a plain http(s) address."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ProbeError("the address is not valid") from None
    if parts.scheme not in _PORTS or not parts.hostname or parts.username is not None or parts.password is not None:
        raise ProbeError("the address is not an http or https address")
    return parts.scheme, parts.hostname.lower().rstrip("."), port or _PORTS[parts.scheme]


def same_place(first: str, second: str) -> bool:
    """One server: same host and port, or http grown to https on the usual ports."""
    one, two = origin(first), origin(second)
    return one == two or (one[1] == two[1] and one[0::2] == ("http", 80) and two[0::2] == ("https", 443))


def new_session(limit: int) -> aiohttp.ClientSession:
    """A fresh connection for each request, so that a probe also sees what a new visitor sees; no cookies, no proxy."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(force_close=True, limit=limit),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "gonogo-probe", "Accept": "*/*"},
        trust_env=False,
    )


async def ask(session: aiohttp.ClientSession, target: Target) -> Answer:
    """One answer; never raises but for cancellation."""
    at, begin = timezone.now(), time.monotonic()
    status: int | None = None
    try:
        if not same_place(target.place, target.url):
            raise ProbeError("the address is no longer one of its environment")
        async with asyncio.timeout(target.timeout):
            status, body = await _get(session, target)
        took = round((time.monotonic() - begin) * 1000, 3)
        if status != target.status:
            error = f"answered {status}, expected {target.status}"
        elif target.text and target.text not in body:
            error = "the expected text is not in the answer"
        else:
            error = ""
        return Answer(target.probe_id, at, not error, status, took, error)
    except TimeoutError:
        error = f"no answer within {target.timeout:g} s"
    except ProbeError as problem:
        error = str(problem)
    except aiohttp.ClientError as problem:
        error = explain(problem)
    except (OSError, ValueError) as problem:
        error = f"no answer: {problem}"
    return Answer(target.probe_id, at, False, status, None, error[:300])


async def _get(session: aiohttp.ClientSession, target: Target) -> tuple[int, str]:
    place = target.url
    for _ in range(MAX_REDIRECTS + 1):
        async with session.get(URL(place), allow_redirects=False) as response:
            onward = response.headers.get("Location", "")
            if response.status not in _REDIRECTS or response.status == target.status or not onward:
                return response.status, await _read(response)
            following = str(response.url.join(URL(onward)))
            if not same_place(target.place, following):
                raise ProbeError("redirects to another host, which is not followed")
            place = following
    raise ProbeError(f"redirects more than {MAX_REDIRECTS} times")


async def _read(response: aiohttp.ClientResponse) -> str:
    pieces, size = [], 0
    async for piece in response.content.iter_chunked(64 * 1024):
        pieces.append(piece)
        size += len(piece)
        if size >= MAX_BODY_BYTES:
            response.close()
            break
    try:
        encoding = response.get_encoding()
    except RuntimeError:
        encoding = "utf-8"
    return b"".join(pieces)[:MAX_BODY_BYTES].decode(encoding, "replace")


def _told(error: OSError) -> str:
    """The system's own word for it, ``connection refused``; asyncio's repeats the address as Python writes it."""
    return os.strerror(error.errno).lower() if error.errno and error.errno > 0 else str(error.strerror or error)


def explain(error: aiohttp.ClientError) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"the certificate is not valid: {error.certificate_error}"
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return f"no encrypted connection: {error.os_error}"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"the name {error.host} cannot be resolved"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"no connection to {error.host}:{error.port}: {_told(error.os_error)}"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the server closed the connection without an answer"
    return f"the answer is broken: {type(error).__name__}"
