"""Middleware of the whole site."""

import re
from collections.abc import Awaitable, Callable
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils import timezone
from django.utils.decorators import sync_and_async_middleware
from ulid import ULID

from checks.advisory_views import osv_query
from config.failures import unread
from releases import request_id

HEADER = "X-Request-ID"
# What a proxy in front may send; anything else is replaced, so that a log line cannot be forged.
ACCEPTABLE = re.compile(r"[A-Za-z0-9._-]{8,64}\Z")
#: Where a request carries that its body was not let in (config.bodies), and why.
REFUSED = "gonogo.refused"
PERMISSIONS_POLICY = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"


class RequestIdMiddleware:
    """Give each request an id: `request.id`, `releases.request_id.current()`, and the answer's header."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]) -> None:
        self.get_response = get_response
        self.is_async = bool(iscoroutinefunction(get_response))
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.is_async:
            return self._answer_async(request)
        token = request_id.bind(self._name(request))
        try:
            response = self.get_response(request)
            assert isinstance(response, HttpResponseBase)
            return self._mark(request, response)
        finally:
            request_id.release(token)

    async def _answer_async(self, request: HttpRequest) -> HttpResponseBase:
        token = request_id.bind(self._name(request))
        try:
            response = self.get_response(request)
            assert isinstance(response, Awaitable)
            return self._mark(request, await response)
        finally:
            request_id.release(token)

    @staticmethod
    def _name(request: HttpRequest) -> str:
        given = request.headers.get(HEADER, "")
        value = given if ACCEPTABLE.match(given) else str(ULID())
        setattr(request, "id", value)  # noqa: B010 - HttpRequest declares no such attribute
        return value

    @staticmethod
    def _mark(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        response.headers[HEADER] = getattr(request, "id", "")
        response.headers.setdefault("Permissions-Policy", PERMISSIONS_POLICY)
        return response


class OsvMiddleware:
    """Answer OSV's question at once: a tool asks for each package, and what looks for a session or a person finds none.

    The address is the one that OSV's own service has, so that a tool needs only another host.
    """

    sync_capable = True
    async_capable = True
    path = "/v1/query"

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]) -> None:
        self.get_response = get_response
        self.is_async = bool(iscoroutinefunction(get_response))
        self.answer: Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]] = osv_query
        if self.is_async:
            markcoroutinefunction(self)
            self.answer = sync_to_async(osv_query)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        return self.answer(request) if request.path == self.path else self.get_response(request)


@sync_and_async_middleware
def refuse_null_bytes(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """No address has a null byte in it, and PostgreSQL takes none; forms refuse them field by field."""

    def refuse(request: HttpRequest) -> None:
        if "\x00" in request.path or "%00" in request.META.get("QUERY_STRING", ""):
            raise BadRequest("a null byte in the address")

    def answer(request: HttpRequest) -> Any:
        refuse(request)
        return get_response(request)

    async def answer_async(request: HttpRequest) -> Any:
        refuse(request)
        return await get_response(request)

    return answer_async if iscoroutinefunction(get_response) else answer


@sync_and_async_middleware
def refuse_bodies(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Answer what ``config.bodies`` did not let in. The connection ends: nobody reads the rest of the body."""

    def refusal(request: HttpRequest) -> HttpResponse | None:
        refused = getattr(request, "scope", {}).get(REFUSED)
        if refused is None:
            return None
        answer = unread(request, **refused)
        answer.headers["Connection"] = "close"
        return answer

    def answer(request: HttpRequest) -> Any:
        return refusal(request) or get_response(request)

    async def answer_async(request: HttpRequest) -> Any:
        return refusal(request) or await get_response(request)

    return answer_async if iscoroutinefunction(get_response) else answer


class TimeZoneMiddleware:
    """Show times in the zone the person chose; a stranger sees UTC."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]) -> None:
        self.get_response = get_response
        self.is_async = bool(iscoroutinefunction(get_response))
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.is_async:
            return self._answer_async(request)
        with timezone.override(self._zone(request.user)):
            response = self.get_response(request)
            assert isinstance(response, HttpResponseBase)
            return response

    async def _answer_async(self, request: HttpRequest) -> HttpResponseBase:
        with timezone.override(self._zone(await request.auser())):
            response = self.get_response(request)
            assert isinstance(response, Awaitable)
            return await response

    @staticmethod
    def _zone(user: object) -> ZoneInfo:
        try:
            return ZoneInfo(getattr(user, "time_zone", "UTC"))
        except (ZoneInfoNotFoundError, ValueError):
            return ZoneInfo("UTC")
