"""How far a comparison is, and how long the rest will take."""

import time

from checks.tools.reconciling.results import Progress, Tally

TELL_SECONDS = 0.25
#: Before so much was read, the pace says nothing.
LEAST_FRACTION = 0.02


class Pace:
    def __init__(self, seen: Progress | None) -> None:
        self._seen = seen
        self._text = ""
        self._rows = self._total = 0
        self._began = time.monotonic()
        self._skipped = 0
        self._told_at = 0.0

    def expect(self, total: int) -> None:
        """From here on it is about so many rows of both sides together, as the servers guess."""
        self._rows, self._skipped, self._total, self._began = 0, 0, total, time.monotonic()

    def doing(self, text: str) -> None:
        self._text = text
        self._tell(at_once=True)

    def read(self, rows: int, text: str) -> None:
        """So many more rows are done."""
        self._rows += rows
        self._text = text
        self._tell()

    def skip(self, rows: int) -> None:
        """So many more rows are done without reading them now, so they say nothing about the pace."""
        self._rows += rows
        self._skipped += rows
        self._began = time.monotonic()

    def _tell(self, *, at_once: bool = False) -> None:
        now = time.monotonic()
        if self._seen is None or (not at_once and now - self._told_at < TELL_SECONDS):
            return
        self._told_at = now
        self._seen(Tally(self._text, self._rows, max(self._total, self._rows), self._left(now)))

    def _left(self, now: float) -> float | None:
        done, ahead = self._rows - self._skipped, max(0, self._total - self._rows)
        if not self._total or done <= LEAST_FRACTION * self._total:
            return None
        return (now - self._began) * ahead / done
