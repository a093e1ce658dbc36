"""How much a request may bring, and how long it may take.

Django writes the whole body of a request to disk before any view runs, so before it is known who asks. Without a limit
here, anybody who reaches the port could fill the disk. Only those who are logged in, or have a key for reports, may
bring more than a form, and only where something is uploaded.
"""

import asyncio
from collections.abc import Mapping
from io import BytesIO
from typing import Any, Final

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.sessions.backends.db import SessionStore
from django.core.handlers.asgi import ASGIRequest
from django.db import connections
from django.http import Http404
from django.urls import resolve

from checks.advisory_forms import MAX_ARCHIVE_BYTES
from checks.reports_api import MAX_REPORT_BYTES
from config.middleware import REFUSED as REFUSED
from releases.domain.case import MAX_SCREENSHOT_BYTES
from releases.domain.evidence import MAX_ATTACHMENT_BYTES
from releases.domain.token import token_of
from releases.forms.release import MAX_BUILD_BYTES

#: For everybody, everywhere: forms, plans, questions of a tool.
FORM_BYTES: Final = 4 * 1024**2
#: For those who are known, by the name of the address; the rest of the form comes on top.
UPLOADS: Final[Mapping[str, int]] = {
    "releases:new": MAX_BUILD_BYTES,
    "releases:sign_off": MAX_ATTACHMENT_BYTES,
    "releases:waiver": MAX_ATTACHMENT_BYTES,
    "releases:case": MAX_SCREENSHOT_BYTES,
    "checks:advisories": MAX_ARCHIVE_BYTES,
    "checks:launch": 2 * MAX_REPORT_BYTES,
    "api:send_report": 2 * MAX_REPORT_BYTES,
}
#: So little comes at once, whoever sends it.
AT_ONCE_BYTES: Final = 64 * 1024
#: A form has to be here in so long; of an upload the next piece.
SECONDS: Final = 60


class Body:
    """The body of one request on its way in: ``receive`` is what Django reads."""

    def __init__(self, scope: Mapping[str, Any], receive: Any) -> None:
        self.scope, self._receive = scope, receive
        self.limit = FORM_BYTES
        self.refused: dict[str, int] = {}
        self._is_upload = False
        self._taken, self._whole, self._told = 0, False, False
        self._until = asyncio.get_running_loop().time() + SECONDS

    async def admit(self) -> bool:
        """Set the limit; False where the request itself says that it is longer."""
        said = dict(self.scope["headers"]).get(b"content-length", b"0")
        length = int(said) if said.isdigit() else 0
        is_chunked = b"transfer-encoding" in dict(self.scope["headers"])
        if (most := _upload(self.scope)) and (is_chunked or length > AT_ONCE_BYTES):
            async with ThreadSensitiveContext():
                if await sync_to_async(_is_known)(self.scope):
                    self.limit, self._is_upload = most + FORM_BYTES, True
        if length > self.limit:
            self.refused = {"status": 413, "limit": self.limit}
        return not self.refused

    async def receive(self) -> dict[str, Any]:
        """The next message; that the other side went away where it brings too much or takes too long."""
        if self._whole:
            return dict(await self._receive())
        try:
            async with asyncio.timeout_at(self._until):
                message = dict(await self._receive())
        except TimeoutError:
            return self._stop(408)
        if self._is_upload:
            self._until = asyncio.get_running_loop().time() + SECONDS
        self._taken += len(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        return self._stop(413) if self._taken > self.limit else message

    def _stop(self, status: int) -> dict[str, Any]:
        self.refused = {"status": status, "limit": self.limit}
        return {"type": "http.disconnect"}

    async def refusal(self) -> dict[str, Any]:
        """What is received instead of the body: nothing, and then that the other side went away."""
        if not self._told:
            self._told = True
            return {"type": "http.request", "body": b"", "more_body": False}
        while (message := await self._receive())["type"] != "http.disconnect":
            pass  # What still arrives goes nowhere.
        return dict(message)


def _upload(scope: Mapping[str, Any]) -> int:
    """The bytes that may be uploaded at this address, 0 where nothing is."""
    try:
        return UPLOADS.get(resolve(scope["path"]).view_name, 0) if scope["method"] == "POST" else 0
    except Http404:
        return 0


def _is_known(scope: Mapping[str, Any]) -> bool:
    """Whether whoever asks is logged in or has a key. What they may do is asked later, by the view."""
    request = ASGIRequest(scope, BytesIO())
    word, _, key = request.headers.get("Authorization", "").partition(" ")
    try:
        if request.path.startswith("/api/"):
            return word.lower() == "bearer" and token_of(key) is not None
        request.session = SessionStore(request.COOKIES.get(settings.SESSION_COOKIE_NAME))
        return get_user(request).is_authenticated
    finally:
        connections.close_all()
