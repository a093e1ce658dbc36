"""Settling: what an undo needs is given up, since nobody will go back any more; it holds people's data.

In one transaction the rows as they were before a merge go, and the key maps with their hashes. What stays is the row
of the journal, marked with who settled it and when, and for each table ``r<place>_<n>_moved``: which rows were inserted
and are still there, so that no later release brings them again (see ``again``). Of a key that is somebody's own value
it has the fingerprint.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, LiteralString

from psycopg import sql

from checks.tools.postgres import Connection, one
from checks.tools.transition import catalog, keeping
from checks.tools.transition.keeping import Standing
from checks.tools.transition.undoing import is_there
from checks.tools.transition.work import Action, column, equal, fingerprint, listed

_SIZE: LiteralString = "SELECT coalesce(pg_total_relation_size(to_regclass(%s)), 0)"
_MARK: LiteralString = """
    UPDATE gonogo_transition.journal SET document = document || jsonb_build_object('settled', %s::jsonb)
    WHERE place = %s AND NOT document ? 'settled'
"""


@dataclass(frozen=True)
class Hidden:
    """The parts of the source's and of the target's key, counted from 1, that are kept as fingerprints."""

    source: frozenset[int] = frozenset()
    target: frozenset[int] = frozenset()


NOTHING_HIDDEN: Final = Hidden()


def hidden(entry: Mapping[str, Any]) -> Hidden:
    """``entry``: of a table in the journal. An old one does not say which keys are people's own: all are hidden."""
    every = range(1, len(entry["keys"]) + 1)
    return Hidden(frozenset(entry.get("veiled_in_source", every)), frozenset(entry.get("veiled", every)))


@dataclass
class KeptTable:
    """What is kept for one table of a transition: rows by what was done with them, and how much disk that takes."""

    number: int
    table: str
    inserted: int = 0
    merged: int = 0
    skipped: int = 0
    before: int = 0
    size: int = 0
    dropped: bool = False  # by hand, so that nothing is known of it


def counts(table: KeptTable) -> dict[str, Any]:
    return {"table": table.table, "inserted": table.inserted, "merged": table.merged, "skipped": table.skipped,
            "before": table.before, "bytes": table.size, "dropped": table.dropped}  # fmt: skip


@dataclass
class Kept:
    """A transition that stands, with what is kept for it; ``size`` in bytes."""

    standing: Standing
    tables: list[KeptTable] = field(default_factory=list)

    @property
    def told(self) -> str:
        rows = sum(table.inserted + table.merged + table.skipped for table in self.tables)
        before = sum(table.before for table in self.tables)
        return f"run {self.standing.told}, {rows:,} rows, and {before:,} as they were before"

    @property
    def size(self) -> int:
        return sum(table.size for table in self.tables)


def now(connection: Connection) -> datetime:
    """On the target's own clock, by which the journal tells when rows were moved."""
    moment: datetime = one(connection, "SELECT clock_timestamp()")
    return moment


def look(connection: Connection, standing: Standing) -> Kept:
    """What is kept for a transition that is not settled."""
    return Kept(standing, [_table(connection, standing.place, entry) for entry in standing.document["tables"]])


def _table(connection: Connection, place: int, entry: Mapping[str, Any]) -> KeptTable:
    number = entry["number"]
    keys, before = keeping.keys_table(place, number), keeping.before_table(place, number)
    found = KeptTable(number, entry["table"], size=_size(connection, keys) + _size(connection, before))
    if not is_there(connection, keys):
        found.dropped = True
    else:
        query = sql.SQL("SELECT action, count(*) FROM {} GROUP BY action").format(keys)
        by_action: dict[int, int] = dict(connection.execute(query).fetchall())
        found.inserted = by_action.pop(int(Action.INSERT), 0)
        found.merged = by_action.pop(int(Action.MERGE), 0)
        found.skipped = sum(by_action.values())
    if is_there(connection, before):
        row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(before)).fetchone()
        found.before = row[0] if row else 0
    return found


def settle(connection: Connection, chosen: Kept, *, facts: Mapping[str, Any]) -> int:
    """Settle a transition in the open transaction; how many bytes it keeps from now on. ``facts``: see ``mark``."""
    standing, left = chosen.standing, 0
    for entry, table in zip(standing.document["tables"], chosen.tables, strict=True):
        keys, before = (make(standing.place, table.number) for make in (keeping.keys_table, keeping.before_table))
        if table.inserted:
            left += _keep_moved(connection, standing, entry)
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {}, {}").format(keys, before))
    mark(connection, chosen, facts=facts, left=left)
    return left


def mark(connection: Connection, chosen: Kept, *, facts: Mapping[str, Any], left: int) -> None:
    """``facts``: ``run``, ``run_id`` and ``by`` of who settles, ``because``: why a way back is given up.

    Beside them stand when, how many rows each table had, and the bytes that were kept before and are kept now; nothing
    of people whose rows were moved.
    """
    document = {
        **facts,
        "at": now(connection).isoformat(),
        "tables": [counts(table) for table in chosen.tables],
        "bytes": chosen.size,
        "left_bytes": left,
    }
    done = connection.execute(_MARK, [json.dumps(document), chosen.standing.place]).rowcount
    assert done == 1, "It is settled once, by whoever is alone there."


def _keep_moved(connection: Connection, standing: Standing, entry: Mapping[str, Any]) -> int:
    """Which rows were inserted and are still there; where the table or its key is gone, all that were."""
    number, hiding = entry["number"], hidden(entry)
    places = range(1, len(entry["keys"]) + 1)
    names = [
        *((f"k{place}", place in hiding.source) for place in places),
        *((f"t{place}", place in hiding.target) for place in places),
    ]
    # What is kept in clear has its own type, so that the target's index finds the row.
    values = [
        sql.SQL("{} AS {}").format(fingerprint(column("k", name)) if away else column("k", name), sql.Identifier(name))
        for name, away in names
    ]
    shape = catalog.shape(connection, entry["table"])
    there: sql.Composable = sql.SQL("true")
    if shape is not None and set(entry["keys"]) <= shape.columns.keys():
        pairs = [(column("t", name), column("k", f"t{at}")) for at, name in enumerate(entry["keys"], 1)]
        there = sql.SQL("EXISTS (SELECT FROM {} t WHERE {})").format(shape.identifier, equal(pairs))
    moved = keeping.moved_table(standing.place, number)
    connection.execute(
        sql.SQL("CREATE TABLE {} AS SELECT {}, k.action FROM {} k WHERE k.action = {} AND {}").format(
            moved, listed(values), keeping.keys_table(standing.place, number), sql.Literal(int(Action.INSERT)), there
        )
    )
    keeping.shut(connection, moved)
    return _size(connection, moved)


def _size(connection: Connection, table: sql.Identifier) -> int:
    return int(one(connection, _SIZE, [table.as_string(connection)]))


def settled_by(connection: Connection, section: str, run_id: str) -> list[Standing]:
    """Those of a section that this run has settled: of an attempt whose worker died, or whose answer was lost."""
    standing = [each for each in keeping.everything(connection) if each.section == section]
    return [each for each in standing if (each.settled or {}).get("run_id") == run_id]
