"""What a person reads from a page: what it says went wrong, and what its form already holds."""

from html import unescape
from html.parser import HTMLParser
from urllib.parse import urlsplit

#: Elements without an end tag.
_VOID = frozenset({"br", "img", "input", "path", "circle", "rect", "use", "hr", "meta", "link"})
#: What a browser does not send of a form that a person submits by its button.
_NOT_SENT = frozenset({"submit", "button", "file", "reset", "image"})


class _Refusals(HTMLParser):
    """Collects the text of everything that a page shows as an error."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        classes = (dict(attrs).get("class") or "").split()
        if self._depth:
            self._depth += tag not in _VOID
        elif dict(attrs).get("role") == "alert" or {"error", "errors"} & set(classes):
            self._depth = 1
            self.texts.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        return

    def handle_endtag(self, tag: str) -> None:
        if self._depth:
            self._depth -= 1

    def handle_data(self, data: str) -> None:
        if self._depth and data.strip():
            self.texts[-1] += f"{data.strip()} "


class _Form(HTMLParser):
    """Collects what a browser would send of the form that posts to ``path``, or to the page itself."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self._path = path
        self._inside = False
        self._text: str | None = None
        self._select: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        name, value = given.get("name") or "", given.get("value") or ""
        if tag == "form":
            action = urlsplit(given.get("action") or self._path).path
            self._inside = (given.get("method") or "").lower() == "post" and action == self._path
        elif not self._inside:
            return
        elif tag == "select":
            self._select = name
        elif tag == "option" and self._select:
            if "selected" in given or self._select not in self.fields:
                self.fields[self._select] = value
        elif tag == "textarea" and name:
            self._text = name
            self.fields[name] = ""
        elif tag == "input" and name:
            self._input(name, value, given)

    def _input(self, name: str, value: str, given: dict[str, str | None]) -> None:
        kind = given.get("type") or "text"
        if kind in _NOT_SENT or (kind in {"checkbox", "radio"} and "checked" not in given):
            return
        self.fields[name] = value or ("on" if kind == "checkbox" else "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False
        elif tag == "select":
            self._select = None
        elif tag == "textarea":
            self._text = None

    def handle_data(self, data: str) -> None:
        if self._text:
            self.fields[self._text] += data


def refusals(page: str) -> str:
    """What a page says went wrong, as plain text; empty when it shows no error."""
    parser = _Refusals()
    parser.feed(page)
    return " ".join(dict.fromkeys(unescape(text).strip() for text in parser.texts if text.strip()))


def fields(page: str, path: str) -> dict[str, str]:
    """What a browser would send of the page's form for ``path`` if nobody changed anything in it."""
    parser = _Form(path)
    parser.feed(page)
    return parser.fields
