"""The rows that differ, with both sides' values, for people."""

from collections.abc import Callable, Sequence
from typing import Any

from psycopg import sql
from psycopg.sql import SQL, Composable, Composed

from checks.tools.postgres import Connection
from checks.tools.reconciling.drilldown import Found
from checks.tools.reconciling.matching import Pair
from checks.tools.reconciling.results import Cell, Difference
from checks.tools.reconciling.sides import Job, Side, drive

LONGEST = 200
ROWS_IN_A_QUERY = 200

#: place -> for each column (text or None, whether it was cut, hash of the value as it is compared)
_Rows = dict[bytes, list[tuple[str | None, bool, int]]]


def fetch(sides: Sequence[Side], pair: Pair, found: Sequence[Found], check: Callable[[], None]) -> list[Difference]:
    """The values of these rows from both sides, by their place in the file; a snapshot's rows do not move."""
    rows: tuple[_Rows, _Rows] = ({}, {})
    jobs: list[list[Job]] = [[], []]
    for side in (0, 1):
        places = [place for item in found if (place := (item.source, item.target)[side]) is not None]
        for at in range(0, len(places), ROWS_IN_A_QUERY):
            jobs[side].append(_job(pair, side, places[at : at + ROWS_IN_A_QUERY], rows[side]))
    drive(sides, jobs, check)
    told = [_difference(pair, item, rows) for item in found]
    return sorted(told, key=lambda difference: (difference.sort, _order(difference)))


def _order(difference: Difference) -> list[tuple[int, int, str]]:
    """Keys in the order of numbers where they are numbers."""
    keys = []
    for value in difference.key.values():
        text = value or ""
        keys.append((0, int(text), "") if text.lstrip("-").isdecimal() and text.isascii() else (1, 0, text))
    return keys


def _job(pair: Pair, side: int, places: Sequence[bytes], rows: _Rows) -> Job:
    by_part: dict[int, list[bytes]] = {}
    for place in places:
        by_part.setdefault(int.from_bytes(place[:2], "big"), []).append(place)

    def work(connection: Connection) -> list[tuple[bytes, Sequence[Any]]]:
        values: list[tuple[bytes, Sequence[Any]]] = []
        for part, its in by_part.items():
            relation = pair.relation(side).parts[part]
            query = _query(pair, relation.identifier, [_ctid(place) for place in its])
            for prefix, *cells in connection.execute(query).fetchall():
                values.append((part.to_bytes(2, "big") + prefix, cells))
        return values

    def take(values: Sequence[tuple[bytes, Sequence[Any]]]) -> None:
        for place, cells in values:
            rows[place] = [_read(cells[at : at + 3]) for at in range(0, len(cells), 3)]

    return Job(work, take)


def _read(three: Sequence[Any]) -> tuple[str | None, bool, int]:
    text, length, value_hash = three
    return text, (length or 0) > LONGEST, value_hash


def _ctid(place: bytes) -> str:
    return f"({int.from_bytes(place[2:6], 'big')},{int.from_bytes(place[6:8], 'big')})"


def _query(pair: Pair, table: Composable, ctids: Sequence[str]) -> Composed:
    cells: list[Composable] = [SQL("tidsend(t.ctid)")]
    for column in pair.columns:
        # What is hidden does not leave the server.
        hidden = column.name in pair.hidden
        text = SQL("NULL::text") if hidden else SQL("left({}::text, {})").format(column.stored, sql.Literal(LONGEST))
        length = SQL("0") if hidden else SQL("length({}::text)").format(column.stored)
        cells += [text, length, pair.hash_of([column])]
    array = sql.Literal("{" + ",".join(f'"{ctid}"' for ctid in ctids) + "}")
    return SQL("SELECT {} FROM ONLY {} AS t WHERE t.ctid = ANY ({}::tid[])").format(SQL(", ").join(cells), table, array)


def _difference(pair: Pair, item: Found, rows: tuple[_Rows, _Rows]) -> Difference:
    source = rows[0][item.source] if item.source is not None else None
    target = rows[1][item.target] if item.target is not None else None
    cells = []
    for place, column in enumerate(pair.columns):
        left, right = (side[place] if side else (None, False, None) for side in (source, target))
        cells.append(
            Cell(
                column.name, left[0], right[0],
                differs=source is None or target is None or left[2] != right[2],
                hidden=column.name in pair.hidden, cut=left[1] or right[1],
            )
        )  # fmt: skip
    known = source or target
    assert known is not None
    places = {column.name: place for place, column in enumerate(pair.columns)}
    key = {column.name: known[places[column.name]][0] for column in pair.key}
    return Difference(item.sort, key, cells)
