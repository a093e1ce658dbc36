"""The acceptance cases of ThinkInCoin's plan, walked as a learner would: its pages opened, its forms filled in."""

import re
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import httpx

from config.demo.pages import fields

_COURSE: Final = "/courses/what-money-is/"
_CHOSEN: Final = {"theme": "dark", "language": "de", "digest": "weekly", "reminder_hour": "7"}


class NotAsExpected(Exception):
    """What should happen did not; the text says what was seen."""


class Walks:
    """``address``: where the build answers. One new learner walks all cases, each in a browser of its own."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.email = f"demonstration-{secrets.token_hex(4)}@learners.example"
        self.password = secrets.token_urlsafe(16)
        self._known: dict[str, Callable[[httpx.Client], str]] = {
            "lesson": self._lesson,
            "preferences": self._preferences,
            "authors": self._authors,
            "same-address": self._same_address,
        }

    def walk(self, key: str) -> str:
        """What was seen. NotAsExpected where it is not what the case says, or where nobody knows how to walk it."""
        if key not in self._known:
            raise NotAsExpected(f"the demonstration does not know how to walk the case {key!r}")
        with httpx.Client(base_url=self.address, follow_redirects=True, timeout=60) as browser:
            return self._known[key](browser)

    def _lesson(self, browser: httpx.Client) -> str:
        self._sign_up(browser, self.email)
        page = _expect(browser.get(f"{_COURSE}1/"), "What have you kept?")
        questions = dict.fromkeys(re.findall(r'name="(question-\d+)"', page), "0")
        _submit(browser, f"{_COURSE}1/", questions)
        today = f"{datetime.now(UTC):%-d %b %Y}"
        page = _expect(browser.get("/progress/"), "Done", "Score", today, "Go on:")
        found = re.search(r"(\d+) %</td>", page)
        if found is None:
            raise NotAsExpected("My progress shows no score")
        return f"{len(questions)} questions answered, done on {today} with {found.group(1)} %"

    def _preferences(self, browser: httpx.Client) -> str:
        path = "/account/preferences/"
        self._log_in(browser)
        _expect(_submit(browser, path, _CHOSEN), "Your preferences are saved")
        _submit(browser, "/account/log-out/", {}, shown_at="/")
        self._log_in(browser)
        page = _expect(browser.get(path), 'data-theme="dark"')
        held = {name: value for name, value in fields(page, path).items() if name in _CHOSEN}
        if held != _CHOSEN:
            raise NotAsExpected(f"the preferences are {held}")
        return "after a second log-in " + ", ".join(f"{name} {value}" for name, value in held.items())

    @staticmethod
    def _authors(browser: httpx.Client) -> str:
        _expect(browser.get("/courses/"), _COURSE)
        _expect(browser.get(_COURSE), "Mara Lindqvist", "Tobias Achterberg")
        asked = browser.get(f"{_COURSE}1/")
        if asked.url.path != "/account/log-in/":
            raise NotAsExpected(f"the lesson leads a visitor to {asked.url.path}")
        return "both authors are named, and the lesson asks to log in"

    def _same_address(self, browser: httpx.Client) -> str:
        answer = self._ask_for_account(browser, self.email.upper())
        _expect(answer, "There is an account with this address already")
        if browser.get("/progress/").url.path != "/account/log-in/":
            raise NotAsExpected("somebody is logged in")
        return "the second account was refused, and nobody was logged in"

    def _ask_for_account(self, browser: httpx.Client, email: str) -> httpx.Response:
        mine = {"email": email, "display_name": "Demonstration", "password1": self.password, "password2": self.password}
        return _submit(browser, "/account/sign-up/", mine)

    def _sign_up(self, browser: httpx.Client, email: str) -> None:
        _expect(self._ask_for_account(browser, email), "Your account is ready")

    def _log_in(self, browser: httpx.Client) -> None:
        answer = _submit(browser, "/account/log-in/", {"username": self.email, "password": self.password})
        _expect(answer, "Log out")


def _submit(browser: httpx.Client, path: str, data: dict[str, str], *, shown_at: str = "") -> httpx.Response:
    """Send the form for ``path`` as it stands on its page, or on that at ``shown_at``, with ``data`` filled in."""
    held = fields(browser.get(shown_at or path).text, path)
    return browser.post(path, data={**held, **data})


def _expect(answer: httpx.Response, *texts: str) -> str:
    """The page, which answered and shows these texts."""
    if answer.status_code != 200:
        raise NotAsExpected(f"{answer.url.path} answered {answer.status_code}")
    missing = [text for text in texts if text not in answer.text]
    if missing:
        raise NotAsExpected(f"{answer.url.path} does not show {missing[0]!r}")
    return answer.text
