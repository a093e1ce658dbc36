"""Asks pages of one site as a browser would, with cookies, for the looks at headers and at the log-in.

Nothing but the site's own host is ever asked: a redirect elsewhere is told, not followed. Certificates are verified,
proxies of the process are not used, and bodies are read only as far as ``MAX_BODY_BYTES``.
"""

import email.message
import functools
import http.client
import http.cookiejar
import io
import ipaddress
import socket
import ssl
import time
import urllib.request
import urllib.response
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Self, cast
from urllib.parse import urljoin, urlsplit

import httpx

from checks.tools.auditing.looking import NotSeen
from checks.tools.http import address_of
from checks.tools.origins import origin, same_place

MAX_BODY_BYTES: Final = 2_000_000
MAX_REDIRECTS: Final = 8
PATIENCE_SECONDS: Final = 15.0
#: A page that sends a little all the time would never end.
LONGEST_ANSWER_SECONDS: Final = 60.0
AGENT: Final = "gonogo-audit"


class CertificateNotValid(NotSeen):
    """The site's certificate is not valid, so nothing that it says was read."""


class NobodyListens(NotSeen):
    """The connection to ``address`` was refused: there is no such server."""

    def __init__(self, address: str, said: str) -> None:
        self.address = address
        super().__init__(f"No answer from {urlsplit(address).netloc}: {said}.", remedy="See whether it runs.")


class LeadsElsewhere(NotSeen):
    """A redirect leads to another host, which was not asked. ``route``: the addresses up to that one."""

    def __init__(self, base: str, route: Sequence[str]) -> None:
        self.route = tuple(route)
        super().__init__(
            f"{base} leads to another host, {route[-1][:200]}, which was not asked.",
            remedy="Name the host that answers as the environment's url in the plan.",
        )


@dataclass(frozen=True)
class Page:
    """One answer after its redirects. ``route``: every address asked on the way with its status, the last one too."""

    url: str
    status: int
    headers: httpx.Headers
    text: str
    seconds: float
    set_cookies: tuple[str, ...]
    route: tuple[tuple[str, int], ...] = field(default=())

    @property
    def is_html(self) -> bool:
        return self.headers.get("content-type", "text/html").split(";")[0].strip() in {
            "text/html",
            "application/xhtml+xml",
        }


class Visitor:
    """One visitor of one site, with cookies of its own. Use it as a context manager."""

    def __init__(self, base: str, *, authority: str | None = None, headers: Mapping[str, str] | None = None) -> None:
        """``authority``: a PEM file of a certificate authority that is believed as well."""
        if not base:
            raise NotSeen("The environment has no url in the plan.", remedy="Give it one.")
        try:
            origin(base)
        except ValueError as error:
            raise NotSeen(f"The environment's url cannot be asked: {error}.", remedy="Correct the plan.") from None
        self.base = base
        verify = _trusting(authority)
        # A browser sends cookies for HTTPS only to this very machine as well, for nobody listens on the way there.
        safe = ("http", "https") if is_loopback(base) else ("https",)
        self.jar = http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(secure_protocols=safe))
        self.client = httpx.Client(
            verify=verify,
            trust_env=False,
            follow_redirects=False,
            timeout=PATIENCE_SECONDS,
            headers={"User-Agent": AGENT, "Accept": "text/html,*/*;q=0.8", **(headers or {})},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def cookies(self) -> dict[str, str]:
        return {cookie.name: cookie.value or "" for cookie in self.jar}

    def address(self, path: str) -> str:
        return path if "://" in path else address_of(self.base, path)

    def get(self, path: str, *, headers: Mapping[str, str] | None = None, follow: bool = True) -> Page:
        """Ask a path below the site, or a whole address on it."""
        return self._ask("GET", self.address(path), None, headers, follow)

    def post(
        self, path: str, data: Mapping[str, str], *, headers: Mapping[str, str] | None = None, follow: bool = True
    ) -> Page:
        """Send a form, with the Referer and Origin that a browser sends."""
        address = self.address(path)
        scheme, host, _, _, _ = urlsplit(address)
        own = {"Referer": address, "Origin": f"{scheme}://{host}", **(headers or {})}
        return self._ask("POST", address, data, own, follow)

    def _ask(
        self,
        method: str,
        address: str,
        data: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
        follow: bool,
    ) -> Page:
        route: list[tuple[str, int]] = []
        cookies: list[str] = []
        began = time.monotonic()
        for _ in range(MAX_REDIRECTS + 1):
            if not same_host(self.base, address):
                raise LeadsElsewhere(self.base, [*(asked for asked, _ in route), address])
            response, text = self._send(method, address, data, headers)
            route.append((address, response.status_code))
            cookies += response.headers.get_list("set-cookie")
            target = response.headers.get("location", "")
            if not follow or response.status_code not in {301, 302, 303, 307, 308} or not target:
                seconds = time.monotonic() - began
                return Page(
                    address, response.status_code, response.headers, text, seconds, tuple(cookies), tuple(route)
                )
            address = urljoin(address, target)
            if response.status_code in {301, 302, 303}:
                method, data = "GET", None
        raise NotSeen(f"{route[0][0]} redirects more than {MAX_REDIRECTS} times.")

    def _send(
        self, method: str, address: str, data: Mapping[str, str] | None, headers: Mapping[str, str] | None
    ) -> tuple[httpx.Response, str]:
        asked = urllib.request.Request(address)  # noqa: S310 - never opened; it carries cookies to and from the jar
        self.jar.add_cookie_header(asked)
        cookies = asked.get_header("Cookie")
        own = {"Cookie": cookies} if cookies else {}
        sent = {**own, **(headers or {})}
        # The client's own jar would keep cookies for HTTPS to itself on this machine.
        self.client.cookies.clear()
        request = self.client.build_request(method, address, data=dict(data) if data else None, headers=sent)
        try:
            response = self.client.send(request, stream=True)
            try:
                body = _body(address, response)
            finally:
                response.close()
        except httpx.HTTPError as error:
            raise _explained(address, error) from error
        # The jar asks an answer for its headers only.
        self.jar.extract_cookies(cast(http.client.HTTPResponse, _Told(response)), asked)
        return response, body.decode(response.encoding or "utf-8", "replace")


def _body(address: str, response: httpx.Response) -> bytes:
    """As much of an answer as is looked at, piece by piece as it comes."""
    body, end = bytearray(), time.monotonic() + LONGEST_ANSWER_SECONDS
    for piece in response.iter_bytes():
        body += piece
        if len(body) >= MAX_BODY_BYTES:
            break
        if time.monotonic() > end:
            raise NotSeen(
                f"{address} was still sending its answer after {LONGEST_ANSWER_SECONDS:g} s.",
                remedy="Name pages that come to an end.",
            )
    return bytes(body)


class _Told(urllib.response.addinfourl):
    """The cookies of an answer as the jar of the standard library reads them."""

    def __init__(self, response: httpx.Response) -> None:
        message = email.message.Message()
        for value in response.headers.get_list("set-cookie"):
            message["Set-Cookie"] = value
        super().__init__(io.BytesIO(), message, str(response.url))


def is_loopback(url: str) -> bool:
    """Whether an address is this machine itself, as a browser sees it."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def takes_connection(address: str) -> bool:
    """Whether anything takes a TCP connection there: one that is refused, dropped or not routed is none."""
    parts = urlsplit(address)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 80), timeout=PATIENCE_SECONDS).close()
    except socket.gaierror as error:
        raise NotSeen(f"The name {parts.hostname} leads nowhere: {error.strerror}.") from error
    except OSError:
        return False
    return True


def same_host(base: str, address: str) -> bool:
    """Whether an address is of the site: the same place, or the same host by HTTPS instead of HTTP."""
    try:
        if same_place(base, address):
            return True
        one, two = origin(base), origin(address)
    except ValueError:
        return False
    return one[1] == two[1] and {one[2], two[2]} <= {80, 443}


@functools.lru_cache(maxsize=8)
def _trusting(authority: str | None) -> ssl.SSLContext:
    """Made once, since reading all the authorities of a system takes longer than many requests."""
    try:
        return ssl.create_default_context(cafile=authority)
    except (OSError, ssl.SSLError) as error:
        raise NotSeen(f"The certificate authority {authority} cannot be read: {error}.") from None


def _explained(address: str, error: httpx.HTTPError) -> NotSeen:
    host = urlsplit(address).netloc
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return CertificateNotValid(
            f"The certificate of {host} is not valid: {error}.",
            remedy="Renew it, or name its authority in the plan (authority) where it is your own.",
        )
    if isinstance(error, httpx.TimeoutException):
        return NotSeen(f"{host} gave no answer within {PATIENCE_SECONDS:g} s.", remedy="See whether it runs.")
    said = str(error) or type(error).__name__
    if isinstance(error, httpx.ConnectError) and _was_refused(error):
        return NobodyListens(address, said)
    return NotSeen(f"No answer from {host}: {said}.", remedy="See whether it runs.")


def _was_refused(error: BaseException | None) -> bool:
    """The client wraps what the system says in errors of its own."""
    while error is not None and not isinstance(error, ConnectionRefusedError):
        error = error.__cause__ or error.__context__
    return error is not None
