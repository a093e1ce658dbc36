"""Which migration and which statement each lock, stall, rewrite and byte of WAL belongs to."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from checks.tools import locks
from checks.tools.canaries import READER, WRITER, Stall
from checks.tools.locks import BLOCKS, OF_ROWS, ROW_READS, ROWS
from checks.tools.rehearsal import Applied, Change, State
from checks.tools.tracing import Migration, Statement, Trace

ROW_WRITER = "writer of the same rows"
#: A canary's stall stands for a lock when it saw at least this part of it.
SEEN = 0.8
MAX_SQL = 300


@dataclass(frozen=True)
class Account:
    """Everything that is told of one rehearsal, longest first where order says something.

    ``migrations``: one row each; ``watched``: the wrapper saw what it did.
    ``locks``: table, mode, blocks, seconds, began, migration, statement.
    ``stalls``: table, who, seconds, began, migration, statement, by ('canary' or 'trace'), gone.
    ``whole``: the migrations were watched one by one; else everything belongs to the command.
    """

    migrations: list[dict[str, Any]]
    locks: list[dict[str, Any]]
    stalls: list[dict[str, Any]]
    whole: bool
    began: float
    ended: float

    @property
    def seconds(self) -> float:
        return self.ended - self.began

    @property
    def longest_stall(self) -> float:
        return float(self.stalls[0]["seconds"]) if self.stalls else 0.0


@dataclass
class Observed:
    """What the parent saw while the command ran, from ``began`` to ``ended`` (seconds of the epoch)."""

    held: list[locks.Held]
    stalls: list[Stall]
    interval: float
    began: float
    ended: float
    said_began: datetime | None = None
    names: Mapping[str, str] = field(default_factory=dict)


def account(trace: Trace, observed: Observed, before: State, after: State, change: Change) -> Account:
    """Put together what the child told and what was seen from outside."""
    whole = bool(trace.forwards)
    spans = _spans(trace, observed, before, after)
    stalls = _stalls(spans, observed.stalls, before)
    for row in [*spans, *stalls]:
        migration = _owner(trace, row)
        statement = _statement(migration, row, before) if migration else None
        row["migration"] = migration.name if migration else ""
        row["statement"] = " ".join(statement.sql.split())[:MAX_SQL] if statement else ""
    if whole:
        rows = [_row(migration, before, spans, stalls) for migration in trace.forwards]
    else:
        rows = durations(change.migrations, observed.said_began)
        for row in [*spans, *stalls]:
            row["migration"] = under_way(rows, row["began"], row["seconds"])
        for row in rows:
            _add_stall(row, stalls)
    began, ended = _span_of_work(rows, observed)
    return Account(
        rows,
        sorted(spans, key=lambda row: -row["seconds"]),
        sorted(stalls, key=lambda row: -row["seconds"]),
        whole,
        began,
        ended,
    )


def _span_of_work(rows: Sequence[Mapping[str, Any]], observed: Observed) -> tuple[float, float]:
    """The command may install and load things first; where migrations are known, only they count."""
    if not rows or rows[0]["began"] is None:
        return observed.began, observed.ended
    return rows[0]["began"], max(row["ended"] or observed.ended for row in rows)


# --- locks and stalls -------------------------------------------------------------------------------------------------


def _spans(trace: Trace, observed: Observed, before: State, after: State) -> list[dict[str, Any]]:
    """What closed tables: sampled from outside, and what only the session itself saw because it was shorter."""
    owners = before.owners
    held = [replace(lock, mode=mode) for lock in observed.held if (mode := _closes(before, lock.relation, lock.mode))]
    rows = locks.by_table(held, owners, observed.interval)
    changed = _tables_with_changed_rows(before, after)
    rows = [row for row in rows if row["mode"] != ROWS or row["table"] in changed]
    known = set()
    for row in rows:
        owner = _owner(trace, row)
        known.add((owner.name if owner else "", row["session"], row["table"], row["mode"]))
    for migration in trace.forwards:
        for statement in migration.statements:
            for oid, taken in statement.locks:
                table, mode = owners.get(oid), _closes(before, oid, taken)
                key = (migration.name, migration.backend, table, mode)
                if table is None or mode not in BLOCKS or key in known or (mode == ROWS and table not in changed):
                    continue
                if mode == ROW_READS and not _names(statement, table):  # a foreign key's check came with it
                    continue
                known.add(key)
                until = migration.ended if migration.atomic else statement.ended
                seconds = max(0.0, (until or statement.began) - statement.began)
                rows.append(
                    {"table": table, "mode": mode, "blocks": BLOCKS[mode], "seconds": round(seconds, 4),
                     "began": statement.began, "session": migration.backend}
                )  # fmt: skip
    return rows


def _closes(before: State, oid: int, mode: str) -> str:
    """The mode as the table's users feel it; "" where they feel nothing.

    Who takes a number from a sequence locks no row, and who has it locked in whatever way keeps others from inserting
    into its table, never from reading it.
    """
    relation = before.relations.get(oid)
    if relation is None or relation.kind != "S":
        return mode
    return "" if mode in OF_ROWS else "ShareRowExclusiveLock"


def _names(statement: Statement, table: str) -> bool:
    return table.rpartition(".")[2].lower() in {word.lower() for word in re.findall(r"\w+", statement.sql)}


def _tables_with_changed_rows(before: State, after: State) -> set[str]:
    """Tables of which rows were updated or deleted; who only inserts keeps nobody from a row."""
    return {
        was.label
        for oid, was in before.relations.items()
        if was.is_table and oid in after.relations and after.relations[oid].changed > was.changed
    }


def _stalls(spans: Sequence[Mapping[str, Any]], seen: Sequence[Stall], before: State) -> list[dict[str, Any]]:
    """What the canaries felt; and for a lock that no canary felt, the lock's own time, so that none is too short."""
    labels = {relation.quoted: relation.label for relation in before.relations.values()}
    rows: list[dict[str, Any]] = [
        {"table": labels.get(stall.table, stall.table), "who": stall.who, "seconds": round(stall.seconds, 4),
         "began": stall.began, "by": "canary", "gone": stall.gone}
        for stall in seen
    ]  # fmt: skip
    for span in spans:
        who = _who(str(span["mode"]))
        felt = [row for row in rows if row["table"] == span["table"] and row["who"] == who and _overlap(row, span) > 0]
        if not felt or max(row["seconds"] for row in felt) < SEEN * span["seconds"]:
            rows.append(
                {"table": span["table"], "who": who, "seconds": span["seconds"], "began": span["began"],
                 "by": "trace", "gone": False}
            )  # fmt: skip
    return rows


def _who(mode: str) -> str:
    if mode in OF_ROWS:
        return ROW_WRITER
    return READER if mode == "AccessExclusiveLock" else WRITER


def _overlap(one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    return float(
        min(one["began"] + one["seconds"], other["began"] + other["seconds"]) - max(one["began"], other["began"])
    )


def _owner(trace: Trace, row: Mapping[str, Any]) -> Migration | None:
    """The migration that shares most of a span of time with it."""

    def shared(migration: Migration) -> float:
        ended = migration.ended if migration.ended is not None else row["began"] + row["seconds"]
        return float(min(ended, row["began"] + row["seconds"]) - max(migration.began, row["began"]))

    best = max(trace.forwards, key=shared, default=None)
    return best if best is not None and shared(best) > -0.02 else None


def _statement(migration: Migration, row: Mapping[str, Any], before: State) -> Statement | None:
    """The statement that took the lock: by what the session said, else by the time."""
    owners = before.owners
    mode = row.get("mode")
    for statement in migration.statements:
        for oid, taken in statement.locks:
            felt = _closes(before, oid, taken)
            if owners.get(oid) != row["table"] or (mode and felt != mode):
                continue
            if mode or felt in BLOCKS:
                return statement
    return migration.at(row["began"] + 0.02)


# --- migrations -------------------------------------------------------------------------------------------------------


def _row(
    migration: Migration, before: State, spans: Sequence[Mapping[str, Any]], stalls: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    tables = {oid: relation.label for oid, relation in before.relations.items() if relation.is_table}
    rewritten = {tables[oid] for each in migration.statements for oid in each.rewrites if oid in tables}
    row = {
        "migration": migration.name,
        "seconds": round(migration.seconds, 4) if migration.seconds is not None else None,
        "began": migration.began,
        "ended": migration.ended,
        "atomic": migration.atomic,
        "watched": not migration.unseen,
        "wal": migration.wal,
        "size": migration.size,
        "rewrites": sorted(rewritten),
        "irreversible": migration.irreversible,
        "failed": migration.failure is not None or migration.ended is None,
        "locks": [
            {"table": span["table"], "mode": span["mode"], "seconds": span["seconds"]}
            for span in spans
            if span["migration"] == migration.name
        ],
        "statements": [_statement_row(statement, before, tables) for statement in migration.statements],
    }
    _add_stall(row, stalls)
    return row


def _statement_row(statement: Statement, before: State, tables: Mapping[int, str]) -> dict[str, Any]:
    owners = before.owners
    return {
        "sql": " ".join(statement.sql.split())[:MAX_SQL],
        "began": statement.began,
        "ended": statement.ended,
        "count": statement.count,
        "seconds": round(statement.seconds, 5),
        "wal": statement.wal,
        "rewrites": sorted({tables[oid] for oid in statement.rewrites if oid in tables}),
        "locks": sorted(
            {
                f"{owners[oid]}: {mode}"
                for oid, taken in statement.locks
                if oid in owners and (mode := _closes(before, oid, taken)) in BLOCKS
            }
        ),
        "failed": statement.failure is not None,
    }


def _add_stall(row: dict[str, Any], stalls: Sequence[Mapping[str, Any]]) -> None:
    mine = [stall for stall in stalls if stall["migration"] == row["migration"]]
    worst = max(mine, key=lambda stall: stall["seconds"], default=None)
    row["stall"] = worst["seconds"] if worst else 0.0
    row["stalled"] = f"{worst['who']} of {worst['table']}" if worst else ""


def durations(migrations: Sequence[Applied], began: datetime | None) -> list[dict[str, Any]]:
    """Each migration with its seconds: from the end of the one before (the first one: from ``began``) to its own end.

    For a Django application whose wrapper was not loaded. ``ended`` is in seconds of the epoch; ``seconds`` is None
    where nothing says when the first one began.
    """
    rows: list[dict[str, Any]] = []
    for migration in migrations:
        start = min(began, migration.at) if began is not None else None
        rows.append(
            {
                "migration": migration.name,
                "seconds": round((migration.at - start).total_seconds(), 3) if start is not None else None,
                "began": start.timestamp() if start is not None else None,
                "ended": migration.at.timestamp(),
                "watched": False,
                "rewrites": [],
                "irreversible": None,
                "wal": None,
                "size": None,
                "failed": False,
                "statements": [],
                "locks": [],
            }
        )
        began = migration.at
    return rows


def under_way(rows: Sequence[Mapping[str, Any]], began: float, seconds: float) -> str:
    """The migration that shares most of a span of time; "" when none shares any. ``began``: seconds of the epoch."""

    def shared(row: Mapping[str, Any]) -> float:
        if row["began"] is None:
            return 0.0
        return float(min(row["ended"], began + seconds) - max(row["began"], began))

    best = max(rows, key=shared, default=None)
    return str(best["migration"]) if best is not None and shared(best) > 0 else ""
