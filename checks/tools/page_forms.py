"""The forms of a page, as a browser would fill and send them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Final
from urllib.parse import urljoin

_TOKEN_NAME: Final = re.compile(r"csrf|xsrf|token|nonce|state")
_TOKEN_LENGTH: Final = 16
_PRESSED: Final = frozenset({"submit", "button", "image", "reset", "file"})


@dataclass
class Form:
    """A form as a page shows it. ``values``: what a browser would send unchanged; ``types``: field -> input type."""

    action: str
    method: str
    values: dict[str, str] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)

    @property
    def password_fields(self) -> list[str]:
        return [name for name, kind in self.types.items() if kind == "password"]

    @property
    def hidden_fields(self) -> list[str]:
        return [name for name, kind in self.types.items() if kind == "hidden"]

    def without_tokens(self, data: Mapping[str, str]) -> dict[str, str]:
        """The data without what only the site's own page can know: hidden fields that hold a token."""
        tokens = {
            name
            for name in self.hidden_fields
            if _TOKEN_NAME.search(name.lower()) or len(self.values.get(name, "")) >= _TOKEN_LENGTH
        }
        return {name: value for name, value in data.items() if name not in tokens}


class _FormFinder(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self._open: Form | None = None
        self._select = ""
        self._textarea = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        facts = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._open = Form(facts.get("action", ""), facts.get("method", "get").upper())
            self.forms.append(self._open)
        elif self._open is None:
            return
        elif tag == "input":
            self._input(self._open, facts)
        elif tag == "textarea" and facts.get("name"):
            self._textarea = facts["name"]
            self._open.values[self._textarea], self._open.types[self._textarea] = "", "textarea"
        elif tag == "select":
            self._select = facts.get("name", "")
        elif tag == "option" and self._select and ("selected" in facts or self._select not in self._open.values):
            self._open.values[self._select] = facts.get("value", "")
            self._open.types[self._select] = "select"

    def _input(self, form: Form, facts: Mapping[str, str]) -> None:
        name, kind = facts.get("name", ""), facts.get("type", "").lower()
        if not name or kind in _PRESSED:
            return
        form.types[name] = kind
        if kind in {"checkbox", "radio"}:
            if "checked" in facts:
                form.values[name] = facts.get("value") or "on"
        else:
            form.values[name] = facts.get("value", "")

    def handle_data(self, data: str) -> None:
        if self._textarea and self._open is not None:
            self._open.values[self._textarea] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = None
        elif tag == "select":
            self._select = ""
        elif tag == "textarea":
            self._textarea = ""


def forms_in(text: str, url: str) -> list[Form]:
    """Every form of the page that came from ``url``, its action made a whole address."""
    finder = _FormFinder()
    finder.feed(text)
    for form in finder.forms:
        form.action = urljoin(url, form.action) if form.action else url
    return finder.forms
