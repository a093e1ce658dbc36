"""The cases of pretalx's plan, walked as a visitor and as a speaker."""

import re
from html import unescape
from typing import Final

import httpx

from config.demo.acceptance import NotAsExpected, Person, Walk, expect, submit
from config.demo.pages import fields

_EVENT: Final = "/democon"
_TITLE: Final = "What a demonstration tells"
_BIOGRAPHY: Final = "Walks through releases before people do."
#: Seeded in staging for the load test; the call for papers is over.
_INVITATION: Final = f"{_EVENT}/submit/?access_code=LOADTEST"


def _schedule(browser: httpx.Client, person: Person) -> str:
    page = expect(browser.get(f"{_EVENT}/schedule/nojs"), "DemoCon")
    talks = list(dict.fromkeys(re.findall(rf"{_EVENT}/talk/[A-Z0-9]{{6}}/", page)))
    if not talks:
        raise NotAsExpected("the schedule names no talk")
    page = expect(browser.get(talks[0]))
    title = re.search(r"<title>(.*?)::", page, re.DOTALL)
    speakers = re.findall(rf'href="?{_EVENT}/speaker/[A-Z0-9]{{6}}/"?[^>]*>\s*([^<\s][^<]*)', page)
    if title is None or not speakers:
        raise NotAsExpected(f"{talks[0]} names no title or nobody who gives it")
    return f"{len(talks)} talks; {unescape(title[1]).strip()!r} is given by {unescape(speakers[0]).strip()}"


def _proposal(browser: httpx.Client, person: Person) -> str:
    account = {"register_name": "Demonstration", "register_email": person.email,
               "register_password": person.password, "register_password_repeat": person.password}  # fmt: skip
    submit(browser, f"{_EVENT}/login/", account)
    talk = browser.get(_INVITATION)
    told = {"title": _TITLE, "abstract": "It was walked.", "description": "", "notes": ""}
    profile = browser.post(str(talk.url), data={**fields(talk.text, talk.url.path), **told})
    about = {"name": "Demonstration", "biography": _BIOGRAPHY, "availabilities": '{"availabilities": []}'}
    sent = browser.post(str(profile.url), data={**fields(profile.text, profile.url.path), **about})
    if sent.url.path != f"{_EVENT}/me/submissions/":
        raise NotAsExpected(f"the proposal leads to {sent.url.path}")
    expect(sent, _TITLE)
    return "the account was made, and the proposal stands in the list of its own"


def _profile(browser: httpx.Client, person: Person) -> str:
    path = f"{_EVENT}/me/"
    _log_in(browser, person, person.password)
    page = expect(browser.get(path), _BIOGRAPHY, person.email)
    held = fields(page, path).get("name")
    if held != "Demonstration":
        raise NotAsExpected(f"the profile is called {held!r}")
    return "after a second log-in the biography stands as it was sent"


def _wrong_password(browser: httpx.Client, person: Person) -> str:
    _log_in(browser, person, f"{person.password}-")
    asked = browser.get(f"{_EVENT}/me/submissions/")
    if asked.url.path != f"{_EVENT}/login/":
        raise NotAsExpected("somebody is logged in")
    return "nobody was logged in, and the speaker's own pages ask for it"


def _log_in(browser: httpx.Client, person: Person, password: str) -> None:
    submit(browser, f"{_EVENT}/login/", {"login_email": person.email, "login_password": password})


WALKS: Final[dict[str, Walk]] = {
    "schedule": _schedule,
    "proposal": _proposal,
    "profile": _profile,
    "wrong-password": _wrong_password,
}
