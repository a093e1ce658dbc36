"""Facts that anybody sees from outside: the answer's status, headers and cookies, TLS, and what can be reached."""

import contextlib
import http.client
import re
import socket
import ssl
import time
import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from checks.tools.parity.facts import Area, Side
from checks.tools.parity.rules import REACHABLE

SECONDS: Final = 10.0
LEAST_DAYS: Final = 14
#: After so long what is left of a cookie's life is another whole number of seconds.
_LATER_SECONDS: Final = 1.1
_UNREADABLE: Final = "the address cannot be read, or names no host and port"
#: Another value with every answer, or with every content.
_VOLATILE: Final = frozenset({
    "age", "alt-svc", "cf-ray", "connection", "content-length", "date", "etag", "expires", "keep-alive",
    "last-modified", "nel", "report-to", "server-timing", "set-cookie", "traceparent", "transfer-encoding",
    "x-amz-cf-id", "x-cache", "x-correlation-id", "x-request-id", "x-response-time", "x-runtime", "x-served-by",
    "x-timer", "x-trace-id",
})  # fmt: skip
#: Each is tried by itself, since the one that is agreed on hides what else would be taken.
_VERSIONS = (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
_NONCE = re.compile(r"'nonce-[^']+'")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443, "smtp": 25, "smtps": 465, "submission": 587, "redis": 6379,
                         "rediss": 6379, "postgresql": 5432, "postgres": 5432, "amqp": 5672, "amqps": 5671,
                         "ldap": 389, "ldaps": 636, "mysql": 3306}  # fmt: skip


def gather(url: str, pages: Sequence[str], side: Side) -> None:
    """Headers of the first answer of each page, and TLS of the address. Nothing is followed."""
    if not url:
        for area in (Area.HTTP, Area.TLS):
            side.miss(area, "the environment has no url in the plan")
        return
    try:
        _tls(url, side)
    except (OSError, ValueError) as error:
        side.miss(Area.TLS, _told(error))
    lives: dict[str, dict[str, str]] = {}
    for page in pages:
        try:
            lives[page] = _page(url, page, side)
        except (OSError, http.client.HTTPException, ValueError) as error:
            side.miss(Area.HTTP, f"{page}: {_told(error)}")
    _leave_out_what_is_left(url, lives, side)


def _leave_out_what_is_left(url: str, lives: Mapping[str, Mapping[str, str]], side: Side) -> None:
    """Beside Expires Max-Age is a life that was chosen, or what is left until a moment; only a second look tells.

    ``lives``: page -> cookie with both -> its Max-Age. Where nothing is answered again, it is compared as it was.
    """
    if any(lives.values()):
        time.sleep(_LATER_SECONDS)
    for page, ages in lives.items():
        if not ages:
            continue
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            again = {_cookie(value)[0]: value for name, value in _answer(url, page)[1] if name.lower() == "set-cookie"}
            for cookie, age in ages.items():
                if _life(again.get(cookie, "")) not in ("", age):
                    side.put(Area.HTTP, f"{page} cookie {cookie}", _cookie(again[cookie], "max-age=")[1])


def reach(address: str) -> str:
    """'reachable', or why not. http and https are asked for an answer, everything else for a connection."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port or _DEFAULT_PORTS.get(parts.scheme)
        if not host or not port:
            return f"not reachable: {_UNREADABLE}"
        if parts.scheme in ("http", "https"):
            connection = _connection(parts.scheme, host, port, ssl.create_default_context())
            try:
                connection.request("GET", parts.path or "/", headers={"User-Agent": "gonogo-parity"})
                status = connection.getresponse().status
            finally:
                connection.close()
            return REACHABLE if status < 500 else f"not reachable: answered {status}"
        socket.create_connection((host, port), timeout=SECONDS).close()
    except (OSError, http.client.HTTPException, ValueError) as error:
        return f"not reachable: {_told(error)}"
    return REACHABLE


def _connection(scheme: str, host: str, port: int, context: ssl.SSLContext) -> http.client.HTTPConnection:
    if scheme == "https":
        return http.client.HTTPSConnection(host, port, timeout=SECONDS, context=context)
    return http.client.HTTPConnection(host, port, timeout=SECONDS)


def _unverified() -> ssl.SSLContext:
    """For looking at what is there; whether the certificate holds is a fact of its own."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _answer(url: str, page: str) -> tuple[int, list[tuple[str, str]]]:
    """The status and the headers of a page."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    port = parts.port or _DEFAULT_PORTS[parts.scheme]
    connection = _connection(parts.scheme, parts.hostname, port, _unverified())
    try:
        path = parts.path.rstrip("/") + page
        connection.request("GET", path, headers={"User-Agent": "gonogo-parity", "Accept": "text/html,*/*"})
        answer = connection.getresponse()
        return answer.status, answer.getheaders()
    finally:
        connection.close()


def _page(url: str, page: str, side: Side) -> dict[str, str]:
    """Puts what a page answers; returns Max-Age of each cookie that has Expires beside it."""
    status, headers = _answer(url, page)
    side.put(Area.HTTP, f"{page} status", str(status))
    parts = urlsplit(url)
    found: dict[str, list[str]] = {}
    ages: dict[str, str] = {}
    for name, value in headers:
        if name.lower() == "set-cookie":
            cookie, attributes = _cookie(value)
            side.put(Area.HTTP, f"{page} cookie {cookie}", attributes)
            if life := _life(value):
                ages[cookie] = life
        elif name.lower() not in _VOLATILE:
            settled = _settled(value, parts.netloc, parts.hostname or parts.netloc)
            found.setdefault(name.lower(), []).append(_in_order(settled) if "-policy" in name.lower() else settled)
    for name, values in found.items():
        # A header of this name is no status: servers behind others send it, whatever is answered in the end.
        side.put(Area.HTTP, f"{page} {'status header' if name == 'status' else name}", ", ".join(values))
    return ages


def _settled(value: str, *places: str) -> str:
    """A header's value without what differs by nature: the environment's own address, and nonces."""
    for place in places:
        value = value.replace(place, "{host}")
    return _NONCE.sub("'nonce-…'", value)


def _in_order(policy: str) -> str:
    """Directives of a policy in one order, since theirs says nothing."""
    return "; ".join(sorted(part.strip() for part in policy.split(";") if part.strip()))


def _life(value: str) -> str:
    """A cookie's Max-Age where it has Expires as well; '' where it has not both."""
    attributes = dict(part.strip().lower().partition("=")[::2] for part in value.split(";")[1:])
    return attributes.get("max-age", "") if "expires" in attributes else ""


def _cookie(value: str, *besides: str) -> tuple[str, str]:
    """A cookie's name, and its attributes in order; its value, when it ends and for which host it is are left out.

    ``besides``: beginnings of further attributes to leave out.
    """
    first, *rest = value.split(";")
    attributes = [part.strip() for part in rest]
    kept = sorted(part for part in attributes if not part.lower().startswith(("expires=", "domain=", *besides)))
    return first.split("=", 1)[0].strip(), "; ".join(kept) or "no attributes"


def _tls(url: str, side: Side) -> None:
    parts = urlsplit(url)
    side.put(Area.TLS, "used", "yes" if parts.scheme == "https" else "no")
    if parts.scheme != "https":
        return
    assert parts.hostname is not None
    place = (parts.hostname, parts.port or 443)
    try:
        with socket.create_connection(place, timeout=SECONDS) as plain:
            ssl.create_default_context().wrap_socket(plain, server_hostname=parts.hostname).close()
        side.put(Area.TLS, "certificate holds", "yes")
    except ssl.SSLCertVerificationError as error:
        side.put(Area.TLS, "certificate holds", f"no: {error.verify_message}")
    with (
        socket.create_connection(place, timeout=SECONDS) as plain,
        _unverified().wrap_socket(plain, server_hostname=parts.hostname) as secure,
    ):
        side.put(Area.TLS, "protocol", secure.version() or "")
        side.put(Area.TLS, "cipher", (secure.cipher() or ("",))[0])
        encoded = secure.getpeercert(binary_form=True) or b""
    for version in _VERSIONS:
        side.put(Area.TLS, version.name.replace("_", "."), _taken(place, version))
    _certificate(x509.load_der_x509_certificate(encoded), side)


def _taken(place: tuple[str, int], version: ssl.TLSVersion) -> str:
    """The cipher of a connection by this version of TLS alone, or 'refused'."""
    context = _unverified()
    context.set_ciphers("ALL:@SECLEVEL=0")  # ours must not be what refuses an old one
    with warnings.catch_warnings(category=DeprecationWarning, action="ignore"):
        context.minimum_version = context.maximum_version = version
    try:
        with (
            socket.create_connection(place, timeout=SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=place[0]) as secure,
        ):
            return (secure.cipher() or ("unknown",))[0]
    except (ssl.SSLError, ConnectionError):
        return "refused"


def _certificate(certificate: x509.Certificate, side: Side) -> None:
    issuer = certificate.issuer
    names = issuer.get_attributes_for_oid(NameOID.ORGANIZATION_NAME) or issuer.get_attributes_for_oid(
        NameOID.COMMON_NAME
    )
    side.put(Area.TLS, "issuer", str(names[0].value) if names else "none")
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        side.put(Area.TLS, "key", f"RSA {key.key_size}")
    elif isinstance(key, ec.EllipticCurvePublicKey):
        side.put(Area.TLS, "key", f"EC {key.curve.name}")
    else:
        side.put(Area.TLS, "key", type(key).__name__)
    days = (certificate.not_valid_after_utc - datetime.now(UTC)).days
    side.put(Area.TLS, f"lasts {LEAST_DAYS} days", "yes" if days >= LEAST_DAYS else f"no: {days} days")
    side.put(Area.TLS, "signature", str(getattr(certificate.signature_hash_algorithm, "name", "none")))


def _told(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {SECONDS:g} s"
    if isinstance(error, http.client.InvalidURL) or (isinstance(error, ValueError) and not isinstance(error, OSError)):
        return _UNREADABLE  # their own words quote the address, with its password
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__)[:200]
