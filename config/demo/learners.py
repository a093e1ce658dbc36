"""The cases of ThinkInCoin's plan, walked as a learner."""

import re
from datetime import UTC, datetime
from typing import Final

import httpx

from config.demo.acceptance import NotAsExpected, Person, Walk, expect, submit
from config.demo.pages import fields

_COURSE: Final = "/courses/what-money-is/"
_CHOSEN: Final = {"theme": "dark", "language": "de", "digest": "weekly", "reminder_hour": "7"}


def _lesson(browser: httpx.Client, person: Person) -> str:
    _sign_up(browser, person)
    page = expect(browser.get(f"{_COURSE}1/"), "What have you kept?")
    questions = dict.fromkeys(re.findall(r'name="(question-\d+)"', page), "0")
    submit(browser, f"{_COURSE}1/", questions)
    today = f"{datetime.now(UTC):%-d %b %Y}"
    page = expect(browser.get("/progress/"), "Done", "Score", today, "Go on:")
    found = re.search(r"(\d+) %</td>", page)
    if found is None:
        raise NotAsExpected("My progress shows no score")
    return f"{len(questions)} questions answered, done on {today} with {found.group(1)} %"


def _preferences(browser: httpx.Client, person: Person) -> str:
    path = "/account/preferences/"
    _log_in(browser, person)
    expect(submit(browser, path, _CHOSEN), "Your preferences are saved")
    submit(browser, "/account/log-out/", {}, shown_at="/")
    _log_in(browser, person)
    page = expect(browser.get(path), 'data-theme="dark"')
    held = {name: value for name, value in fields(page, path).items() if name in _CHOSEN}
    if held != _CHOSEN:
        raise NotAsExpected(f"the preferences are {held}")
    return "after a second log-in " + ", ".join(f"{name} {value}" for name, value in held.items())


def _authors(browser: httpx.Client, person: Person) -> str:
    expect(browser.get("/courses/"), _COURSE)
    expect(browser.get(_COURSE), "Mara Lindqvist", "Tobias Achterberg")
    asked = browser.get(f"{_COURSE}1/")
    if asked.url.path != "/account/log-in/":
        raise NotAsExpected(f"the lesson leads a visitor to {asked.url.path}")
    return "both authors are named, and the lesson asks to log in"


def _same_address(browser: httpx.Client, person: Person) -> str:
    answer = _ask_for_account(browser, person, person.email.upper())
    expect(answer, "There is an account with this address already")
    if browser.get("/progress/").url.path != "/account/log-in/":
        raise NotAsExpected("somebody is logged in")
    return "the second account was refused, and nobody was logged in"


def _ask_for_account(browser: httpx.Client, person: Person, email: str) -> httpx.Response:
    mine = {"email": email, "display_name": "Demonstration", "password1": person.password, "password2": person.password}
    return submit(browser, "/account/sign-up/", mine)


def _sign_up(browser: httpx.Client, person: Person) -> None:
    expect(_ask_for_account(browser, person, person.email), "Your account is ready")


def _log_in(browser: httpx.Client, person: Person) -> None:
    answer = submit(browser, "/account/log-in/", {"username": person.email, "password": person.password})
    expect(answer, "Log out")


WALKS: Final[dict[str, Walk]] = {
    "lesson": _lesson,
    "preferences": _preferences,
    "authors": _authors,
    "same-address": _same_address,
}
