"""The markup of one line of a log, with ANSI colours turned into classes and everything else escaped."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from django.utils import timezone
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

KIND_CLASSES: Final = {"o": "", "c": " cmd", "n": " remark", "e": " err"}
KIND_WORDS: Final = {"o": "", "c": "", "n": "note: ", "e": "error: "}

_COLOURS: Final = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
_STYLES: Final = {1: "bold", 2: "dim", 3: "italic", 4: "underline", 9: "strike"}
_UNSTYLES: Final = {22: {"bold", "dim"}, 23: {"italic"}, 24: {"underline"}, 29: {"strike"}}

# A colour sequence (kept), any other terminal sequence (dropped), or a lone control character (dropped).
_SEQUENCE: Final = re.compile(
    r"\x1b\[(?P<colour>[0-9;]*)m"
    r"|\x1b\[[0-?]*[ -/]*[@-~]"
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"
    r"|\x1b[PX^_][^\x1b]*(?:\x1b\\)?"
    r"|\x1b[ -/]*[0-~]?"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)


def ansi_to_html(text: str) -> SafeString:
    """Turn a line with ANSI colours into safe HTML: spans with classes, no styles, all text escaped.

    Sequences other than colours, control characters and characters that turn the direction of text are dropped.
    """
    if "\x1b" not in text and text.isprintable():
        return mark_safe(escape(text))  # noqa: S308 - escaped
    parts: list[str] = []
    style: dict[str, str] = {}
    at = 0
    for match in _SEQUENCE.finditer(text):
        _append(parts, text[at : match.start()], style)
        at = match.end()
        if (codes := match["colour"]) is not None:
            _apply(style, codes)
    _append(parts, text[at:], style)
    return mark_safe("".join(parts))  # noqa: S308 - every part is escaped in _append


def _append(parts: list[str], text: str, style: dict[str, str]) -> None:
    if not text:
        return
    classes = " ".join(f"ansi-{name}" for name in style.values())
    parts.append(f'<span class="{classes}">{escape(text)}</span>' if classes else str(escape(text)))


def _apply(style: dict[str, str], codes: str) -> None:
    """Change ``style`` by one colour sequence. 256-colour and true-colour codes are read and passed over."""
    numbers = [int(code[:4] or 0) for code in codes.split(";")] if codes else [0]
    index = 0
    while index < len(numbers):
        code = numbers[index]
        index += 1
        if code in (38, 48):
            index += 2 if numbers[index : index + 1] == [5] else 4
        else:
            _apply_code(style, code)


def _apply_code(style: dict[str, str], code: int) -> None:
    if code == 0:
        style.clear()
    elif code in _STYLES:
        style[_STYLES[code]] = _STYLES[code]
    elif code in _UNSTYLES:
        for name in _UNSTYLES[code]:
            style.pop(name, None)
    elif 30 <= code <= 37 or 90 <= code <= 97:
        style["ink"] = _COLOURS[code % 10]
    elif 40 <= code <= 47 or 100 <= code <= 107:
        style["ground"] = f"on-{_COLOURS[code % 10]}"
    elif code == 39:
        style.pop("ink", None)
    elif code == 49:
        style.pop("ground", None)


def log_line(number: int, text: str, *, kind: str = "o", stamp: int | None = None) -> SafeString:
    """Return the markup of line ``number`` (1-based).

    ``kind`` is one letter: o output, c command, n note, e error. ``stamp`` is in milliseconds since 1970; it is
    written in UTC, so that one rendering serves every watcher.
    """
    time = ""
    if stamp is not None:
        moment = datetime.fromtimestamp(stamp / 1000, tz=UTC)
        time = f"{moment:%H:%M:%S}.{moment.microsecond // 100_000}"
    word = f'<span class="sr-only">{KIND_WORDS[kind]}</span>' if KIND_WORDS[kind] else ""
    return mark_safe(  # noqa: S308 - the text is escaped by ansi_to_html, the rest are numbers and constants
        f'<div class="line{KIND_CLASSES[kind]}" id="L{number:d}" data-n="{number:d}">'
        f'<a class="n" href="#L{number:d}">{number:d}</a><span class="at">{time}</span>'
        f'<span class="t">{word}{ansi_to_html(text)}</span></div>'
    )


def log_lines(first: int, texts: Iterable[str], kinds: str, stamps: Iterable[int]) -> SafeString:
    """Return the markup of consecutive lines from line ``first`` on, as a chunk of the log holds them."""
    return mark_safe(  # noqa: S308 - joined from safe parts
        "".join(
            log_line(first + index, text, kind=kind, stamp=stamp)
            for index, (text, kind, stamp) in enumerate(zip(texts, kinds, stamps, strict=True))
        )
    )


def zone_note() -> str:
    """Say in which zone the log's times are, seen from the viewer's zone."""
    here = timezone.localtime().tzname() or ""
    return "times in UTC" if here == "UTC" else f"times in UTC, not in {here}"
