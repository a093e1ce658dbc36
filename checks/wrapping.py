"""Base64 in lines: what is one word there stands in several, as ``base64``, MIME (76 columns) and PEM (64) write it.

A break counts as such a wrap only after WRAPPED_AFTER characters of base64 in the same line; every other break ends a
word, so that an ordinary line is never held back to see how the next one begins.
"""

import re
from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

#: Base64 characters that stand before a wrap at least, in its own line.
WRAPPED_AFTER: Final = 32
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]*")
# Digests stand at the ends of many lines, and base64 that looks like one so far does not happen.
_DIGEST = re.compile(rb"[0-9a-f]*")
# A lone carriage return at the end may be the first half of a break.
_BREAK = re.compile(rb"\r?\n|\r\Z")


class Unwrapped:
    """``context + buffer`` without its wraps; places in it are told as places in ``buffer``.

    ``context``: the last bytes before the buffer; they only say what stands before a wrap, and are never covered.
    """

    def __init__(self, context: bytes, buffer: bytes) -> None:
        self._before = len(context)
        whole = context + buffer
        #: For each stretch without a wrap: where it begins in the text, and how much was left out before it.
        self._starts, self._shifts = [0], [0]
        parts, last, gone = [], 0, 0
        for wrap in _BREAK.finditer(whole):
            start = wrap.start() - WRAPPED_AFTER
            if start < 0 or not _BASE64.fullmatch(whole, start, wrap.start()):
                continue
            if _DIGEST.fullmatch(whole, start, wrap.start()):
                continue
            parts.append(whole[last : wrap.start()])
            last = wrap.end()
            gone += last - wrap.start()
            self._starts.append(last - gone)
            self._shifts.append(gone)
        parts.append(whole[last:])
        self.text = b"".join(parts)

    @property
    def has_wraps(self) -> bool:
        return len(self._starts) > 1

    def spans(self, words: Sequence[bytes]) -> list[tuple[int, int]]:
        """Where the words stand in the buffer that a wrap divides; what ends in the context is left out."""
        found = []
        for word in words:
            place = self.text.find(word)
            while place >= 0:
                start, end = self._place(place), self._place(place + len(word) - 1) + 1
                if end - start > len(word) and end > 0:
                    found.append((max(0, start), end))
                place = self.text.find(word, place + 1)
        return found

    def first_possible(self, words: Sequence[bytes]) -> int | None:
        """The first place of the buffer from which its end is the beginning of a divided word; None: there is none."""
        first: int | None = None
        for word in words:
            place = max(0, len(self.text) - len(word) + 1)
            while (place := self.text.find(word[:1], place)) >= 0:
                if word.startswith(self.text[place:]):
                    # A wrap that ends the text belongs to what it follows.
                    start = max(0, self._place(place))
                    first = start if first is None else min(first, start)
                    break
                place += 1
        return first

    def _place(self, place: int) -> int:
        return place + self._shifts[bisect_right(self._starts, place) - 1] - self._before
