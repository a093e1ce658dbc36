"""What somebody learns who does not know a password: who has an account."""

import html
import re
import secrets
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_
from typing import Final
from urllib.parse import urlsplit

from pydantic import Field

from checks.kinds.base import RunContext
from checks.plan import Path, Section
from checks.tools.auditing.asking import Page, Visitor
from checks.tools.auditing.login import Login, forms_of
from checks.tools.auditing.looking import NotSeen
from checks.tools.page_forms import Form

ROUNDS: Final = 4
#: Answers of known and unknown names are told apart by time when every one is slower, by so much and by such a factor.
LEAST_SECONDS: Final = 0.05
LEAST_FACTOR: Final = 1.5
_TOKEN: Final = re.compile(r"[A-Za-z0-9+/=_-]{12,}|\d+")
_REFUSING: Final = frozenset({403, 423, 429})


class ResetSection(Section):
    """Where people ask for a new password. ``field``: left empty, the form's only field to type into."""

    page: Path
    field: str = Field(default="", max_length=100, description="The field for the name; left empty, the only one.")


@dataclass(frozen=True)
class Told:
    """What tells accounts apart. ``by_time``: None where a limit left too few answers to compare their speed."""

    by_answer: str
    by_time: str | None


@dataclass(frozen=True)
class Answer:
    """What a site said to one try. ``words``: of its page, each as often as it stands there."""

    status: int
    path: str
    words: Counter[str]
    seconds: float

    @classmethod
    def of(cls, page: Page, user: str, seconds: float) -> "Answer":
        return cls(page.status, urlsplit(page.url).path, _words(page, user), seconds)


def words_of_all(answers: Sequence[Answer]) -> Counter[str]:
    """What every one of these answers says."""
    return reduce(and_, (each.words for each in answers))


def words_of_any(answers: Sequence[Answer]) -> Counter[str]:
    """What one or another of these answers says."""
    return reduce(or_, (each.words for each in answers), Counter())


def tells_accounts(context: RunContext, login: Login, visitor: Callable[[], Visitor]) -> Told:
    """Try wrong passwords for a name that is known and for one that is not, in turn, and compare the answers."""
    return _told_apart(context, login.user, lambda user: guess(login, visitor, user), "wrong password")


def reset_tells_accounts(
    context: RunContext, login: Login, section: ResetSection, visitor: Callable[[], Visitor]
) -> Told:
    """Ask for a new password, for a name that is known and for ones that are not, in turn, and compare the answers."""
    return _told_apart(context, login.user, lambda user: _ask_for_reset(section, visitor, user), "reset")


def _told_apart(context: RunContext, user: str, ask: Callable[[str], Answer], what: str) -> Told:
    known, unknown = [], []
    for _ in range(ROUNDS):
        context.check()
        known.append(ask(user))
        unknown.append(ask(nobody(user)))
        if {known[-1].status, unknown[-1].status} & _REFUSING:
            # A limit was felt; what is compared from here on would be the limit.
            break
    pairs = [pair for pair in zip(known, unknown, strict=True) if not {pair[0].status, pair[1].status} & _REFUSING]
    if not pairs:
        refused = known[0] if known[0].status in _REFUSING else unknown[0]
        raise NotSeen(
            f"The very first {what} is answered with {refused.status}; an earlier limit may still hold.",
            remedy="Wait until it is over, then run this again.",
        )
    if different := _difference(pairs):
        return Told(f"For a known and an unknown name {different}.", "")
    if broken := next((each.status for pair in pairs for each in pair if each.status >= 500), 0):
        raise NotSeen(
            f"A {what} is answered with {broken}, which says nothing of accounts.",
            remedy="See the application's own log. Where this is how it limits requests, let it answer 429.",
        )
    return Told("", _by_time([one.seconds for one, _ in pairs], [other.seconds for _, other in pairs]))


def _difference(pairs: Sequence[tuple[Answer, Answer]]) -> str:
    """What is other in every pair; words only where they are never said to the others: a page may have random ones."""
    one, other = pairs[0]
    if all(known.status != unknown.status for known, unknown in pairs):
        return f"the status is {one.status} and {other.status}"
    if all(known.path != unknown.path for known, unknown in pairs):
        return f"it leads to {one.path} and {other.path}"
    known, unknown = [known for known, _ in pairs], [unknown for _, unknown in pairs]
    told_apart = words_of_all(known) - words_of_any(unknown) or words_of_all(unknown) - words_of_any(known)
    return "the pages have other words" if told_apart else ""


def _by_time(known: list[float], unknown: list[float]) -> str | None:
    if len(known) < ROUNDS:
        return None
    slow, fast = statistics.median(known), statistics.median(unknown)
    apart = min(known) > max(unknown) and slow - fast > LEAST_SECONDS and slow > LEAST_FACTOR * fast
    return f"A known name takes {slow * 1000:.0f} ms, an unknown one {fast * 1000:.0f} ms." if apart else ""


def _ask_for_reset(section: ResetSection, visitor: Callable[[], Visitor], user: str) -> Answer:
    with visitor() as stranger:
        page = stranger.get(section.page)
        form, name = _reset_form(page, section)
        began = time.monotonic()
        answer = stranger.post(form.action, {**form.values, name: user})
        seconds = time.monotonic() - began
    if answer.status in {404, 405} or answer.status >= 500:
        raise NotSeen(f"{section.page} answers {answer.status} to a reset.", remedy="See its own log.")
    return Answer.of(answer, user, seconds)


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


def guess(login: Login, visitor: Callable[[], Visitor], user: str) -> Answer:
    """Try a wrong password, as a visitor who was never here."""
    with visitor() as stranger:
        form = login.form(stranger)
        began = time.monotonic()
        page = login.send(stranger, form, form.filled(user, f"wrong-{secrets.token_hex(8)}"))
        seconds = time.monotonic() - began
        if page.status < 400 and login.section.marker_text in page.text and login.is_in(stranger):
            raise NotSeen("A wrong password was let in, or the marker of the plan marks nothing.")
    return Answer.of(page, user, seconds)


def _words(page: Page, user: str) -> Counter[str]:
    """The words of a page without what is other each time: the name that was typed, tokens, figures."""
    text = page.text
    for shown in (html.escape(user), user):
        text = text.replace(shown, "NAME")
    return Counter(_TOKEN.sub("0", text).split())


def nobody(user: str) -> str:
    """A name that nobody has, of the same form as a name that somebody has."""
    _, at, place = user.partition("@")
    return f"nobody-{secrets.token_hex(4)}{at}{place}" if at else f"nobody{secrets.token_hex(4)}"
