"""What somebody learns who does not know a password: who has an account, and how often one may guess."""

import html
import re
import secrets
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from pydantic import Field

from checks.kinds.base import RunContext
from checks.plan import Path, Section
from checks.tools.auditing.asking import Page, Visitor
from checks.tools.auditing.login import Form, Login, forms_of
from checks.tools.auditing.looking import NotSeen

ROUNDS: Final = 4
#: Answers of known and unknown names are told apart by time when every one is slower, by so much and by such a factor.
LEAST_SECONDS: Final = 0.05
LEAST_FACTOR: Final = 1.5
#: A limit may also be felt as a delay that grows.
DELAY_SECONDS: Final = 1.0
_TOKEN: Final = re.compile(r"[A-Za-z0-9+/=_-]{12,}|\d+")
_REFUSING: Final = frozenset({403, 423, 429, 503})


class ResetSection(Section):
    """Where people ask for a new password. ``field``: left empty, the form's only field to type into."""

    page: Path
    field: str = Field(default="", max_length=100, description="The field for the name; left empty, the only one.")


@dataclass(frozen=True)
class Told:
    by_answer: str
    by_time: str


@dataclass(frozen=True)
class _Answer:
    status: int
    path: str
    words: str
    seconds: float

    @classmethod
    def of(cls, page: Page, user: str, seconds: float) -> "_Answer":
        return cls(page.status, urlsplit(page.url).path, _words(page, user), seconds)

    def differs(self, other: "_Answer") -> str:
        if self.status != other.status:
            return f"the status is {self.status} and {other.status}"
        if self.path != other.path:
            return f"it leads to {self.path} and {other.path}"
        return "the pages have other words" if self.words != other.words else ""


def tells_accounts(context: RunContext, login: Login, visitor: Callable[[], Visitor]) -> Told:
    """Try wrong passwords for a name that is known and for one that is not, in turn, and compare the answers."""
    return _told_apart(context, login.user, lambda user: _guess(login, visitor, user), "wrong password")


def reset_tells_accounts(
    context: RunContext, login: Login, section: ResetSection, visitor: Callable[[], Visitor]
) -> Told:
    """Ask for a new password, for a name that is known and for ones that are not, in turn, and compare the answers."""
    return _told_apart(context, login.user, lambda user: _ask_for_reset(section, visitor, user), "reset")


def _told_apart(context: RunContext, user: str, ask: Callable[[str], _Answer], what: str) -> Told:
    known, unknown = [], []
    for _ in range(ROUNDS):
        context.check()
        known.append(ask(user))
        unknown.append(ask(_nobody(user)))
        if {known[-1].status, unknown[-1].status} & _REFUSING:
            # A limit was felt; what is compared from here on would be the limit.
            break
    if len(known) == 1 and known[0].status in _REFUSING:
        raise NotSeen(
            f"The very first {what} is answered with {known[0].status}; an earlier limit may still hold.",
            remedy="Wait until it is over, then run this again.",
        )
    pairs = [pair for pair in zip(known, unknown, strict=True) if not {pair[0].status, pair[1].status} & _REFUSING]
    different = [one.differs(other) for one, other in pairs]
    if different and all(different):
        return Told(f"For a known and an unknown name {different[0]}.", "")
    return Told("", _by_time([one.seconds for one, _ in pairs], [other.seconds for _, other in pairs]))


def _by_time(known: list[float], unknown: list[float]) -> str:
    if len(known) < ROUNDS:
        return ""
    slow, fast = statistics.median(known), statistics.median(unknown)
    apart = min(known) > max(unknown) and slow - fast > LEAST_SECONDS and slow > LEAST_FACTOR * fast
    return f"A known name takes {slow * 1000:.0f} ms, an unknown one {fast * 1000:.0f} ms." if apart else ""


def without_limit(context: RunContext, login: Login, visitor: Callable[[], Visitor], attempts: int) -> str:
    """Guess for an account until a limit is felt: what is wrong, or ''.

    First for a name that nobody has, which locks nobody out; only where that is not limited, for the plan's account.
    """
    for user in (_nobody(login.user), login.user):
        after = _limited_after(context, login, visitor, user, attempts)
        if after:
            context.note(f"A limit was felt after {after} wrong passwords.")
            return ""
    return f"{attempts} wrong passwords for one account were all answered alike."


def _limited_after(context: RunContext, login: Login, visitor: Callable[[], Visitor], user: str, attempts: int) -> int:
    """After how many wrong passwords the answers became others or slow; 0 when they never did."""
    first: _Answer | None = None
    for number in range(1, attempts + 1):
        context.check()
        try:
            answer = _guess(login, visitor, user)
        except NotSeen:
            if first is None:
                raise
            # The log-in page itself is withheld now, or the connection is refused.
            return number - 1
        if answer.status in _REFUSING:
            return number - 1
        if first is None:
            first = answer
        elif answer.differs(first) or answer.seconds > DELAY_SECONDS + 2 * first.seconds:
            return number - 1
    return 0


def _ask_for_reset(section: ResetSection, visitor: Callable[[], Visitor], user: str) -> _Answer:
    with visitor() as stranger:
        page = stranger.get(section.page)
        form, name = _reset_form(page, section)
        began = time.monotonic()
        answer = stranger.post(form.action, {**form.values, name: user})
        seconds = time.monotonic() - began
    if answer.status in {404, 405} or (answer.status >= 500 and answer.status not in _REFUSING):
        raise NotSeen(f"{section.page} answers {answer.status} to a reset.", remedy="See its own log.")
    return _Answer.of(answer, user, seconds)


def _reset_form(page: Page, section: ResetSection) -> tuple[Form, str]:
    if page.status >= 400:
        raise NotSeen(f"The page of resets {section.page} answers {page.status}.", remedy="Correct the plan.")
    for form in forms_of(page):
        typed = [name for name, kind in form.types.items() if kind in {"text", "email", "tel", ""}]
        name = section.field or (typed[0] if len(typed) == 1 else "")
        if form.method == "POST" and name in form.types and not form.password_fields:
            return form, name
    raise NotSeen(
        f"{section.page} shows no form with one field for a name.", remedy="Name its field in the plan (reset.field)."
    )


def _guess(login: Login, visitor: Callable[[], Visitor], user: str) -> _Answer:
    with visitor() as stranger:
        form = login.form(stranger)
        began = time.monotonic()
        page = login.send(stranger, form, form.filled(user, f"wrong-{secrets.token_hex(8)}"))
        seconds = time.monotonic() - began
        if page.status < 400 and login.section.marker_text in page.text and login.is_in(stranger):
            raise NotSeen("A wrong password was let in, or the marker of the plan marks nothing.")
    return _Answer.of(page, user, seconds)


def _words(page: Page, user: str) -> str:
    """The text of a page without what is other each time: the name that was typed, tokens, figures."""
    text = page.text
    for shown in (html.escape(user), user):
        text = text.replace(shown, "NAME")
    return " ".join(_TOKEN.sub("0", text).split())


def _nobody(user: str) -> str:
    """A name that nobody has, of the same form as a name that somebody has."""
    _, at, place = user.partition("@")
    return f"nobody-{secrets.token_hex(4)}{at}{place}" if at else f"nobody{secrets.token_hex(4)}"
