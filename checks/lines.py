"""Cuts a stream of masked bytes into lines that a page can show and PostgreSQL can hold."""

LONGEST_LINE = 16 * 1024
#: PostgreSQL's text cannot hold U+0000; the sign for it can be seen, too.
NUL_SHOWN = "\u2400"


class LineCutter:
    """``feed`` returns the lines that are whole; ``finish`` the last one without a line break."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        *whole, self._rest = (self._rest + data).split(b"\n")
        lines: list[str] = []
        for line in whole:
            lines += _shown(line)
        if b"\r" in self._rest:
            # A progress bar redraws its line; only the newest drawing is kept. A last \r may belong to \r\n.
            drawn = self._rest.rstrip(b"\r")
            self._rest = drawn[drawn.rfind(b"\r") + 1 :] + self._rest[len(drawn) :][:1]
        while len(self._rest) > LONGEST_LINE:
            place = _cut(self._rest)
            lines.append(_text(self._rest[:place]))
            self._rest = self._rest[place:]
        return lines

    def finish(self) -> list[str]:
        rest, self._rest = self._rest, b""
        return _shown(rest) if rest else []


def printable(text: str) -> list[str]:
    """A text of ours as lines."""
    cutter = LineCutter()
    return cutter.feed(text.encode("utf-8", "replace")) + cutter.finish() or [""]


def _shown(line: bytes) -> list[str]:
    drawings = [part for part in line.split(b"\r") if part]
    line = drawings[-1] if drawings else b""
    pieces: list[str] = []
    while len(line) > LONGEST_LINE:
        place = _cut(line)
        pieces.append(_text(line[:place]))
        line = line[place:]
    return [*pieces, _text(line)]


def _cut(line: bytes) -> int:
    """Where to split: not inside a character."""
    place = LONGEST_LINE
    while place > LONGEST_LINE - 3 and line[place] & 0xC0 == 0x80:
        place -= 1
    return place


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace").replace("\0", NUL_SHOWN)
