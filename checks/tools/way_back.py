"""The proof that migrations can be taken back: what the database is after going forwards and back again."""

from collections.abc import Collection, Sequence
from typing import Any

from checks.kinds.base import Completed
from checks.tools import columns, schema
from checks.tools.rehearsal import Change, State
from checks.tools.tracing import Trace

#: What Django writes down itself; it is not the application's data. Which migrations went back is told by name.
BOOKKEEPING = {"django_content_type", "auth_permission", "django_migrations"}


def result(
    done: Completed,
    trace: Trace,
    before: State,
    now: State,
    change: Change,
    known: Sequence[str],
    written_down: Collection[str] = (),
) -> dict[str, Any]:
    """``reversed``: names that went back. ``left``: names that did not. ``compared``: all went back, so both states
    were laid beside each other: ``schema`` (object, change) and ``data`` (table, columns, lost) hold what differs.

    ``lost``: columns that the migrations drop; going back makes them again, empty. ``known``: what is known to be
    irreversible. ``written_down``: nothing was executed for them, so nothing has to go back.
    """
    applied = {migration.name for migration in now.migrations}
    names = [migration.name for migration in change.migrations if migration.name not in written_down]
    left = [name for name in names if name in applied]
    broken = next((each for each in reversed(trace.migrations) if each.failure is not None), None)
    compared = done.returncode == 0 and not left
    answer: dict[str, Any] = {
        "exit_status": done.returncode,
        "seconds": round(done.seconds, 2),
        "reversed": [name for name in names if name not in applied],
        "left": left,
        "stopped_at": broken.name if broken is not None else (left[-1] if left else ""),
        "said": " ".join(broken.failure.text.split())[:300] if broken is not None and broken.failure else "",
        "known": list(known),
        "compared": compared,
        "schema": [],
        "data": [],
        "bookkeeping": [],
    }
    if compared:
        _compare(answer, before, now, change)
    answer["proved"] = compared and not answer["schema"] and not answer["data"]
    return answer


def _compare(answer: dict[str, Any], before: State, now: State, change: Change) -> None:
    missing, surplus, changed = schema.differences(before.objects, now.objects)
    said = [(missing, "missing"), (surplus, "still there"), (changed, "different")]
    answer["schema"] = [{"object": name, "change": word} for names, word in said for name in names]
    dropped = {row["table"]: set(row["gone"]) for row in change.data}
    for row in columns.compare(before.content, now.content):
        if not row["changed"] and not row["rows_changed"]:
            continue
        found = {
            "table": row["table"],
            "rows_before": row["rows_before"],
            "rows_after": row["rows_after"],
            "columns": row["changed"],
            "lost": sorted(set(row["changed"]) & dropped.get(row["table"], set())),
        }
        bookkeeping = row["table"].rpartition(".")[2] in BOOKKEEPING
        answer["bookkeeping" if bookkeeping else "data"].append(found)
