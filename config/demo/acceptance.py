"""Cases of acceptance, walked as a person would: the pages of a build opened in staging, and its forms filled in."""

import secrets
from collections.abc import Mapping
from typing import Protocol

import httpx

from config.demo.pages import fields

#: Without it pretalx draws its schedule for a terminal.
_AS_A_BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


class NotAsExpected(Exception):
    """What should happen did not; the text says what was seen."""


class Walk(Protocol):
    """One case, by a person in a browser of its own. Returns what was seen; raises NotAsExpected."""

    def __call__(self, browser: httpx.Client, person: "Person") -> str: ...


class Person:
    """Somebody who is new to the application."""

    def __init__(self, domain: str) -> None:
        self.email = f"demonstration-{secrets.token_hex(4)}@{domain}"
        self.password = secrets.token_urlsafe(16)


class Walks:
    """``address``: where the build answers. One new person walks all cases, each in a browser of its own."""

    def __init__(self, address: str, known: Mapping[str, Walk], domain: str) -> None:
        self.address, self._known, self.person = address, known, Person(domain)

    def walk(self, key: str) -> str:
        """What was seen. NotAsExpected where it is not what the case says, or where nobody knows how to walk it."""
        if key not in self._known:
            raise NotAsExpected(f"the demonstration does not know how to walk the case {key!r}")
        with httpx.Client(base_url=self.address, follow_redirects=True, timeout=60, headers=_AS_A_BROWSER) as browser:
            return self._known[key](browser, self.person)


def submit(browser: httpx.Client, path: str, data: dict[str, str], *, shown_at: str = "") -> httpx.Response:
    """Send the form for ``path`` as it stands on its page, or on that at ``shown_at``, with ``data`` filled in."""
    held = fields(browser.get(shown_at or path).text, path)
    return browser.post(path, data={**held, **data})


def expect(answer: httpx.Response, *texts: str) -> str:
    """The page, which answered and shows these texts."""
    if answer.status_code != 200:
        raise NotAsExpected(f"{answer.url.path} answered {answer.status_code}")
    missing = [text for text in texts if text not in answer.text]
    if missing:
        raise NotAsExpected(f"{answer.url.path} does not show {missing[0]!r}")
    return answer.text
