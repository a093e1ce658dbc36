"""A comparison as people and programs read it: rows for the page, differences as CSV and as JSON."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from checks.tools.reconciling.results import Cell, Comparison, Difference, TableResult
from releases import spreadsheet

COLUMNS = ("table", "difference", "key", "column", "source", "target", "note")
TABLES = ("label", "source_rows", "target_rows", "missing", "extra", "changed", "only_in", "agrees", "key", "notes")
#: What the page shows; the files hold every difference that was told.
ROWS_OF_A_TABLE = 10
ROWS_ON_THE_PAGE = 200
TABLES_ON_THE_PAGE = 500
OBJECTS_ON_THE_PAGE = 200
#: Of two long values so much is shown around the place where they part.
AROUND = 60
CELLS_OF_A_ROW = 6


def as_result(found: Comparison) -> dict[str, Any]:
    """Everything that the page of a run shows, JSON-ready. Counts are of all; lists are cut."""
    differing = [table for table in found.counted if not table.agrees]
    return {
        "agrees": found.agrees,
        "mode": found.mode,
        "source": vars(found.source),
        "target": vars(found.target),
        "seconds": found.seconds,
        "resumed": found.resumed,
        "tables": [table.as_json() for table in [*differing, *_agreeing(found)][:TABLES_ON_THE_PAGE]],
        "tables_left_out": max(0, len(found.counted) - TABLES_ON_THE_PAGE),
        "differing": _shown(differing),
        "schema": [
            {"object": name, "change": sort} for sort in ("missing", "extra", "changed") for name in found.schema[sort]
        ][:OBJECTS_ON_THE_PAGE] if found.schema else None,
        "schema_count": sum(len(names) for names in found.schema.values()),
        "extensions": found.extensions,
        "sequences": [vars(item) for item in found.sequences[:OBJECTS_ON_THE_PAGE]],
        "sequence_count": found.sequence_count,
        "left_out": [{"table": table, "why": why} for table, why in found.left_out],
        "not_compared": found.not_compared,
    }  # fmt: skip


def _agreeing(found: Comparison) -> list[TableResult]:
    return sorted((table for table in found.counted if table.agrees), key=lambda table: -table.source_rows)


def _shown(tables: Sequence[TableResult]) -> list[dict[str, Any]]:
    """Each differing table with its first rows, as long as there is room on the page."""
    shown, room = [], ROWS_ON_THE_PAGE
    for table in tables:
        rows = _some(table.differences, min(ROWS_OF_A_TABLE, room))
        room -= len(rows)
        total = table.missing + table.extra + table.changed
        shown.append({**table.as_json(), "rows": [_row(row) for row in rows], "more": total - len(rows)})
    return shown


def _some(differences: Sequence[Difference], most: int) -> list[Difference]:
    """So many, of each sort a like share as far as there are enough; each sort together."""
    by_sort = [[item for item in differences if item.sort == sort] for sort in ("missing", "extra", "changed")]
    counts = [0, 0, 0]
    while sum(counts) < most and any(count < len(items) for count, items in zip(counts, by_sort, strict=True)):
        for place, items in enumerate(by_sort):
            if counts[place] < len(items) and sum(counts) < most:
                counts[place] += 1
    return [item for count, items in zip(counts, by_sort, strict=True) for item in items[:count]]


def _row(difference: Difference) -> dict[str, Any]:
    """One differing row: for a changed one each column that differs, else the row's first columns."""
    if difference.sort == "changed":
        cells = [_cell(cell) for cell in difference.cells if cell.differs]
    else:
        side = "source" if difference.sort == "missing" else "target"
        known = [cell for cell in difference.cells if cell.column not in difference.key]
        cells = [_lone(cell, side) for cell in known[:CELLS_OF_A_ROW]]
    return {"sort": difference.sort, "key": [list(item) for item in difference.key.items()], "cells": cells}


def _cell(cell: Cell) -> dict[str, Any]:
    if cell.hidden:
        return {"column": cell.column, "hidden": True}
    source, target = parted(cell.source, cell.target)
    return {"column": cell.column, "source": source, "target": target, "cut": cell.cut}


def _lone(cell: Cell, side: str) -> dict[str, Any]:
    value = cell.source if side == "source" else cell.target
    if cell.hidden:
        return {"column": cell.column, "hidden": True}
    return {"column": cell.column, side: None if value is None else [_short(value), "", ""], "cut": cell.cut}


def parted(source: str | None, target: str | None) -> tuple[list[str] | None, list[str] | None]:
    """Two values as [what both begin with, where they differ, what both end with]; None for NULL."""
    if source is None or target is None:
        return tuple(None if value is None else ["", _short(value), ""] for value in (source, target))  # type: ignore[return-value]
    begin, least = 0, min(len(source), len(target))
    while begin < least and source[begin] == target[begin]:
        begin += 1
    end = 0
    while end < least - begin and source[-1 - end] == target[-1 - end]:
        end += 1
    before, after = source[:begin], source[len(source) - end :]
    if len(before) > AROUND:
        before = "…" + before[-AROUND:]
    if len(after) > AROUND:
        after = after[:AROUND] + "…"
    left, right = (_short(value[begin : len(value) - end]) for value in (source, target))
    return [before, left, after], [before, right, after]


def _short(value: str) -> str:
    return value if len(value) <= 2 * AROUND else value[: 2 * AROUND] + "…"


def write_csv(found: Comparison, path: Path) -> None:
    """One line for each differing column of each told row, and one for each other difference; NULL is \\N."""
    with path.open("wb") as out:
        out.write(spreadsheet.line(COLUMNS))
        for line in _lines(found):
            values = [line.get(name) for name in COLUMNS]
            out.write(spreadsheet.line("\\N" if value is None else value for value in values))


def write_tables(found: Comparison, path: Path) -> None:
    """One line for each table that was compared, those that agree as well."""
    with path.open("wb") as out:
        out.writelines(spreadsheet.lines(TABLES, (table.as_json() for table in found.counted)))


def _lines(found: Comparison) -> Iterator[Mapping[str, Any]]:
    blank = dict.fromkeys(COLUMNS, "")
    for table in found.counted:
        for difference in table.differences:
            yield from _lines_of(table, difference)
        if table.only_in:
            yield {**blank, "table": table.label, "difference": f"table only in the {table.only_in}"}
        for note in table.notes:
            yield {**blank, "table": table.label, "difference": "columns", "note": note}
    for item in found.sequences:
        yield {**blank, "table": item.name, "difference": "sequence", "source": item.source, "target": item.target,
               "note": item.said}  # fmt: skip
    for sort, names in found.schema.items():
        for name in names:
            yield {**blank, "table": name, "difference": f"schema, {sort}"}
    for sentence in found.extensions:
        yield {**blank, "difference": "extension", "note": sentence}


def _lines_of(table: TableResult, difference: Difference) -> Iterator[Mapping[str, Any]]:
    key = json.dumps(dict(difference.key), ensure_ascii=False) if difference.key else ""
    line = {"table": table.label, "difference": difference.sort, "key": key}
    cells = [cell for cell in difference.cells if cell.differs]
    for cell in cells:
        sides = {"source": cell.source, "target": cell.target}
        if difference.sort != "changed":
            sides["target" if difference.sort == "missing" else "source"] = ""
        if cell.hidden:
            sides = {"source": "", "target": ""}
        note = "hidden" if cell.hidden else "cut" if cell.cut else ""
        yield {**line, "column": cell.column, **sides, "note": note}
    if not cells:
        yield {**line, "column": "", "source": "", "target": "", "note": ""}


def write_json(found: Comparison, path: Path) -> None:
    """The whole result; every told difference with its cells, table by table, so that it never is in memory twice."""
    head = {
        "agrees": found.agrees, "mode": found.mode, "source": vars(found.source), "target": vars(found.target),
        "seed": found.seed, "seconds": found.seconds, "schema": dict(found.schema), "extensions": found.extensions,
        "sequences": [vars(item) for item in found.sequences], "left_out": found.left_out,
        "not_compared": found.not_compared,
    }  # fmt: skip
    with path.open("w", encoding="utf-8") as out:
        out.write(json.dumps(head, ensure_ascii=False, indent=1)[:-2] + ',\n "tables": [')
        for index, table in enumerate(found.counted):
            told = {**table.as_json(), "differences": [_plain(item) for item in table.differences]}
            out.write(("," if index else "") + "\n  " + json.dumps(told, ensure_ascii=False))
        out.write("\n ]\n}\n")


def _plain(difference: Difference) -> dict[str, Any]:
    cells = [
        {"column": cell.column, "differs": cell.differs, "hidden": True} if cell.hidden else vars(cell)
        for cell in difference.cells
    ]
    return {"sort": difference.sort, "key": dict(difference.key), "cells": cells}
