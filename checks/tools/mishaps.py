"""Why a migrate command broke off, and in what state it left the clone."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from checks.tools import server_words
from checks.tools.rehearsal import Change
from checks.tools.tracing import Failure, Migration, Trace

DISK_FULL, WORKER_FULL, LOCK, DEADLOCK, TIMEOUT, DATA, SERVER, RIGHT, SIGNAL, OTHER = (
    "disk_full", "worker_full",
    "lock_timeout", "deadlock", "statement_timeout", "data", "server", "right", "signal", "other",
)  # fmt: skip
_BY_STATE = {
    "53100": DISK_FULL,
    "55P03": LOCK,
    "40P01": DEADLOCK,
    "57014": TIMEOUT,
    "42501": RIGHT,
    "57P01": SERVER,
    "57P02": SERVER,
    "57P03": SERVER,
}
#: What the log says where no wrapper could see the error itself. PostgreSQL's own words, in English.
_BY_TEXT = (
    (DISK_FULL, r"could not [^\n]*: No space left on device|could not extend file"),
    (WORKER_FULL, r"No space left on device"),
    (LOCK, r"canceling statement due to lock timeout|could not obtain lock"),
    (DEADLOCK, r"deadlock detected"),
    (TIMEOUT, r"canceling statement due to statement timeout"),
    (SERVER, r"server closed the connection unexpectedly|terminating connection due to|the database system is "),
    (DATA, r"violates (check|unique|not-null|foreign key|exclusion) constraint|is violated by some row"
           r"|contains null values|could not create unique index"),
    (RIGHT, r"permission denied (for|to)|must be (owner of|superuser|able to SET ROLE)"),
)  # fmt: skip
_WORDS = {
    DISK_FULL: "The disk of the clone's server was full",
    WORKER_FULL: "The worker's own disk was full",
    LOCK: "It gave up waiting for a lock",
    DEADLOCK: "PostgreSQL ended a deadlock that it was part of",
    TIMEOUT: "A statement took longer than its statement_timeout",
    DATA: "The data do not fit what the migration demands",
    SERVER: "The clone's server ended the session",
    RIGHT: "The role lacks a right",
    SIGNAL: "It was killed",
    OTHER: "It ended with an error",
}


@dataclass(frozen=True)
class Mishap:
    """``cause``: one of the words above. ``sentence``: what happened, where, and what of it is left."""

    cause: str
    sentence: str
    said: str

    @property
    def is_the_server_s(self) -> bool:
        """The surroundings broke, so nothing is said about the migration."""
        return self.cause in (DISK_FULL, WORKER_FULL, SERVER)

    @property
    def remedy(self) -> str:
        if self.cause == DISK_FULL:
            return "Give the clone's server more space, or clone elsewhere (clone_on); then run it again."
        if self.cause == WORKER_FULL:
            return "Make room on the worker, then run it again."
        return "See the log of that server, then run it again."


def explain(trace: Trace, returncode: int, lines: Iterable[str], change: Change) -> Mishap:
    """The mishap of a command of which something broke off. ``lines``: the last ones of its log."""
    broken = trace.broken
    failure = broken.failure if broken is not None else None
    text = "\n".join(lines)
    cause = _cause(failure, text, returncode)
    said = failure.text if failure is not None else _last_words(server_words.of_text(text))
    where = ""
    if broken is not None:
        statement = next((each for each in reversed(broken.statements) if each.failure is not None), None)
        where = f" in {broken.name}"
        if statement is not None and statement.sql:
            where += f", at “{' '.join(statement.sql.split())[:160]}”"
    words = " ".join(said.split())[:300].rstrip(" .") or "it said nothing"
    return Mishap(cause, f"{_WORDS[cause]}{where}: {words}. {left_behind(broken, change)}", said)


def _cause(failure: Failure | None, text: str, returncode: int) -> str:
    if failure is not None and failure.sqlstate:
        found = _BY_STATE.get(failure.sqlstate)
        return found or (DATA if failure.sqlstate[:2] in ("22", "23") else OTHER)
    for cause, pattern in _BY_TEXT:
        if re.search(pattern, failure.text if failure is not None else text):
            return cause
    return SIGNAL if returncode < 0 or returncode in (137, 143) else OTHER


def _last_words(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if re.search(r"error|fatal|exception", line, re.IGNORECASE)]
    return (errors or lines or [""])[-1]


def left_behind(broken: Migration | None, change: Change) -> str:
    """The state in which the clone was left, in sentences."""
    applied = change.migrations[-1].name if change.migrations else ""
    parts = [f"{len(change.migrations)} migration(s) had been applied, the last one {applied}" if applied
             else "No migration had been applied"]  # fmt: skip
    if change.invalid:
        parts.append(f"the index {', '.join(change.invalid)} is left invalid")
    if broken is not None and broken.atomic:
        parts.append(f"{broken.name} is atomic and was taken back whole")
    elif broken is not None:
        done = [each for each in broken.statements if each.failure is None and each.ended is not None]
        parts.append(f"{broken.name} is not atomic: {len(done)} of its statements stay done")
    elif not applied and change.schema:
        parts.append(f"{len(change.schema)} object(s) of the schema stay changed")
    elif not applied:
        parts.append("what rows hold stays changed" if change.anything else "the clone is as it was before")
    return "; ".join(parts) + "."
