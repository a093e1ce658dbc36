"""One release of ThinkInCoin from 1.0 to 1.1, walked in a browser by clicking, chapter after chapter.

    journey.reach("approved")      # walks what was not walked yet, up to and with this chapter
    page = journey.page("auditor") # that person's browser, logged in

The chapters are in chapters.py. Tests may ask for any of them in any order.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, expect

from tests.browser.stack import Stack
from tests.interface.browser import Complaints, barriers, show_each_look

#: How long a run may take on a busy machine, in milliseconds.
RUN_MS = 240_000
Chapter = Callable[["Journey"], None]


class Journey:
    """The state of the walk. ``release``: the address of the board, once there is one."""

    def __init__(self, stack: Stack, pictures: Path) -> None:
        self.stack = stack
        self.pictures = pictures
        self.browser: Browser | None = None
        self.release = ""
        self.old_learners = 0
        self.walked: list[str] = []
        self.stopped = ""
        self.faults: dict[str, list[str]] = {}
        self.complaints = Complaints()
        self._pages: dict[str, Page] = {}
        self._log_ins: dict[str, Any] = {}
        self._passwords = stack.passwords()

    def reach(self, chapter: str) -> None:
        """Walk up to and with this chapter; what was walked is not walked again."""
        from tests.browser.chapters import CHAPTERS

        names = list(CHAPTERS)
        for name in names[: names.index(chapter) + 1]:
            assert not self.stopped, f"The journey stopped before: {self.stopped}"
            if name in self.walked:
                continue
            try:
                CHAPTERS[name](self)
            except BaseException as error:
                self.stopped = f"chapter “{name}”: {str(error).splitlines()[0]}; pictures in {self._take_pictures()}"
                raise
            self.walked.append(name)
            self._rest()

    def _rest(self) -> None:
        """Nobody looks at a page between two chapters; seven boards that follow every line are work for nothing."""
        for page in self._pages.values():
            page.goto("about:blank")

    def _take_pictures(self) -> Path:
        for role, page in self._pages.items():
            page.screenshot(path=self.pictures / f"{role}.png", full_page=True)
        return self.pictures

    # --- people

    def use(self, browser: Browser | None) -> None:
        """Walk on in this browser; log-ins are kept."""
        self.browser = browser
        self._pages.clear()

    def page(self, role: str) -> Page:
        """The one page that this person has open."""
        if role not in self._pages:
            self._pages[role] = self.open_page(role)
        return self._pages[role]

    def open_page(self, role: str, path: str = "/") -> Page:
        """One more page of this person; they log in by the form at the first time."""
        assert self.browser is not None
        context = self.browser.new_context(
            viewport={"width": 1280, "height": 900},
            locale="en",
            # Drawing a pulse sixty times a second without a graphics card takes a third of the machine.
            reduced_motion="reduce",
            storage_state=self._log_ins.get(role),
        )
        page = context.new_page()
        self.complaints.listen(page)
        page.goto(self.stack.address + path)
        if role not in self._log_ins:
            self._log_in(page, f"{role}@gonogo.example")
            self._log_ins[role] = context.storage_state()
        return page

    def _log_in(self, page: Page, email: str) -> None:
        page.get_by_label("E-mail address").fill(email)
        page.get_by_label("Password").fill(self._passwords[email])
        page.get_by_role("button", name="Log in", exact=True).click()
        expect(page.get_by_role("navigation", name="Main")).to_be_visible()

    def add_stranger(self) -> None:
        if "stranger@gonogo.example" not in self._passwords:
            self._passwords.update([self.stack.add_stranger()])

    # --- looking

    def board(self, role: str) -> Page:
        """This person's page, at the board."""
        page = self.page(role)
        page.goto(self.release)
        return page

    @contextmanager
    def no_reload(self, page: Page) -> Iterator[None]:
        """Whatever changes inside the block must change on this very page, without a navigation."""
        page.evaluate("window.stays = true")
        yield
        assert page.evaluate("window.stays === true"), f"{page.url} was loaded anew"

    def wait_for_end(self, page: Page, state: str = "Passed") -> None:
        """Wait on a run's page until the run has ended, and ended so."""
        pill = page.locator("#run-head .pill")
        expect(pill).not_to_have_text(re.compile("Queued|Running"), timeout=RUN_MS)
        assert pill.inner_text().strip() == state, page.locator("#run-verdict").inner_text()

    def inspect(self, name: str, page: Page) -> None:
        """Note the faults of a page as it is now: barriers, what the browser complained of, sideways scrolling."""
        found = [f"the browser says: {text}" for text in self.complaints.texts if not _is_meant(text)]
        self.complaints.texts.clear()
        for width in show_each_look(page):
            found += [f"{width} px: {text}" for text in _faults(page, width)]
        self.faults[name] = found


def _is_meant(complaint: str) -> bool:
    """A page that refuses a form (422) or a person (404) is told by the browser as an error, and was asked for."""
    return "status of 422" in complaint or ("status of 404" in complaint and "/static/" not in complaint)


#: The elements that reach farthest to the right, innermost first, so that a page that is too wide can be mended.
_STICKING_OUT = """() => [...document.querySelectorAll("body *")]
    .map((one) => [Math.round(one.getBoundingClientRect().right), one])
    .filter(([right]) => right > document.documentElement.clientWidth)
    .sort((one, other) => other[0] - one[0]).slice(0, 6)
    .map(([right, one]) => [one.tagName, one.getAttribute("class"), right, one.textContent.slice(0, 40)].join(" "))
    .join("; ")"""


def _faults(page: Page, width: int) -> list[str]:
    found = []
    if (wide := page.evaluate("document.documentElement.scrollWidth")) > width:
        found.append(f"it is {wide} px wide, by {page.evaluate(_STICKING_OUT)}")
    return found + barriers(page)
