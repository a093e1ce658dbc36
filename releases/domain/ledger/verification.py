"""Verifying the ledger: the whole chain against its bytes, its columns, its checkpoints and their stored copies."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from releases.domain.ledger.checks import CheckpointChecks
from releases.domain.ledger.entries import append
from releases.domain.ledger.rows import disagreeing, head_sequence, read_rows
from releases.errors import LedgerUncheckable
from releases.models.ledger import LedgerEntry, LedgerNode, LedgerVerification
from releases.models.user import User
from releases.verify_ledger import GENESIS, Chain, Frontier, Problem

_STEP = 4_000


@dataclass(frozen=True)
class Report:
    """What a verification found. `problem` is the first thing that is wrong, None when everything holds."""

    entries: int
    checkpoints: int
    stored: int
    seconds: float
    problem: Problem | None

    @property
    def holds(self) -> bool:
        return self.problem is None


class Walk:
    """A verification under way. Its state fits in one JSON document, so it can stop and go on in another process."""

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        state = state or {}
        # The storage is listed before the head is read: a checkpoint is stored after what it covers was sealed.
        self.checks = CheckpointChecks(state.get("checks"))
        self.target: int = state["target"] if state else head_sequence()
        self.chain = Chain(state.get("position", 0), bytes.fromhex(state.get("last_hash", GENESIS.hex())))
        self.frontier = Frontier.from_bytes(self.chain.position, bytes.fromhex(state.get("frontier", "")))
        self.seconds: float = state.get("seconds", 0.0)
        self.problem: Problem | None = None
        self.finished = False

    def state(self) -> dict[str, Any]:
        """All that is needed to go on from here."""
        return {
            "target": self.target,
            "position": self.chain.position,
            "last_hash": self.chain.last_hash.hex(),
            "frontier": self.frontier.to_bytes().hex(),
            "seconds": self.seconds,
            "checks": self.checks.state(),
        }

    def report(self) -> Report:
        return Report(self.chain.position, self.checks.checked, self.checks.stored, self.seconds, self.problem)

    def step(self, rows: int = _STEP) -> None:
        """Checks up to `rows` more entries; at the end of the chain, what only the end can tell."""
        started = time.monotonic()
        self.problem = self._unsealed() if self.chain.position == 0 else None
        self.problem = self.problem or self._entries(min(self.chain.position + rows, self.target))
        if self.problem is None and self.chain.position >= self.target:
            self.problem = self.checks.beyond(self.target)
            self.finished = True
        self.finished = self.finished or self.problem is not None
        self.seconds += time.monotonic() - started

    def _entries(self, until: int) -> Problem | None:
        after = self.chain.position
        self.checks.load(after=after, until=until)
        nodes: dict[tuple[int, int], bytes] = {}
        for entry, columns in read_rows(after=after, until=until):
            problem = self.chain.take(entry, _follows)
            if problem:
                return problem
            wrong = disagreeing(entry.canonical, columns)
            if wrong:
                return _columns_problem(entry.sequence, wrong)
            nodes.update(((level, index), node) for level, index, node in self.frontier.push(entry.hash))
            problem = self.checks.at(self.frontier)
            if problem:
                return problem
        if self.chain.position < until:
            missing = self.chain.position + 1
            return Problem("missing", missing, f"Entries {missing} to {until} are missing.")
        return _wrong_node(nodes)

    @staticmethod
    def _unsealed() -> Problem | None:
        """An entry that stands in the table without a place in the chain."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT id FROM releases_ledgerentry WHERE sequence IS NULL OR sequence < 1 ORDER BY id LIMIT 1"
            )
            row = cursor.fetchone()
        if row is None:
            return None
        return Problem("inserted", None, f"The row with id {row[0]} was inserted: it was never sealed into the chain.")


def verify(*, progress: Callable[[int, int], None] | None = None) -> Report:
    """Checks the whole ledger as it is now and names the first thing that is wrong; changes nothing.

    `progress(checked, total)` is called after each batch. LedgerUncheckable: it could not be checked to the end,
    because the storage of the checkpoints does not answer.
    """
    walk = Walk()
    while not walk.finished:
        walk.step()
        if progress:
            progress(walk.chain.position, walk.target)
    return walk.report()


def start_verification(*, actor: User | None) -> LedgerVerification:
    """Begins a verification that goes on by `advance_verification`, some seconds at a time. LedgerUncheckable."""
    walk = Walk()
    return LedgerVerification.objects.create(
        requested_by=actor, started_at=timezone.now(), target=walk.target, walk=walk.state()
    )


@transaction.atomic
def advance_verification(*, verification_id: int, seconds: float = 1.5, rows: int = _STEP) -> LedgerVerification:
    """Goes on with a verification for about `seconds`, `rows` entries at a time, and answers its row.

    Where somebody else is at it, or it is over, the row is answered as it stands. The end writes a ledger entry with
    the verdict. What keeps it from going on is written to the row as `errored`: that is no verdict.
    """
    row = (
        LedgerVerification.objects.select_for_update(skip_locked=True)
        .filter(pk=verification_id, state="running")
        .first()
    )
    if row is None:
        return LedgerVerification.objects.get(pk=verification_id)
    try:
        walk = Walk(row.walk)
        _walk_for(walk, seconds, rows)
    except LedgerUncheckable as error:
        row.state, row.report, row.finished_at = "errored", {"error": error.message}, timezone.now()
        row.save()
        return row
    report = walk.report()
    row.walk, row.position, row.seconds, row.report = walk.state(), report.entries, report.seconds, _as_json(report)
    if walk.finished:
        row.state, row.finished_at = "passed" if report.holds else "failed", timezone.now()
        append(action="ledger.verified", actor=row.requested_by, subject=row, document=_as_json(report))
    row.save()
    return row


def _walk_for(walk: Walk, seconds: float, rows: int) -> None:
    deadline = time.monotonic() + seconds
    while not walk.finished:
        walk.step(rows)
        if time.monotonic() >= deadline:
            return


def _as_json(report: Report) -> dict[str, Any]:
    return {**asdict(report), "problem": report.problem._asdict() if report.problem else None}


def _follows(entry_hash: bytes) -> bool:
    return LedgerEntry.objects.filter(previous=entry_hash).exists()


def _columns_problem(sequence: int, wrong: list[str]) -> Problem:
    names = ", ".join(wrong)
    return Problem("changed", sequence, f"Entry {sequence} was changed: its bytes were sealed otherwise ({names}).")


def _wrong_node(nodes: dict[tuple[int, int], bytes]) -> Problem | None:
    """A stored subtree root that is not that of its entries; one that is not stored yet is no matter."""
    wanted = {place: node for place, node in nodes.items() if place[0] % 8 == 0}
    if not wanted:
        return None
    for stored in LedgerNode.objects.filter(
        level__in={level for level, _index in wanted}, index__in={index for _level, index in wanted}
    ):
        expected = wanted.get((stored.level, stored.index))
        if expected is not None and expected != bytes(stored.hash):
            first = (stored.index << stored.level) + 1
            text = f"The stored tree over entries {first} to {(stored.index + 1) << stored.level} is not that of them."
            return Problem("checkpoint", first, text)
    return None
