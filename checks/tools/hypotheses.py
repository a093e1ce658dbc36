"""squawk's warnings as hypotheses: what it fears of each migration, and whether the trace saw it happen."""

import json
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from checks.errors import CheckError
from checks.kinds.base import RunContext
from checks.tools.attribution import Account
from checks.tools.rehearsal import Change, State
from checks.tools.tracing import Trace

CONFIRMED, REFUTED, UNTESTABLE = "confirmed", "refuted", "untestable"
#: A user notices a wait of this length.
FELT_SECONDS = 0.1
#: A table with fewer rows says nothing about how long a scan or an index takes.
ENOUGH_ROWS = 1000
REWRITES = {"changing-column-type", "adding-field-with-default", "adding-serial-primary-key-field"}
CLOSES = {
    "adding-foreign-key-constraint", "adding-not-nullable-field", "constraint-missing-not-valid",
    "disallowed-unique-constraint", "require-concurrent-index-creation", "require-concurrent-index-deletion",
    "require-lock-timeout", "require-statement-timeout", "require-timeout-settings",
}  # fmt: skip
FAILS = {"adding-required-field", "ban-concurrent-index-creation-in-transaction", "transaction-nesting"}
OTHERS = {
    "ban-drop-column": "it is about other programs that still use the column",
    "ban-drop-table": "it is about other programs that still use the table",
    "renaming-column": "it is about other programs that still use the old name",
    "renaming-table": "it is about other programs that still use the old name",
    "ban-drop-not-null": "it is about programs that expect no nulls",
    "syntax-error": "squawk could not read this statement",
}


def find_squawk() -> str | None:
    """The program, beside this Python or on the path; None when it is not installed."""
    beside = Path(sys.executable).with_name("squawk")
    return str(beside) if beside.is_file() else shutil.which("squawk")


def missing(scripts: int) -> str:
    """What is told where nobody looked at the SQL of so many migrations."""
    of = f"the SQL of {scripts:,} migration(s)" if scripts else "the SQL itself"
    return f"squawk is not installed on this worker, so nobody looked at {of}."


def ask(context: RunContext, scripts: Mapping[str, str], server_version: str) -> list[dict[str, Any]] | None:
    """Each warning: migration, rule, message, help, sql. ``scripts``: migration -> SQL. None when squawk is missing.

    CheckError when squawk broke: its silence must not look like consent.
    """
    program = find_squawk()
    if program is None:
        return None
    if not scripts:
        return []
    folder = context.scratch / "sql"
    folder.mkdir(exist_ok=True)
    files = {}
    for index, (migration, text) in enumerate(scripts.items()):
        path = folder / f"{index:04}.sql"
        path.write_text(text + "\n", encoding="utf-8")
        files[str(path)] = migration
    # squawk ends with 1 when it warns; anything else is a failure of its own.
    wrap = ["/bin/sh", "-c", '"$@" || { code=$?; test $code -eq 1 || exit $code; }', "squawk"]
    command = [program, "--reporter", "json", "--pg-version", server_version, *files]
    remedy = "Its silence would say nothing, so nothing is judged. Look at the log; update squawk."
    try:
        done = context.capture([*wrap, *command], timeout=120, cwd=folder)
        found = json.loads(done.output or "[]")
    except CheckError as error:
        raise CheckError(f"squawk broke: {error.message.replace('/bin/sh', 'it')}", remedy=remedy) from error
    except ValueError as error:
        raise CheckError(f"squawk printed what is no JSON: {error}.", remedy=remedy) from None
    return [_warning(each, files[each["file"]], scripts) for each in found]


def _warning(found: Mapping[str, Any], migration: str, scripts: Mapping[str, str]) -> dict[str, Any]:
    lines = scripts[migration].split("\n")
    text = " ".join(lines[found["line"] : max(found["line_end"], found["line"]) + 1])
    return {
        "migration": migration,
        "rule": found["rule_name"],
        "message": found["message"],
        "help": found.get("help") or "",
        "sql": " ".join(text.split())[:300],
    }


def judge(
    warnings: Sequence[dict[str, Any]], account: Account, before: State, change: Change, trace: Trace
) -> list[dict[str, Any]]:
    """Each warning with ``mark`` (confirmed, refuted, untestable), ``why``, ``table``, ``times``; confirmed ones first.

    The same rule about the same table in one migration is one hypothesis, however many statements it is about.
    """
    order = {CONFIRMED: 0, REFUTED: 1, UNTESTABLE: 2}
    judged: dict[tuple[str, str, str], dict[str, Any]] = {}
    for warning in warnings:
        table = _table(warning["sql"], before)
        key = (warning["migration"], warning["rule"], table)
        if key in judged:
            judged[key]["times"] += 1
            continue
        mark, why = _judge(warning, table, account, before, change, trace)
        judged[key] = {**warning, "table": table, "mark": mark, "why": why, "times": 1}
    return sorted(judged.values(), key=lambda row: (order[row["mark"]], row["migration"]))


def _table(text: str, before: State) -> str:
    """The table that a statement is about: the first name in it that is one."""
    names = {relation.label.rpartition(".")[2]: relation.label for relation in before.relations.values()
             if relation.is_table}  # fmt: skip
    for word in re.findall(r'"([^"]+)"|(\w+)', text):
        found = names.get(word[0] or word[1])
        if found:
            return found
    return ""


def _judge(
    warning: Mapping[str, Any], table: str, account: Account, before: State, change: Change, trace: Trace
) -> tuple[str, str]:
    rule, name = warning["rule"], warning["migration"]
    ran = next((each for each in trace.forwards if each.name == name), None)
    if trace.forwards and ran is None:
        return UNTESTABLE, "this migration did not run"
    if rule == "prefer-robust-stmts" and ran is not None:
        stays = ran.failure is not None and not ran.atomic
        return (
            (CONFIRMED, "it broke off part way") if stays else (REFUTED, "it ran to its end, or was taken back whole")
        )
    if rule in FAILS:
        failed = ran.failure is not None if ran is not None else bool(change.invalid)
        return (CONFIRMED, "the migration failed") if failed else (REFUTED, "it ran to its end on this data")
    if rule in REWRITES | CLOSES:
        if not table:
            return REFUTED, "the table is made by this release; nobody uses it yet"
        if ran is not None and ran.failure is not None:
            return UNTESTABLE, "the migration broke off"
        return _rewritten(name, table, account, change) if rule in REWRITES else _closed(name, table, account, before)
    return UNTESTABLE, OTHERS.get(rule, "it is about style or later growth, which no rehearsal shows")


def _stall(name: str, table: str, account: Account) -> float:
    """The longest predicted wait that this migration caused at this table."""
    return max(
        (row.get("predicted", row["seconds"]) for row in account.stalls
         if row["table"] == table and row["migration"] in (name, "")),
        default=0.0,
    )  # fmt: skip


def _rewritten(name: str, table: str, account: Account, change: Change) -> tuple[str, str]:
    by_migration = next((row["rewrites"] for row in account.migrations if row["migration"] == name), None)
    whole = {row["table"] for row in change.rewrites}
    rewritten = table in (by_migration if account.whole and by_migration is not None else whole)
    stall = f"{_stall(name, table, account):.3f} s"
    if rewritten:
        return CONFIRMED, f"{table} was rewritten; the longest wait was {stall}"
    return REFUTED, f"the file of {table} is the same as before; the longest wait was {stall}"


def _closed(name: str, table: str, account: Account, before: State) -> tuple[str, str]:
    stall, rows = _stall(name, table, account), before.rows(table)
    if stall >= FELT_SECONDS:
        return CONFIRMED, f"users of {table} would have waited {stall:.3f} s"
    if rows < ENOUGH_ROWS:
        return UNTESTABLE, f"{table} has {rows:,} rows, too few to show it"
    return REFUTED, f"with {rows:,} rows the longest wait was {stall:.3f} s"
