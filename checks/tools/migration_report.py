"""What a rehearsal says: its result for the page, its figures, and its files."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from checks.kinds.base import Artifact, RunContext
from checks.tools import lanes, mishaps, predicting
from checks.tools.attribution import Account
from checks.tools.cloning import Clone
from checks.tools.limits import Limits, waiver_of
from checks.tools.locks import OF_ROWS
from checks.tools.mishaps import Mishap
from checks.tools.predicting import SAME
from checks.tools.rehearsal import Change, State
from checks.tools.tracing import Trace
from checks.tools.watching import Watched
from releases import spreadsheet
from releases.templatetags.interface_format import duration

MAX_SHOWN = 200
MAX_OBJECTS = 500
MAX_STATEMENTS = 12
#: The columns of the files for spreadsheets; times in seconds, sizes in bytes, ``began`` in seconds of the epoch.
COLUMNS = {
    "migrations": ["migration", "seconds", "predicted", "stall", "stall_predicted", "stalled", "wal", "size",
                   "rewrites", "failed"],
    "locks": ["table", "mode", "blocks", "seconds", "migration", "statement", "began", "session"],
    "stalls": ["table", "who", "seconds", "predicted", "migration", "statement", "began", "by"],
}  # fmt: skip


@dataclass(frozen=True)
class Report:
    """Everything known after a rehearsal. ``unlinted``: why no linter looked at the SQL, '' where one did."""

    clone: Clone
    before: State
    after: State
    change: Change
    account: Account
    watched: Watched
    trace: Trace
    back: Mapping[str, Any] | None
    mishap: Mishap | None
    factors: Mapping[str, float]
    largest: float
    scaled_to: str
    compared: bool
    reverse_named: bool
    unlinted: str = ""

    @property
    def seconds(self) -> float:
        """Of the migrations alone where they are known, else of the whole command."""
        return self.account.seconds

    @property
    def predicted(self) -> float:
        if not self.change.anything:  # what found nothing to do finds nothing to do in a larger database either
            return self.seconds
        return predicting.whole(self.account.migrations, self.seconds, self.largest)

    @property
    def longest_stall(self) -> float:
        return self.account.longest_stall

    @property
    def stall_predicted(self) -> float:
        return max((row["predicted"] for row in self.account.stalls), default=0.0)

    @property
    def unexplained(self) -> list[str]:
        """Tables whose content changed although no lock, no statistic and no new file says that they were touched."""
        owners = self.before.owners
        touched = {owners[lock.relation] for lock in self.watched.trace.held if lock.relation in owners}
        touched |= {
            owners[oid]
            for migration in self.trace.migrations
            for statement in migration.statements
            for oid, _ in statement.locks
            if oid in owners
        }
        touched |= {row["table"] for row in self.change.rewrites}
        for oid, was in self.before.relations.items():
            now = self.after.relations.get(oid)
            if now is None or (now.changed, now.inserted) != (was.changed, was.inserted):
                touched.add(was.label)
        differing = [row["table"] for row in self.change.data if row["changed"] or row["rows_changed"]]
        return [table for table in differing if table not in touched]

    def result(self, known: Sequence[str] | None, limits: Limits) -> dict[str, Any]:
        change, watched = self.change, self.watched.trace
        return {
            "clone": {
                "method": self.clone.method,
                "passed_over": [list(each) for each in self.clone.passed_over],
                "seconds": self.clone.seconds,
                "visitors_seconds": self.clone.visitors_seconds,
                "bytes": self.clone.size,
                "masked": self.clone.masked,
            },
            "exit_status": self.watched.done.returncode,
            "timed_out": self.watched.done.timed_out,
            "mishap": self.mishap and {"cause": self.mishap.cause, "sentence": self.mishap.sentence},
            "whole": self.account.whole,
            "traced": self.trace.loaded,
            "troubles": self._troubles(limits),
            "migrations": self.account.migrations,
            "locks": self.account.locks,
            "stalls": self.account.stalls,
            "drawing": lanes.draw(
                self.account.migrations, self.account.locks, self.account.stalls, limits.longest_stall
            ),
            "samples": watched.samples,
            "sample_seconds": watched.interval,
            "longest_gap_seconds": round(watched.longest_gap, 3),
            "canaries": self.watched.flock.watched,
            "scale": {"environment": self.scaled_to, "largest": round(self.largest, 2), "same": self.largest < SAME},
            "rewrites": change.rewrites,
            "rebuilt_indexes": change.rebuilt_indexes,
            "rows": change.rows,
            "schema": change.schema,
            "invalid_indexes": change.invalid,
            "unapplied": change.unapplied,
            "data": self._data(),
            "size_before": change.size_before,
            "size_after": change.size_after,
            "wal_shared": change.wal_shared,
            "reversible_checked": known is not None,
            "irreversible": [{"name": name, "waived": limits.waived.get(name, "")} for name in known or []],
            "back": self._back(limits),
            "limits": {
                "longest_stall": limits.longest_stall,
                "longest": limits.longest,
                "rewrite_rows": limits.rewrite_rows,
                "reverse": self.reverse_named,
            },
        }

    def _troubles(self, limits: Limits) -> list[str]:
        """What could not be seen, in sentences; silence here means that everything was."""
        told = [*self.trace.troubles, *([self.unlinted] if self.unlinted else [])]
        if self.change.migrations and not self.trace.forwards:
            told.append(
                "The wrapper was not loaded by the command's Python, so locks and times are told by the times at which"
                " Django says that each migration was applied, and rewrites by the whole command. For production all of"
                " it grows with the largest table."
            )
        told += [f"The clone could not be given {each}, which the original has." for each in self.clone.lacking]
        if left := self.trace.left_in(self.clone.address.database, {each.name for each in self.after.migrations}):
            more = f" and {len(left) - 5} more" if len(left) > 5 else ""
            told.append(f"The command left {len(left)} migration(s) that it knows: {', '.join(left[:5])}{more}.")
        if self.watched.trace.longest_gap * self.largest > limits.longest_stall:
            told.append(
                f"For {duration(self.watched.trace.longest_gap)} nobody looked at the locks. One that came and went"
                f" meanwhile, outside of a transaction, could keep users waiting for"
                f" {duration(self.watched.trace.longest_gap * self.largest)} in production; the limit is"
                f" {duration(limits.longest_stall)}."
            )
        told += [
            f"A canary fell silent ({text}); the lock's own time stands for it." for text in self.watched.flock.failures
        ]
        if self.watched.flock.left_out:
            told.append(
                f"{len(self.watched.flock.left_out)} more table(s) were closed than canaries watch;"
                " for them the lock's own time stands."
            )
        return told

    def _back(self, limits: Limits) -> dict[str, Any] | None:
        if self.back is None:
            return None
        data = [{**row, "waived": waiver_of(row, limits.waived)} for row in self.back["data"]]
        schema = [{**row, "waived": limits.waived.get(row["object"], "")} for row in self.back["schema"]]
        return {**self.back, "data": data, "schema": schema}

    def _data(self) -> dict[str, Any] | None:
        if not self.compared:
            return None
        rows = self.change.data
        return {
            "tables": len(rows),
            "same_tables": sum(not row["changed"] and not row["rows_changed"] for row in rows),
            "same_columns": sum(len(row["identical"]) for row in rows),
            "columns": sum(len(row["identical"]) + len(row["changed"]) for row in rows),
            "other_rows": sum(row["rows_changed"] for row in rows),
            "changed": [row for row in rows if row["changed"] and not row["rows_changed"]],
            "unexplained": self.unexplained,
        }

    def figures(self, known: Sequence[str] | None) -> dict[str, Any]:
        change = self.change
        closing = [row["seconds"] for row in self.account.locks if row["mode"] not in OF_ROWS]
        return {
            "migrations": len(change.migrations),
            "seconds": round(self.seconds, 2),
            "predicted_seconds": round(self.predicted, 2),
            "command_seconds": round(self.watched.done.seconds, 2),
            "longest_stall_seconds": round(self.longest_stall, 3),
            "predicted_stall_seconds": round(self.stall_predicted, 3),
            "longest_lock_seconds": round(max(closing, default=0.0), 3),
            "rewrites": len(change.rewrites),
            "size_change_bytes": change.size_after - change.size_before,
            "wal_bytes": change.wal_bytes,
            "irreversible": len(known) if known is not None else None,
        }

    def summary(self, told: Sequence[str]) -> str:
        if told:
            more = f" (and {len(told) - 1} more)" if len(told) > 1 else ""
            return told[0][: 500 - len(more)] + more
        if not self.change.anything:
            why = "the code that it ran knows no migration that is not applied"
            if not self.trace.planned_in(self.clone.address.database):
                why = "the plan says that it may"
            return f"The command ran for {duration(self.watched.done.seconds)} and changed nothing: {why}."
        unlinted = f" {self.unlinted}" if self.unlinted else ""
        return (
            f"{len(self.change.migrations)} migration(s) in {duration(self.seconds)}, longest stall"
            f" {duration(self.longest_stall)}, {len(self.change.rewrites)} table(s) rewritten.{unlinted}"
        )

    def broke_off(self) -> list[str]:
        """Why the command did not end well, and what state it left the clone in."""
        done = self.watched.done
        if done.timed_out:
            left = mishaps.left_behind(self.trace.under_way, self.change)
            return [f"The migrate command was ended after {duration(done.seconds)}, the time it is given. {left}"]
        if self.mishap is None:
            return []
        hidden = " although a migration broke off" if done.returncode == 0 else ""
        return [f"The migrate command ended with exit status {done.returncode}{hidden}. {self.mishap.sentence}"]

    def files(self, context: RunContext, result: Mapping[str, Any], known: Sequence[str] | None) -> list[Artifact]:
        """Everything as JSON, and the three tables that people open in a spreadsheet."""
        whole = json.dumps({**result, "figures": self.figures(known)}, indent=1, default=str).encode()
        rows = [{**row, "rewrites": " ".join(row["rewrites"])} for row in self.account.migrations]
        return [
            context.store("rehearsal.json", whole),
            context.store("migrations.csv", b"".join(spreadsheet.lines(COLUMNS["migrations"], rows))),
            context.store("locks.csv", b"".join(spreadsheet.lines(COLUMNS["locks"], self.account.locks))),
            context.store("stalls.csv", b"".join(spreadsheet.lines(COLUMNS["stalls"], self.account.stalls))),
        ]


def shortened(result: Mapping[str, Any]) -> dict[str, Any]:
    """What the run keeps for its page; the file has everything."""
    short = dict(result)
    shown = {"locks": MAX_SHOWN, "stalls": MAX_SHOWN, "schema": MAX_OBJECTS, "rows": MAX_SHOWN, "hypotheses": MAX_SHOWN}
    for name, most in shown.items():
        if result[name] is not None:
            short[name] = result[name][:most]
            short[f"{name}_left_out"] = max(0, len(result[name]) - most)
    short["migrations"] = [
        {**row, "statements": sorted(row["statements"], key=lambda each: -each["seconds"])[:MAX_STATEMENTS],
         "statements_in_all": len(row["statements"])}
        for row in result["migrations"]
    ]  # fmt: skip
    return short
