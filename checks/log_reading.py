"""Committed lines of a log, read back from PostgreSQL: for replay, for plain pages and for the raw download."""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from django.core.files.storage import default_storage
from django.utils.safestring import SafeString

from checks.models import LogChunk, Run
from releases.templatetags.interface_log import log_lines


@dataclass(frozen=True, slots=True)
class Lines:
    """Consecutive lines of one attempt. ``first`` is 1-based; ``stamps`` are milliseconds since 1970."""

    attempt: int
    first: int
    texts: list[str]
    kinds: str
    stamps: list[int]

    @property
    def last(self) -> int:
        return self.first + len(self.texts) - 1

    def after(self, line: int) -> "Lines":
        """The same lines without those up to ``line``."""
        skip = max(0, line - self.first + 1)
        return Lines(self.attempt, self.first + skip, self.texts[skip:], self.kinds[skip:], self.stamps[skip:])

    def to_html(self) -> SafeString:
        return log_lines(self.first, self.texts, self.kinds, self.stamps)


@dataclass(frozen=True, slots=True)
class Position:
    """Where a log stands: how many lines of which attempt are committed, and whether more can come."""

    attempt: int
    lines: int
    state: str
    sealed: bool
    stored_rest: bool


def position(run_id: UUID) -> Position:
    """Raises Run.DoesNotExist."""
    row = Run.objects.values_list("attempt", "log_lines", "state", "log_sealed", "log_key").get(pk=run_id)
    return Position(row[0], row[1], row[2], row[3], bool(row[4]))


def lines_after(run_id: UUID, attempt: int, line: int, *, most: int = 5000) -> list[Lines]:
    """Committed lines after ``line``, in order, at most about ``most`` of them (whole chunks)."""
    chunks = LogChunk.objects.filter(run_id=run_id, attempt=attempt, first_line__gt=line).order_by("first_line")
    # The chunk that contains line + 1 may begin before it.
    straddling = (
        LogChunk.objects.filter(run_id=run_id, attempt=attempt, first_line__lte=line).order_by("-first_line").first()
    )
    found: list[Lines] = []
    if straddling is not None and straddling.first_line + straddling.lines - 1 > line:
        found.append(_read(straddling).after(line))
    count = sum(len(part.texts) for part in found)
    for chunk in chunks.iterator(chunk_size=50):
        if count >= most:
            break
        found.append(_read(chunk))
        count += chunk.lines
    return found


def _read(chunk: LogChunk) -> Lines:
    return Lines(chunk.attempt, chunk.first_line, chunk.body.split("\n"), chunk.kinds, list(chunk.stamps))


def raw(run: Run, attempt: int) -> Iterator[bytes]:
    """The whole log of an attempt as text, streamed: from PostgreSQL, then what was too long for it from storage."""
    chunks = LogChunk.objects.filter(run=run, attempt=attempt).order_by("first_line").values_list("body", flat=True)
    for body in chunks.iterator(chunk_size=100):
        yield f"{body}\n".encode()
    if run.log_key and attempt == run.attempt:
        with default_storage.open(run.log_key, "rb") as rest:
            while block := rest.read(1 << 16):
                yield block
