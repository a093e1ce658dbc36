"""Masks secrets in a stream of bytes, wherever the stream is cut, in every form in which programs print them.

A form is the secret as it is, as base64 at any offset (standard and URL alphabet), also in lines, URL-encoded, JSON-,
XML- or Python-escaped, and each long line of a secret of many lines. What may be the beginning of a form is held back
until more bytes decide it; so nothing that a form covers is ever let through, and everything else is passed on
unchanged.
"""

import base64
import html
import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

from checks.places import Places
from checks.wrapping import WRAPPED_AFTER, Unwrapped

MASK = b"***"
#: Encoded forms of shorter secrets would be too short to mean anything.
SHORTEST_ENCODED = 4
#: Lines of a secret that are shorter than this are not masked on their own ("-----", "{").
SHORTEST_LINE = 8
_PERCENT = re.compile(rb"%[0-9A-F]{2}")


def forms(secret: str) -> set[bytes]:
    """Every form in which a secret is looked for; empty for a blank secret."""
    found: set[bytes] = set()
    if not secret.strip():
        return found
    for value in {secret, secret.strip(), secret.replace("\r\n", "\n"), secret.replace("\n", "\r\n")}:
        raw = value.encode("utf-8", "surrogateescape")
        found.add(raw)
        if len(raw) >= SHORTEST_ENCODED:
            found |= _base64_forms(raw) | _url_forms(raw) | _escaped_forms(value)
    for line in secret.splitlines():
        if len(line.strip()) >= SHORTEST_LINE:
            found.add(line.strip().encode("utf-8", "surrogateescape"))
    found.discard(b"")
    return found


def base64_words(secret: str) -> set[bytes]:
    """The forms that a program may divide into lines."""
    found: set[bytes] = set()
    for value in {secret, secret.strip(), secret.replace("\r\n", "\n"), secret.replace("\n", "\r\n")}:
        raw = value.encode("utf-8", "surrogateescape")
        if value.strip() and len(raw) >= SHORTEST_ENCODED:
            found |= _base64_forms(raw)
    return found


def _base64_forms(raw: bytes) -> set[bytes]:
    """The characters that the secret alone decides, for each of the three places it can have in a group of three."""
    found: set[bytes] = set()
    for alphabet in (base64.standard_b64encode, base64.urlsafe_b64encode):
        whole = alphabet(raw)
        found |= {whole, whole.rstrip(b"=")}
        for offset, skipped in ((0, 0), (1, 2), (2, 3)):
            encoded = alphabet(b"\0" * offset + raw)
            core = encoded[skipped : (offset + len(raw)) * 8 // 6]
            if len(core) >= SHORTEST_ENCODED:
                found.add(core)
    return found


def _url_forms(raw: bytes) -> set[bytes]:
    found = {quote(raw, safe="").encode(), quote(raw).encode(), quote_plus(raw).encode(), quote_plus(raw, "/").encode()}
    return found | {_PERCENT.sub(lambda match: match.group().lower(), form) for form in found}


def _escaped_forms(value: str) -> set[bytes]:
    texts = {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], html.escape(value)}
    texts |= {html.escape(value, quote=False), repr(value)[1:-1]}
    texts |= {text.replace("/", "\\/") for text in texts}
    return {text.encode("utf-8", "surrogateescape") for text in texts}


class Vocabulary:
    """The secrets of one attempt; grows while it runs. Shared by all its streams, safe between threads."""

    def __init__(self, places: Places | None = None) -> None:
        #: The worker's folders, which whole texts and lines name instead of showing where they are.
        self.places = places or Places()
        self._forms: frozenset[bytes] = frozenset()
        self.generation = 0
        self.pattern: re.Pattern[bytes] | None = None
        self.ordered: tuple[bytes, ...] = ()
        #: Those of them that may be divided into lines.
        self.words: tuple[bytes, ...] = ()

    def add(self, secrets: Iterable[str]) -> None:
        """Mask these from now on."""
        secrets = list(secrets)
        grown = self._forms.union(*(forms(secret) for secret in secrets))
        if grown != self._forms:
            self._forms = frozenset(grown)
            # The longest first: where two begin at the same place, the longer one is taken.
            self.ordered = tuple(sorted(grown, key=lambda form: (-len(form), form)))
            self.words = tuple(sorted(set(self.words).union(*(base64_words(secret) for secret in secrets))))
            self.pattern = re.compile(b"|".join(re.escape(form) for form in self.ordered), re.DOTALL)
            self.generation += 1

    def mask_text(self, text: str) -> str:
        """Mask one whole text, and name the worker's folders in it."""
        if self.pattern is not None:
            masker = Masker(self)
            masked = masker.feed(text.encode("utf-8", "surrogatepass")) + masker.finish()
            text = masked.decode("utf-8", "replace")
        return self.places.shown(text)

    def mask_json(self, value: Any) -> Any:
        """Mask every text inside a value, keys too, and make the rest fit for JSON: what JSON lacks becomes a text."""
        if isinstance(value, str):
            return self.mask_text(value)
        if isinstance(value, Mapping):
            return {self.mask_text(str(key)): self.mask_json(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.mask_json(item) for item in value]
        if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
            return value
        return self.mask_text(str(value))


class Masker:
    """Masks one stream. ``feed`` returns what is decided so far; ``finish`` returns the rest."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._held = b""
        #: The end of what was let through: it tells whether a break wraps base64.
        self._context = b""
        #: So many bytes at the start of ``_held`` belong to a form whose mask was already put out.
        self._covered = 0

    @property
    def holding(self) -> bool:
        return bool(self._held)

    def feed(self, data: bytes) -> bytes:
        buffer = self._held + data
        if not buffer:
            return b""
        if self._vocabulary.pattern is None:
            self._held = b""
            self._remember(buffer)
            return buffer
        decided = _first_possible(buffer, self._vocabulary.ordered)
        unwrapped = Unwrapped(self._context, buffer)
        if unwrapped.has_wraps:
            possible = unwrapped.first_possible(self._vocabulary.words)
            decided = decided if possible is None else min(decided, possible)
        return self._pass(buffer, decided, unwrapped)

    def finish(self) -> bytes:
        """The stream is over: what was held back is no form any more."""
        buffer, self._held = self._held, b""
        if not buffer or self._vocabulary.pattern is None:
            return buffer
        return self._pass(buffer, len(buffer), Unwrapped(self._context, buffer))

    def _pass(self, buffer: bytes, decided: int, unwrapped: Unwrapped) -> bytes:
        """Put out ``buffer[:decided]`` masked, and hold the rest."""
        out: list[bytes] = []
        position = 0
        for start, end, fresh in self._runs(buffer, unwrapped):
            if start >= decided:
                break
            out.append(buffer[position:start])
            if fresh:
                out.append(MASK)
            position = end
        self._covered = max(0, position - decided)
        if position < decided:
            out.append(buffer[position:decided])
        self._held = buffer[decided:]
        self._remember(buffer[:decided])
        return b"".join(out)

    def _remember(self, passed: bytes) -> None:
        self._context = (self._context + passed[-WRAPPED_AFTER:])[-WRAPPED_AFTER:]

    def _runs(self, buffer: bytes, unwrapped: Unwrapped) -> Iterable[tuple[int, int, bool]]:
        """The covered stretches: forms that overlap are one stretch. False where its mask is already out."""
        start, end, fresh = (0, self._covered, False) if self._covered else (-1, -1, True)
        for found, ends in self._spans(buffer, unwrapped):
            if end > found:
                end = max(end, ends)
            else:
                if start >= 0:
                    yield start, end, fresh
                start, end, fresh = found, ends, True
        if start >= 0:
            yield start, end, fresh

    def _spans(self, buffer: bytes, unwrapped: Unwrapped) -> list[tuple[int, int]]:
        """Where each form stands, by its beginning; several may overlap."""
        pattern = self._vocabulary.pattern
        assert pattern is not None
        found = []
        # Looking for each form alone is several times faster than the pattern, and nearly always finds nothing.
        present = any(form in buffer for form in self._vocabulary.ordered)
        match = pattern.search(buffer, 0) if present else None
        while match is not None:
            found.append(match.span())
            match = pattern.search(buffer, match.start() + 1)
        if unwrapped.has_wraps:
            found += unwrapped.spans(self._vocabulary.words)
            found.sort()
        return found


def _first_possible(buffer: bytes, ordered: tuple[bytes, ...]) -> int:
    """The first place from which the end of ``buffer`` is the beginning of a form that is not whole yet."""
    first = len(buffer)
    for form in ordered:
        place = max(0, len(buffer) - len(form) + 1)
        while (place := buffer.find(form[:1], place)) >= 0 and place < first:
            if form.startswith(buffer[place:]):
                first = place
                break
            place += 1
    return first
