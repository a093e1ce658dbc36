"""Asks declared requests of one address, and judges each answer.

Nothing but the host of that address is ever asked: a redirect elsewhere is reported, not followed. Certificates are
verified, bodies are read only as far as ``MAX_BODY_BYTES``, proxies of the process are not used.
"""

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from checks.errors import CheckError
from checks.kinds.base import RunContext, StepHandle
from checks.plan import Request
from checks.tools.origins import same_place
from checks.tools.page_forms import forms_in

MAX_BODY_BYTES: Final = 5_000_000
MAX_REDIRECTS: Final = 5
#: How much longer than ``within`` an answer is waited for, so that a slow one is told apart from none at all.
PATIENCE_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.25
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_PASSWORD_FIELD: Final = re.compile(r"<input\b[^>]*\btype\s*=\s*[\"']?password\b", re.IGNORECASE)
#: Addresses of pages that ask strangers who they are.
_WALL: Final = re.compile(
    r"(?<![a-z])(log[-_]?in|sign[-_]?in|o?auth|sso)(?![a-z])|[?&](next|return\w*|redirect\w*|continue|came_from)=",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Answer:
    """How one request was answered. ``problems`` is empty where all was as declared. ``seconds``: until the end.

    ``is_wall``: it was led to a page that asks strangers who they are, and nothing was declared that tells it from
    others; ``asks_password``: so does the page at the very address that was asked.
    """

    path: str
    url: str
    status: int | None
    seconds: float
    problems: tuple[str, ...]
    redirected_to: str = ""
    is_wall: bool = False
    asks_password: bool = False

    @property
    def passed(self) -> bool:
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        return {
            "path": self.path,
            "url": self.url,
            "status": self.status,
            "seconds": round(self.seconds, 4),
            "passed": self.passed,
            "problems": list(self.problems),
            "redirected_to": self.redirected_to,
        }


def address_of(base: str, path: str) -> str:
    """The declared path below the environment's address; a path of the address itself stays in front."""
    return base.split("#", 1)[0].split("?", 1)[0].rstrip("/") + path


def ask_all(
    base: str, requests: Sequence[Request], *, answered: Callable[[Answer], None], check: Callable[[], None]
) -> list[Answer]:
    """Ask every request, one after the other, and return all answers: a failed one hides none of the others.

    ``answered`` is called after each; ``check`` several times a second, and may raise to stop everything. Both may use
    the database: the event loop stands still meanwhile.
    """
    answers: list[Answer] = []
    with asyncio.Runner() as runner:
        session = runner.run(_new_session())
        try:
            for request in requests:
                task = runner.get_loop().create_task(_ask(session, base, request))
                while not task.done():
                    check()
                    runner.run(_wait_for(task))
                answers.append(task.result())
                answered(answers[-1])
        finally:
            runner.run(session.close())
    return answers


async def _new_session() -> aiohttp.ClientSession:
    # A connection for each request: a smoke test must not depend on what an earlier request left open.
    connector = aiohttp.TCPConnector(force_close=True)
    headers = {"User-Agent": "gonogo-smoke", "Accept": "*/*"}
    return aiohttp.ClientSession(connector=connector, headers=headers, trust_env=False)


async def _wait_for(task: "asyncio.Task[Answer]") -> None:
    await asyncio.wait({task}, timeout=_POLL_SECONDS)


def smoke_test(
    context: RunContext, step: StepHandle, base: str, requests: Sequence[Request], answers: list[Answer]
) -> list[str]:
    """Ask the requests inside a step of a run, each answer in its log; return a sentence for each that was not right.

    ``answers`` is filled as they come. CheckError where the environment has no address to ask.
    """
    if not base:
        raise CheckError(
            f"The environment {context.run.environment.name} has no url in the plan.",
            remedy="Publish a plan version that gives it one.",
        )

    def answered(answer: Answer) -> None:
        answers.append(answer)
        words = f"{answer.path}: {answer.status or 'no answer'} in {answer.seconds * 1000:.0f} ms"
        if answer.passed:
            context.note(words)
        else:
            context.warn(f"{words}: {'; '.join(answer.problems)}")
        step.progress(len(answers), len(requests), "requests")

    ask_all(base, requests, answered=answered, check=context.check)
    return [f"{answer.path}: {'; '.join(answer.problems)}" for answer in answers if not answer.passed]


async def _ask(session: aiohttp.ClientSession, base: str, request: Request) -> Answer:
    url = address_of(base, request.path)
    limit = request.within.total_seconds()
    begin = time.monotonic()
    try:
        async with asyncio.timeout(limit + PATIENCE_SECONDS):
            status, body, whole, place, problem = await _get(session, base, url, request)
    except TimeoutError:
        seconds = time.monotonic() - begin
        return Answer(request.path, url, None, seconds, (f"no answer within {seconds:.1f} s, limit {limit:g} s",))
    except aiohttp.ClientError as error:
        return Answer(request.path, url, None, time.monotonic() - begin, (explain(error),))
    except (ValueError, OSError) as error:
        return Answer(request.path, url, None, time.monotonic() - begin, (f"no answer: {error}",))
    seconds = time.monotonic() - begin
    problems = [problem] if problem else _judge(request, status, body, whole)
    if seconds > limit:
        problems.append(f"took {seconds:.2f} s, limit {limit:g} s")
    led = place if place != url else ""
    asks = not request.text and _asks_password(body, place)
    return Answer(request.path, url, status, seconds, tuple(problems), led, asks and bool(led), asks and not led)


def _asks_password(body: str, url: str) -> bool:
    """Whether that is what the page is for: others have such a form at their edge, which sends it to the log-in."""
    if not _PASSWORD_FIELD.search(body):
        return False
    asking = [form for form in forms_in(body, url) if form.password_fields]
    own = not asking or any(urlsplit(form.action).path == urlsplit(url).path for form in asking)
    return own or bool(_WALL.search(url))


async def _get(
    session: aiohttp.ClientSession, base: str, url: str, request: Request
) -> tuple[int, str, bool, str, str]:
    """Status, text, whether the text is whole, where it came from, and why it must not count ('' if it may)."""
    place = url
    for _ in range(MAX_REDIRECTS + 1):
        async with session.get(URL(place), allow_redirects=False) as response:
            target = response.headers.get("Location", "")
            if response.status not in _REDIRECTS or response.status == request.status or not target:
                body, whole = await _read(response)
                return response.status, body, whole, place, ""
            following = str(response.url.join(URL(target)))
            if not same_place(base, following) and not same_place(place, following):
                return response.status, "", True, place, f"redirects to another host, not followed: {following[:300]}"
            place = following
    return response.status, "", True, place, f"redirects more than {MAX_REDIRECTS} times"


async def _read(response: aiohttp.ClientResponse) -> tuple[str, bool]:
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
    return b"".join(pieces)[:MAX_BODY_BYTES].decode(encoding, "replace"), size < MAX_BODY_BYTES


def _judge(request: Request, status: int, body: str, whole: bool) -> list[str]:
    problems = []
    if status != request.status:
        problems.append(f"answered {status}, expected {request.status}")
    if request.text and request.text not in body:
        where = "the answer" if whole else f"the first {MAX_BODY_BYTES:,} bytes of the answer"
        problems.append(f"the text {request.text[:100]!r} is not in {where}")
    return problems


def explain(error: aiohttp.ClientError) -> str:
    """A sentence for why there was no answer: name, connection, certificate, or what the server broke."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"the certificate is not valid: {error.certificate_error}"
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return f"no encrypted connection: {error.os_error}"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"the name {error.host} cannot be resolved"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"no connection to {error.host}:{error.port}: {error.os_error.strerror or error.os_error}"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the server closed the connection without an answer"
    return f"the answer is broken: {type(error).__name__}: {error}"[:300]
