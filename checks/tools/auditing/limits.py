"""Whether somebody who guesses passwords is limited.

A refusal that means nothing else (429, 423) is a limit when it is met once. Whatever else becomes other, such as a
refusal, words or a delay, must stay so over several guesses in a row: pages have random words, and servers are slow for
a moment. A delay is a limit only where a name that was never tried is answered at once meanwhile: a server with much to
do is slow for everybody. A site that breaks or drops the connection has shown nothing.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final

from checks.kinds.base import RunContext
from checks.tools.auditing.asking import Visitor
from checks.tools.auditing.guessing import Answer, guess, nobody, words_of_all, words_of_any
from checks.tools.auditing.login import Login, Refused, refuse_broken
from checks.tools.auditing.looking import NotSeen

#: Answers that say nothing but that there were too many.
LIMITED: Final = frozenset({423, 429})
#: A limit may also be felt as a delay that grows.
DELAY_SECONDS: Final = 1.0
#: So often whoever seems to be delayed and somebody else are asked in turns.
IN_TURNS: Final = 2
#: So many answers in a row must have become other in the same way; more where the page has random words anyway.
IN_A_ROW: Final = 3
IN_A_ROW_AMONG_RANDOM_WORDS: Final = 6
#: How often the page is opened beforehand to see whether it has random words.
OPENED: Final = 4


def without_limit(context: RunContext, login: Login, visitor: Callable[[], Visitor], attempts: int) -> str:
    """Guess for an account until a limit is felt: what is wrong, or ''. NotSeen where the site breaks meanwhile.

    First for a name that nobody has, which locks nobody out; only where that is not limited, for the plan's account.
    """
    opened = _opened(login, visitor)
    for user in (nobody(login.user), login.user):
        after = _limited_after(context, login, visitor, user, attempts, opened)
        if after is not None:
            context.note(f"A limit was felt after {after} wrong passwords.")
            return ""
    return f"{attempts} wrong passwords for one account were all answered alike."


def _limited_after(
    context: RunContext,
    login: Login,
    visitor: Callable[[], Visitor],
    user: str,
    attempts: int,
    opened: Sequence[Answer],
) -> int | None:
    """After how many wrong passwords a limit was felt, 0 where an earlier one still holds; None when it never was."""
    answers: list[Answer] = []
    for _ in range(attempts):
        context.check()
        answer = _answer(login, visitor, user, first=not answers)
        if answer.status in LIMITED:
            return len(answers)
        answers.append(answer)
        for row in (IN_A_ROW, IN_A_ROW_AMONG_RANDOM_WORDS):
            before, last = answers[:-row], answers[-row:]
            if before and _became_other(before, last, opened, words_are_random=row > IN_A_ROW):
                return len(before)
        before, last = answers[:-IN_A_ROW], answers[-IN_A_ROW:]
        if before and all(each.seconds > _slow(before) for each in last):
            context.check()
            if _is_delayed_alone(login, visitor, user, _slow(before)):
                return len(before)
    return None


def _slow(before: Sequence[Answer]) -> float:
    """What takes longer than so many seconds has become slow."""
    return DELAY_SECONDS + 2 * min(each.seconds for each in before)


def _is_delayed_alone(login: Login, visitor: Callable[[], Visitor], user: str, slow: float) -> bool:
    """Whether this name still waits while another, never tried, does not. NotSeen where everybody waits."""
    for _ in range(IN_TURNS):
        other = _answer(login, visitor, nobody(login.user), first=False)
        again = _answer(login, visitor, user, first=False)
        if LIMITED & {other.status, again.status}:
            return True
        if again.seconds <= slow:
            return False
        if other.seconds > slow:
            raise NotSeen(
                f"Log-in became slow: over {slow:.1f} s, also for a name that was never tried. That is no limit, or one"
                " that nobody can tell from a server with too much to do.",
                remedy="Run it again when nothing else happens there. Where this is how it limits requests, let it"
                " answer 429.",
            )
    return True


def _became_other(
    before: Sequence[Answer], last: Sequence[Answer], opened: Sequence[Answer], *, words_are_random: bool
) -> bool:
    ways = {(each.status, each.path) for each in last}
    if len(ways) == 1 and not ways & {(each.status, each.path) for each in before}:
        return True
    random = len({frozenset(each.words.items()) for each in opened}) > 1
    random |= len({frozenset(each.words.items()) for each in before}) > 1
    if random and not words_are_random:
        return False
    return bool(words_of_all(last) - words_of_any([*before, *opened]))


def _answer(login: Login, visitor: Callable[[], Visitor], user: str, *, first: bool) -> Answer:
    """What a wrong password is answered with, or the log-in page by itself where that is withheld by now."""
    began = time.monotonic()
    try:
        answer = guess(login, visitor, user)
    except Refused as withheld:
        if first and withheld.page.status not in LIMITED:
            raise
        answer = Answer.of(withheld.page, user, time.monotonic() - began)
    refuse_broken(answer, login.section.page)
    return answer


def _opened(login: Login, visitor: Callable[[], Visitor]) -> list[Answer]:
    """The log-in page as several strangers see it."""
    pages = []
    for _ in range(OPENED):
        with visitor() as stranger:
            pages.append(stranger.get(login.section.page))
    return [Answer.of(page, login.user, page.seconds) for page in pages]
