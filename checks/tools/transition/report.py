"""What a transition found, as its page and its downloads show it: sentences, figures, and the shapes of the flow."""

import json
from collections.abc import Collection, Mapping
from typing import Any, Final

from psycopg import sql

from checks.kinds.base import Artifact, RunContext
from checks.tools.background import patiently
from checks.tools.postgres import Connection
from checks.tools.transition.moving import Moved
from checks.tools.transition.work import SKIPPED, Action, TableWork, column, key_text, listed
from releases import spreadsheet

MAX_COLUMNS: Final = 2000
WIDTH, HEIGHT, GAP, LEAST = 1000.0, 220.0, 30.0, 3.0
_TONES = {"inserted": "go", "merged": "live", "skipped": "hold", "stopped": "nogo"}
_WORDS = {
    Action.THERE: "already in the target, which is kept as it is",
    Action.NOT_WANTED: "not in the target, and the plan adds none",
    Action.ORPHAN: "what it refers to does not arrive",
    Action.TWIN: "the same as an earlier row of the source",
}


def reason_of(work: TableWork, action: Action, rule: int) -> str:
    """Why a row is skipped, in words: the plan's own where it has some."""
    if action == Action.RULE:
        return work.mapping.skip[rule - 1].reason
    if action in (Action.THERE, Action.NOT_WANTED) and work.mapping.reason:
        return work.mapping.reason
    return _WORDS[action]


def reasons(moved: Moved) -> list[dict[str, Any]]:
    """Each reason to skip, with its rows: table, reason, rows."""
    return [
        {"table": work.label, "reason": reason_of(work, action, rule), "rows": rows}
        for work in moved.works
        for (action, rule), rows in sorted(moved.tallies.get(work.label, {}).items())
        if action in SKIPPED
    ]


def accounts(moved: Moved) -> dict[str, dict[str, int]]:
    """Table -> source, inserted, merged, skipped, stopped. Each row is in exactly one of the last four."""
    found = {}
    for work in moved.works:
        tally = moved.tallies.get(work.label, {})
        rows = dict.fromkeys(("inserted", "merged", "skipped", "stopped"), 0)
        for (action, _), count in tally.items():
            name = {Action.INSERT: "inserted", Action.MERGE: "merged"}.get(action)
            rows[name or ("skipped" if action in SKIPPED else "stopped")] += count
        found[work.label] = {"source": work.source_rows, **rows}
    return found


def result_of(moved: Moved) -> dict[str, Any]:
    """Everything that the page shows. ``differences`` and ``conflicts`` are the reasons to say no."""
    counts = accounts(moved)
    tables = [{"table": label, **rows, **_proven(moved, label), "bar": _bar(rows)} for label, rows in counts.items()]
    total = {
        name: sum(rows[name] for rows in counts.values())
        for name in ("source", "inserted", "merged", "skipped", "stopped")
    }
    columns = [
        {"table": label, **one} for label, found in moved.proof.tables.items() for one in found.get("columns", [])
    ]
    return {
        "tables": tables,
        "total": total,
        "flow": drawn(total),
        "skipped": reasons(moved),
        "conflicts": [conflict.as_json() for conflict in moved.conflicts],
        "differences": moved.proof.differences,
        "columns": columns[:MAX_COLUMNS],
        "sequences": [{"sequence": name, **step} for name, step in sorted(moved.sequences.items())],
        "notes": moved.notes,
        "changed_meanwhile": moved.changed_meanwhile,
        "refusals": moved.refusals,
        "phases": moved.seconds,
        "locked_seconds": moved.locked_seconds,
        "committed": moved.committed,
    }


def _proven(moved: Moved, label: str) -> dict[str, Any]:
    figures = moved.proof.tables.get(label)
    if figures is None:
        return {"proven": None}
    told = any(sentence.startswith(f"{label}:") for sentence in moved.proof.differences)
    return {name: value for name, value in figures.items() if name != "columns"} | {"proven": not told}


def figures_of(moved: Moved, seconds: float) -> dict[str, Any]:
    total = result_of(moved)["total"]
    return {
        **{f"{name}_rows": value for name, value in total.items()},
        "conflicts": len(moved.conflicts),
        "differences": len(moved.proof.differences),
        "seconds": round(seconds, 2),
        "locked_seconds": round(moved.locked_seconds, 2),
        "rows_per_second": round(total["source"] / seconds) if seconds else None,
    }


def summary_of(moved: Moved, *, rehearsed: bool) -> str:
    total = result_of(moved)["total"]
    if moved.conflicts:
        first = moved.conflicts[0]
        more = f" And {len(moved.conflicts) - 1} more." if len(moved.conflicts) > 1 else ""
        return f"{first.table}: {first.rows:,} rows {first.text}.{more} Nothing was written."
    if moved.refusals and not moved.proof.differences:
        return f"{moved.refusals[0]} Everything was taken back."[:500]
    if moved.proof.differences:
        more = f" And {len(moved.proof.differences) - 1} more." if len(moved.proof.differences) > 1 else ""
        return f"{moved.proof.differences[0]}{more} Everything was taken back."[:500]
    where = "on a clone" if rehearsed else "in the target"
    return (
        f"{total['source']:,} rows = {total['inserted']:,} inserted + {total['merged']:,} merged +"
        f" {total['skipped']:,} skipped, proven {where}."
    )


def _bar(rows: Mapping[str, int]) -> list[tuple[str, int]]:
    return [(tone, rows[name]) for name, tone in _TONES.items() if rows[name]]


def drawn(rows: Mapping[str, int]) -> dict[str, Any]:
    """The flow from the source to what became of it: bands in a space of 1000 by 220, places of words in per cent."""
    ends = [(name, rows[name]) for name in _TONES if rows[name]]
    total = sum(count for _, count in ends)
    if not total:
        return {}
    space = HEIGHT - GAP * (len(ends) - 1)
    heights = [max(LEAST, space * count / total) for _, count in ends]
    scale = space / sum(heights)
    margin = (HEIGHT - space) / 2
    left, right = margin, 0.0
    found = []
    for (name, count), height in zip(ends, heights, strict=True):
        tall = height * scale
        place = (right + tall / 2) / HEIGHT * 100
        found.append(
            {
                "name": name,
                "tone": _TONES[name],
                "rows": count,
                "path": _band(left, right, tall),
                "y": round(right, 1),
                "height": round(tall, 1),
                "count_y": f"{place - 1.5:.1f}%",
                "name_y": f"{place + 6:.1f}%",
            }
        )
        left += tall
        right += tall + GAP
    return {"ends": found, "source_y": round(margin, 1), "source_height": round(space, 1)}


def _band(start: float, end: float, tall: float) -> str:
    """A band that begins at the source's edge and ends at its own: two curves and their ends."""
    a, b, middle = 24.0, WIDTH - 24.0, WIDTH / 2
    return (
        f"M{a:.0f} {start:.1f}C{middle:.0f} {start:.1f} {middle:.0f} {end:.1f} {b:.0f} {end:.1f}V{end + tall:.1f}"
        f"C{middle:.0f} {end + tall:.1f} {middle:.0f} {start + tall:.1f} {a:.0f} {start + tall:.1f}Z"
    )


# --- downloads -------------------------------------------------------------------------------------------------------


def keep_rows(context: RunContext, connection: Connection, moved: Moved, prefix: str = "") -> list[Artifact]:
    """Files of row keys, written while the maps are there: what was skipped and why, and which key became which.

    ``prefix``: of their names, where one run may keep such files of several transitions.
    """
    if not moved.tallies:
        return []
    folder = context.scratch
    skipped, keys = folder / f"{prefix}skipped-rows.csv", folder / f"{prefix}keys.csv"
    with skipped.open("wb") as out:
        out.write(b"table,source_key,reason\r\n")
        for work in moved.works:
            for (action, rule), rows in sorted(moved.tallies.get(work.label, {}).items()):
                if action in SKIPPED and rows:
                    _copy(context, connection, _skipped_rows(work, action, rule), out)
    with keys.open("wb") as out:
        out.write(b"table,source_key,target_key,action\r\n")
        for work in moved.works:
            _copy(context, connection, _key_rows(work), out)
    return [context.store(path.name, path) for path in (skipped, keys)]


def _copy(context: RunContext, connection: Connection, query: sql.Composable, out: Any) -> None:
    def work() -> None:
        with connection.cursor().copy(sql.SQL("COPY ({}) TO STDOUT (FORMAT csv)").format(query)) as copy:
            for block in copy:
                out.write(bytes(block))

    patiently(context, connection, work)


def _literal(text: str) -> sql.Composable:
    return sql.Literal(spreadsheet.cell(text))


def _joined(names: list[str], veiled: Collection[int]) -> sql.Composable:
    """A key as one cell; what a spreadsheet would run stays text, as ``spreadsheet.cell`` does it."""
    key = key_text((column("m", name) for name in names), veiled)
    return sql.SQL("CASE WHEN {0} ~ {1} AND {0} !~ {2} THEN chr(39) || {0} ELSE {0} END").format(
        key, sql.Literal(r"^[=+@\t\r-]"), sql.Literal(r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$")
    )


def _skipped_rows(work: TableWork, action: Action, rule: int) -> sql.Composable:
    narrow = sql.SQL(" AND m.rule = {}").format(sql.Literal(rule)) if action == Action.RULE else sql.SQL("")
    return sql.SQL("SELECT {}, {}, {} FROM {} m WHERE m.action = {}{} ORDER BY {}").format(
        _literal(work.label), _joined(work.key_names, work.veiled), _literal(reason_of(work, action, rule)), work.map,
        sql.Literal(int(action)), narrow, listed(column("m", name) for name in work.key_names),
    )  # fmt: skip


def _key_rows(work: TableWork) -> sql.Composable:
    return sql.SQL(
        "SELECT {}, {}, {}, CASE m.action WHEN {} THEN 'inserted' WHEN {} THEN 'merged' ELSE 'there' END FROM {} m"
        " WHERE m.t1 IS NOT NULL ORDER BY {}"
    ).format(
        _literal(work.label), _joined(work.key_names, work.veiled),
        _joined(work.target_key_names, work.veiled_in_target),
        sql.Literal(int(Action.INSERT)), sql.Literal(int(Action.MERGE)), work.map,
        listed(column("m", name) for name in work.key_names),
    )  # fmt: skip


def keep_report(context: RunContext, result: Mapping[str, Any], prefix: str = "") -> list[Artifact]:
    """The whole result as JSON, and its tables, conflicts and columns as CSV."""
    plain = {name: value for name, value in result.items() if name != "flow"}
    plain["tables"] = [{name: value for name, value in row.items() if name != "bar"} for row in result["tables"]]
    stored = [context.store(f"{prefix}transition.json", json.dumps(plain, indent=1, ensure_ascii=False).encode())]
    for name in ("tables", "conflicts", "skipped", "columns"):
        rows = plain[name]
        if rows:
            stored.append(context.store(f"{prefix}{name}.csv", b"".join(spreadsheet.lines(list(rows[0]), rows))))
    return stored
