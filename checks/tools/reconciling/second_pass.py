"""The second pass over one table, and over the large objects, both sides at once."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from psycopg import sql
from psycopg.sql import SQL, Composable, Composed

from checks.tools import bytes_hash
from checks.tools.postgres import Connection
from checks.tools.reconciling.drilldown import RECORD, Search, Spill, Tallied, compare_share, shares_for
from checks.tools.reconciling.options import Options
from checks.tools.reconciling.preparing import SCANS_PAGES
from checks.tools.reconciling.results import Difference, TableResult
from checks.tools.reconciling.sides import Job, Side, both, drive, older, rows

LARGE_OBJECTS = "Large objects"
OBJECTS_IN_A_UNIT = 500
NO_PLACE = bytes(8)


def search(
    sides: Sequence[Side], wanted: Search, options: Options, check: Callable[[], None], seen: Callable[[int], None]
) -> Tallied:
    """Read the buckets in question on both sides and tell their rows apart. ``seen``: so many more rows were read."""

    def jobs(index: int, spill: Spill) -> Iterator[Job]:
        by_pages = sides[index].version >= SCANS_PAGES
        for query in wanted.queries(index, by_pages=by_pages):
            yield Job(rows(query, binary=True), _into(spill, seen))

    return _search(sides, jobs, wanted.shares, options, check)


def _search(
    sides: Sequence[Side], jobs: Callable[[int, Spill], Iterator[Job]], shares: int, options: Options,
    check: Callable[[], None],
) -> Tallied:  # fmt: skip
    spills = [Spill(shares, options.scratch) for _ in sides]
    try:
        drive(sides, [jobs(index, spill) for index, spill in enumerate(spills)], check)
        tallied = Tallied(options.details)
        for share in range(shares):
            check()
            compare_share(spills[0].take(share), spills[1].take(share), tallied)
        return tallied
    finally:
        for spill in spills:
            spill.close()


def _into(spill: Spill, seen: Callable[[int], None] | None = None) -> Callable[[Sequence[tuple[Any, ...]]], None]:
    def take(found: Sequence[tuple[Any, ...]]) -> None:
        for share, records in found:
            if records:
                spill.add(share, records)
        if seen is not None:
            seen(sum(len(records or b"") for _, records in found) // RECORD)

    return take


def large_objects(sides: Sequence[Side], seed: int, options: Options, check: Callable[[], None]) -> TableResult | None:
    """The large objects by their number and content; None where no side has any."""
    starts = both(sides, lambda _, connection: _starts(connection), check)
    counts = [count for count, _ in starts]
    if not any(counts):
        return None
    shares = shares_for(max(counts))
    content = bytes_hash.of(SQL("lo_get(m.oid)"), seed, older(sides))

    def jobs(index: int, spill: Spill) -> Iterator[Job]:
        edges = starts[index][1]
        for begin, end in zip(edges, [*edges[1:], None], strict=True):
            yield Job(rows(_objects(content, shares, begin, end), binary=True), _into(spill))

    tallied = _search(sides, jobs, shares, options, check)
    result = TableResult(
        LARGE_OBJECTS, counts[0], counts[1], tallied.missing, tallied.extra, tallied.changed, key=["number"],
        how="by their numbers",
    )  # fmt: skip
    for item in tallied.found:
        place = item.source or item.target or NO_PLACE
        result.differences.append(Difference(item.sort, {"number": str(int.from_bytes(place, "big"))}, []))
    return result


def _starts(connection: Connection) -> tuple[int, list[int]]:
    """(how many there are, the number of every five hundredth)."""
    query = SQL(
        "SELECT count(*) OVER (), oid::bigint FROM (SELECT oid, row_number() OVER (ORDER BY oid) AS place"
        " FROM pg_catalog.pg_largeobject_metadata) AS numbered WHERE place % {} = 1"
    ).format(sql.Literal(OBJECTS_IN_A_UNIT))
    edges = [oid for _, oid in connection.execute(query).fetchall()]
    row = connection.execute("SELECT count(*) FROM pg_catalog.pg_largeobject_metadata").fetchone()
    return (row[0] if row else 0), edges


def _objects(content: Composable, shares: int, begin: int, end: int | None) -> Composed:
    where = SQL("m.oid >= {}").format(sql.Literal(begin))
    if end is not None:
        where = SQL("{} AND m.oid < {}").format(where, sql.Literal(end))
    return SQL(
        "SELECT m.oid::bigint % {}, string_agg(int8send(m.oid::bigint)"
        " || int8send({}) || int8send(m.oid::bigint), ''::bytea)"
        " FROM pg_catalog.pg_largeobject_metadata AS m WHERE {} GROUP BY 1"
    ).format(sql.Literal(shares), content, where)
