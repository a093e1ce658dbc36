"""Results of the first pass that outlive an attempt, and the proof that they still hold.

A later attempt has a snapshot of its own. A unit's sums may be taken up only where its rows are the same in both
snapshots. That is so when none of the rows that are there now was written since the first snapshot, which its
transaction number tells, and when they are as many as then: nothing came, and nothing went. Counting costs a part of
hashing. A table's file must be the same, and the schema too, since it decides how values are printed.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, LiteralString, Protocol

from psycopg import sql
from psycopg.sql import SQL, Composed

from checks.tools import schema
from checks.tools.postgres import Connection, one
from checks.tools.reconciling import units
from checks.tools.reconciling.matching import Pair
from checks.tools.reconciling.units import Buckets, Totals, Unit

FORMAT = 1
KEEP_SECONDS = 15.0
#: Keeping takes at most this part of the time.
KEEP_SHARE = 0.05
_CLUSTER: LiteralString = """
    SELECT system_identifier::text || '/' || (SELECT timeline_id::text FROM pg_catalog.pg_control_checkpoint())
    FROM pg_catalog.pg_control_system()
"""
_MAY_ASK: LiteralString = """
    SELECT has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')
       AND has_function_privilege('pg_catalog.pg_control_checkpoint()', 'EXECUTE')
"""
_FILES: LiteralString = """
    SELECT c.oid::bigint, pg_relation_filenode(c.oid)::bigint FROM pg_catalog.pg_class c
    WHERE c.relkind = 'r' AND c.relpersistence <> 't'
"""


class Keeper(Protocol):
    """Where results are kept between the attempts of one run."""

    def load(self) -> Iterable[bytes]:
        """What earlier attempts kept, the newest first; one may be cut short, where a worker died while it kept it."""
        ...

    def keep(self, document: bytes) -> None:
        """Replace what was kept."""
        ...


@dataclass(frozen=True)
class Identity:
    """What a side is. ``cluster``: its server and that server's history, '' where the role may not ask.

    ``schema``: a digest of all definitions. ``files``: number of a table -> number of its file.
    """

    cluster: str
    database: str
    schema: str
    files: Mapping[int, int]


def identity(connection: Connection) -> Identity:
    """Asked when the tables are locked, so that no file changes any more."""
    cluster = one(connection, _CLUSTER) if one(connection, _MAY_ASK) else ""
    return Identity(
        cluster,
        str(one(connection, "SELECT oid::text FROM pg_catalog.pg_database WHERE datname = current_database()")),
        schema.schema_digest(schema.schema_objects(connection)),
        dict(connection.execute(_FILES).fetchall()),
    )


@dataclass
class Stored:
    """One table of an earlier attempt. ``shape``: what must be alike. ``done``: for each side unit -> rows."""

    shape: str
    buckets: Buckets
    totals: tuple[Totals, Totals]
    plain: tuple[dict[str, tuple[int, int]], dict[str, tuple[int, int]]]
    done: tuple[dict[str, int], dict[str, int]]

    @property
    def units(self) -> int:
        return sum(len(done) for done in self.done)


@dataclass
class Earlier:
    """What an earlier attempt left. ``sides``: for each what it was; ``snapshots``: as the servers called them."""

    seed: int
    sides: Sequence[tuple[str, str, str]]
    snapshots: Sequence[str]
    tables: dict[str, Stored] = field(default_factory=dict)

    def fits(self, side: int, now: Identity, snapshot: str) -> bool:
        """Whether this side is the same database in the same history, with the same schema."""
        forward = _next(snapshot) >= _next(self.snapshots[side])
        return bool(now.cluster) and forward and self.sides[side] == told(now)

    def since(self, side: int) -> str:
        """The number of the oldest transaction that was under way then: no older one wrote afterwards."""
        return str(int(self.snapshots[side].partition(":")[0]) % (1 << 32))


def told(side: Identity) -> tuple[str, str, str]:
    return side.cluster, side.database, side.schema


def _next(snapshot: str) -> int:
    """'5:9:6,7' -> 9, the first number that was not given out."""
    return int(snapshot.split(":")[1])


def shape(pair: Pair, sides: Sequence[Identity]) -> str:
    """What must be alike for sums to be added up: the SQL of hashes and keys, the units, the files on both sides."""
    parts = [
        [(part.label, part.pages, sides[side].files.get(part.oid)) for part in pair.relation(side).parts]
        for side in (0, 1)
    ]
    text = [pair.seed, pair.row_hash.as_string(None), pair.key_hash.as_string(None), parts, units.PAGES_IN_A_UNIT]
    return sha256(json.dumps(text).encode()).hexdigest()


def proving(unit: Unit, since: str) -> Composed:
    """The query of one unit: its rows, and how many of them may have been written since."""
    return SQL(
        "SELECT count(*), count(*) FILTER (WHERE age(t.xmin) <= age({}::xid)) FROM ONLY {} AS t WHERE {}"
    ).format(sql.Literal(since), unit.part.identifier, unit.condition)


class Proof:
    """Which tables of an earlier attempt still hold, as the answers come in."""

    def __init__(self, earlier: Earlier) -> None:
        self.earlier = earlier
        self.refuted: set[str] = set()

    def take(self, label: str, side: int, unit: Unit) -> Callable[[Sequence[tuple[int, int]]], None]:
        def answer(found: Sequence[tuple[int, int]]) -> None:
            ((rows, written),) = found
            if written or rows != self.earlier.tables[label].done[side][unit.name]:
                self.refuted.add(label)

        return answer


def document(earlier: Earlier) -> bytes:
    """As JSON."""
    tables = {
        label: {
            "shape": table.shape,
            "buckets": vars(table.buckets),
            "sides": [
                {
                    "done": table.done[side],
                    "plain": {name: [rows, str(total)] for name, (rows, total) in table.plain[side].items()},
                    "sums": [[bucket, rows, str(total)] for bucket, (rows, total) in table.totals[side].sums.items()],
                }
                for side in (0, 1)
            ],
        }
        for label, table in earlier.tables.items()
    }
    whole = {"format": FORMAT, "seed": earlier.seed, "sides": earlier.sides, "snapshots": earlier.snapshots}
    return json.dumps({**whole, "tables": tables}, separators=(",", ":")).encode()


def newest(kept: Iterable[bytes]) -> Earlier | None:
    """The first of these that is whole; None where there is none."""
    return next((found for document in kept if (found := read(document)) is not None), None)


def read(kept: bytes) -> Earlier | None:
    """The inverse of ``document``; None for what cannot be read or is of another version."""
    try:
        whole = json.loads(kept or b"null")
        if not whole or whole["format"] != FORMAT:
            return None
        tables = {label: _stored(table) for label, table in whole["tables"].items()}
        return Earlier(whole["seed"], [tuple(side) for side in whole["sides"]], whole["snapshots"], tables)
    except (ValueError, KeyError, TypeError):
        return None


def _stored(table: Mapping[str, Any]) -> Stored:
    source, target = table["sides"]

    def totals(side: Mapping[str, Any]) -> Totals:
        return Totals({bucket: (rows, int(total)) for bucket, rows, total in side["sums"]})

    def plain(side: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
        return {name: (rows, int(total)) for name, (rows, total) in side["plain"].items()}

    return Stored(
        table["shape"],
        Buckets(**table["buckets"]),
        (totals(source), totals(target)),
        (plain(source), plain(target)),
        (source["done"], target["done"]),
    )
