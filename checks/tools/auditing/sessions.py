"""Sessions: rotation at log-in, the cookie's flags and life, log-out, and requests from other sites."""

import http.cookiejar
import secrets
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Final

from checks.tools.auditing import asking, observatory
from checks.tools.auditing.asking import Page, Visitor
from checks.tools.auditing.login import Login, Refused, forms_of
from checks.tools.auditing.looking import NotSeen
from checks.tools.auditing.said import Severity
from checks.tools.page_forms import Form

#: So many characters hold 64 bits even as hexadecimal digits; fewer can be guessed.
SHORTEST_IDENTIFIER: Final = 16
_MOST_COOKIES: Final = 8
#: A server may look whether sessions have ended only every now and then.
IDLE_MARGIN_SECONDS: Final = 5.0
Asked = tuple[str, str, Severity | None]


def look(login: Login, base: str, visitor: Callable[[], Visitor], *, longest_days: float) -> Iterator[Asked]:
    """Log in, and yield each question's rule, what is wrong ('' if nothing), and a severity where it differs."""
    with visitor() as first:
        login.form(first)
        before = first.cookies()
        answer = login.log_in(first)
        cookies = {cookie.name: cookie for cookie in first.jar}
        names = _session_cookies(login, visitor, cookies)
        kept = [name for name in names if before.get(name) == cookies[name].value]
        planted = [] if kept else [name for name in names if _accepts_planted(login, visitor, cookies[name])]
    told = f"The cookie {(kept + planted)[0]} is the same before and after the log-in." if kept + planted else ""
    yield "session-fixation", told, None
    set_by_site = {cookie.name: cookie for cookie in map(observatory.parse_cookie, answer.set_cookies)}
    for name in names:
        yield from _of_cookie(name, set_by_site.get(name), cookies[name], asking.is_loopback(base), longest_days)


def _of_cookie(
    name: str, flags: observatory.Cookie | None, cookie: http.cookiejar.Cookie, local: bool, longest_days: float
) -> Iterator[Asked]:
    secure, http_only = cookie.secure, cookie.has_nonstandard_attr("HttpOnly")
    same_site = flags.same_site if flags else cookie.get_nonstandard_attr("SameSite")
    if flags:
        http_only = flags.http_only
    light = Severity.LOW if local else None
    where = " It is reached without TLS on this machine; look whether production sets it." if local else ""
    yield "session-cookie-without-secure", "" if secure else f"The cookie {name}.{where}", light
    yield "session-cookie-without-httponly", "" if http_only else f"The cookie {name}.", None
    limited = (same_site or "").lower() in {"lax", "strict"}
    yield "session-cookie-without-samesite", "" if limited else f"The cookie {name}: {same_site or 'not set'}.", None
    days = (cookie.expires - time.time()) / 86400 if cookie.expires else 0.0
    long = f"The cookie {name} lives {days:.0f} days; the plan allows {longest_days:g}." if days > longest_days else ""
    yield "session-lives-too-long", long, None
    short = len(cookie.value or "") < SHORTEST_IDENTIFIER
    told = f"The cookie {name} has {len(cookie.value or '')} characters." if short else ""
    yield "session-identifier-too-short", told, None


def _session_cookies(
    login: Login, visitor: Callable[[], Visitor], cookies: dict[str, http.cookiejar.Cookie]
) -> list[str]:
    """The cookies without which the site no longer knows who is asking."""
    if len(cookies) > _MOST_COOKIES:
        raise NotSeen(f"The site sets {len(cookies)} cookies at the log-in, and at most {_MOST_COOKIES} are looked at.")
    names = []
    for name in cookies:
        with visitor() as other:
            _give(other, [cookie for cookie in cookies.values() if cookie.name != name])
            if not login.is_in(other):
                names.append(name)
    if not names:
        raise NotSeen(
            "No cookie holds the session, so nothing can be said of it.", remedy="Only cookies are looked at."
        )
    return names


def _accepts_planted(login: Login, visitor: Callable[[], Visitor], like: http.cookiejar.Cookie) -> bool:
    """Whether a session named by somebody else before the log-in is the visitor's afterwards.

    The form is fetched with it as well: its token often belongs to the session, and would else be refused.
    """
    planted = secrets.token_hex(len(like.value or "") // 2 + 8)[: max(16, len(like.value or ""))]
    with visitor() as victim:
        _give(victim, [_with_value(like, planted)])
        try:
            login.log_in(victim)
        except Refused:
            _refuse_if_nobody_gets_in(login, visitor)
            return False
        after = {cookie.value for cookie in victim.jar if cookie.name == like.name}
    if after == {planted}:
        return True
    with visitor() as thief:
        _give(thief, [_with_value(like, planted)])
        return login.is_in(thief)


def _refuse_if_nobody_gets_in(login: Login, visitor: Callable[[], Visitor]) -> None:
    """NotSeen where the log-in without a planted session is refused as well by now: a refusal then says nothing."""
    with visitor() as other:
        login.log_in(other)


def survives_log_out(login: Login, visitor: Callable[[], Visitor]) -> str:
    """Log in, log out, and come back with the old cookies: what is wrong, or ''."""
    with visitor() as first:
        login.log_in(first)
        old = [_with_value(cookie, cookie.value or "") for cookie in first.jar]
        page = first.get(login.section.marker)
        _log_out(login, first, forms_of(page))
        if login.is_in(first):
            raise NotSeen(f"{login.section.log_out} logs nobody out.", remedy="Correct log_out in the plan.")
    with visitor() as thief:
        _give(thief, old)
        return "The cookies of the ended session still open the account." if login.is_in(thief) else ""


def survives_idleness(
    login: Login, visitor: Callable[[], Visitor], limit: timedelta, waiting: Callable[[float], None]
) -> str:
    """Log in, do nothing for longer than the limit, and come back: what is wrong, or ''. ``waiting``: waits seconds."""
    with visitor() as idle:
        login.log_in(idle)
        waiting(limit.total_seconds() + IDLE_MARGIN_SECONDS)
        if login.is_in(idle):
            return f"A session that was not used for {limit.total_seconds() + IDLE_MARGIN_SECONDS:.0f} s still counts."
    return ""


def _log_out(login: Login, visitor: Visitor, forms: list[Form]) -> None:
    path = login.section.log_out
    if login.section.log_out_method == "GET":
        visitor.get(path)
        return
    own = next((form for form in forms if form.action.rstrip("/").endswith(path.rstrip("/"))), None)
    hidden = own or next((form for form in forms if form.method == "POST" and form.hidden_fields), None)
    data = {name: hidden.values[name] for name in hidden.hidden_fields} if hidden else {}
    visitor.post(path, data)


def forge(visitor: Visitor, path: str, foreign: dict[str, str]) -> tuple[str, Severity | None]:
    """Send a form of a page back unchanged, first as its page would and then as another site would.

    What is wrong, or ''; milder where the session cookie does not travel from other sites anyway.
    """
    page = visitor.get(path)
    form = next((each for each in forms_of(page) if each.method == "POST" and each.values and _is_own(each)), None)
    if page.status >= 400 or form is None:
        raise NotSeen(f"{path} shows no form that could be sent.", remedy="Name another page in the plan (forms).")
    own = visitor.post(form.action, form.values, follow=False)
    if own.status >= 400:
        raise NotSeen(f"The form of {path} is refused as it stands: {own.status}.", remedy="Name another page.")
    answer = visitor.post(form.action, form.without_tokens(form.values), headers=foreign, follow=False)
    if (answer.status, _target(answer)) != (own.status, _target(own)):
        return "", None
    sites = {(cookie.get_nonstandard_attr("SameSite") or "").lower() for cookie in visitor.jar}
    guarded = bool(sites) and sites <= {"lax", "strict"}
    told = f"The form of {path} was accepted from another site without its token."
    return told, Severity.MEDIUM if guarded else None


def _target(page: Page) -> str:
    """Where an answer leads, without what is other each time."""
    return str(page.headers.get("location", "")).split("?")[0]


def _is_own(form: Form) -> bool:
    """Not the form that logs out, which a page often carries as well: it holds nothing but hidden fields."""
    return any(kind != "hidden" for kind in form.types.values())


def _give(visitor: Visitor, cookies: list[http.cookiejar.Cookie]) -> None:
    for cookie in cookies:
        visitor.jar.set_cookie(cookie)


def _with_value(cookie: http.cookiejar.Cookie, value: str) -> http.cookiejar.Cookie:
    return http.cookiejar.Cookie(
        0, cookie.name, value, None, False, cookie.domain, cookie.domain_specified, cookie.domain_initial_dot,
        cookie.path, cookie.path_specified, cookie.secure, None, False, None, None, {},
    )  # fmt: skip
