"""Whether somebody who guesses passwords is limited.

A refusal that means nothing else (429, 423) is a limit when it is met once. Whatever else becomes other, such as a
refusal, words or a delay, must stay so over several guesses in a row: pages have random words, and servers are slow for
a moment. A site that breaks or drops the connection has shown nothing.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final

from checks.kinds.base import RunContext
from checks.tools.auditing.asking import Visitor
from checks.tools.auditing.guessing import Answer, guess, nobody, words_of_all, words_of_any
from checks.tools.auditing.login import Login, Refused, refuse_broken

#: Answers that say nothing but that there were too many.
LIMITED: Final = frozenset({423, 429})
#: A limit may also be felt as a delay that grows.
DELAY_SECONDS: Final = 1.0
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
    return None


def _became_other(
    before: Sequence[Answer], last: Sequence[Answer], opened: Sequence[Answer], *, words_are_random: bool
) -> bool:
    ways = {(each.status, each.path) for each in last}
    if len(ways) == 1 and not ways & {(each.status, each.path) for each in before}:
        return True
    if all(each.seconds > DELAY_SECONDS + 2 * before[0].seconds for each in last):
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
