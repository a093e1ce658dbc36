"""What must hold before two databases can be compared, and the locks that keep it so."""

import secrets
from collections.abc import Callable, Sequence
from typing import LiteralString

from psycopg import errors
from psycopg.sql import SQL

from checks.errors import CheckError
from checks.tools import bytes_hash
from checks.tools.postgres import Connection, explain, one
from checks.tools.reconciling.catalog import Relation
from checks.tools.reconciling.sides import Job, Side, both, drive

#: From here on a range of pages can be scanned by itself.
SCANS_PAGES = 140000
# One value of each sort of type; what another major version sends or hashes otherwise shows here.
_SAMPLE: LiteralString = """
    SELECT {}, hashint8extended(4294967296, 42), hashtextextended('é' COLLATE "C", 42),
        uuid_hash_extended('00000000-0000-0000-0000-00000000002a', 42)
"""
_VALUES: LiteralString = """record_send(ROW(
        true, 7::int2, 7::int4, 7::int8, 1.5::float4, '-0'::float8, 1.50::numeric, 'NaN'::numeric, 'é'::text,
        'x'::varchar, 'y'::char(3), 'z'::name, '\\x00ff'::bytea, '2026-01-02'::date, '03:04:05.678901'::time,
        '03:04:05+02'::timetz, '2026-01-02 03:04:05.678901'::timestamp, '2026-01-02 03:04:05.678901+00'::timestamptz,
        '1 mon 2 days 3 sec'::interval, '00000000-0000-0000-0000-00000000002a'::uuid, '{"a": [1, 2.50]}'::json,
        '{"a": [1, 2.50]}'::jsonb, '10.0.0.1/8'::inet, '10.0.0.0/8'::cidr, '08:00:2b:01:02:03'::macaddr,
        '101'::bit(3), '1011'::varbit, '[1,5)'::int4range, '(1,2)'::point, 'a fat cat'::tsvector, 'fat & cat'::tsquery,
        '0/16B3748'::pg_lsn, '12.34'::money, '{1,NULL}'::int4[]::text, NULL::text))"""


def refuse_unfit(sides: Sequence[Side], check: Callable[[], None]) -> None:
    """CheckError for one database given twice, and for two whose hashes would not be alike."""
    _refuse_same(sides, check)
    majors = [side.version // 10000 for side in sides]
    if majors[0] != majors[1]:
        refuse_other_hashes(majors, both(sides, lambda _, connection: sample(connection), check))


def sample(connection: Connection) -> tuple[int, ...]:
    """The hashes of fixed values of many types."""
    values = bytes_hash.of(SQL(_VALUES), 42, connection.info.server_version)
    row = connection.execute(SQL(_SAMPLE).format(values)).fetchone()
    assert row is not None
    return row


def refuse_other_hashes(majors: Sequence[int], samples: Sequence[tuple[int, ...]]) -> None:
    if samples[0] != samples[1]:
        raise CheckError(
            f"PostgreSQL {majors[0]} and {majors[1]} hash equal values differently, so these two cannot be compared.",
            remedy="Restore a dump of one of them on a server of the other's version and compare that.",
        )


def _refuse_same(sides: Sequence[Side], check: Callable[[], None]) -> None:
    """A database compared with itself agrees and proves nothing. Its advisory locks tell that it is the same."""
    number = secrets.randbits(62)
    got: list[bool] = []
    for side in sides:
        job = Job(lambda connection: one(connection, "SELECT pg_try_advisory_xact_lock(%s)", [number]), got.append)
        drive([side], [[job]], check)
    if got != [True, True]:
        raise CheckError(
            f"Source and target are one and the same database, {sides[0].address.database} at"
            f" {sides[0].address.server}.",
            remedy="It agrees with itself, which proves nothing. Name another database to compare with.",
        )


def lock(sides: Sequence[Side], relations: Sequence[Sequence[Relation]], check: Callable[[], None]) -> None:
    """Keep every table from being dropped or rewritten; one by one, so that the one that is locked can be named."""

    def work(side: Side, chosen: Sequence[Relation]) -> Callable[[Connection], None]:
        def lock_all(connection: Connection) -> None:
            for relation in chosen:
                try:
                    connection.execute(SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(relation.identifier))
                except errors.LockNotAvailable as error:
                    told = explain(error, side.address, what=side.what)
                    raise CheckError(f"{relation.label}: {told.message}", remedy=told.remedy) from error

        return lock_all

    jobs = [[Job(work(side, chosen), lambda _: None)] for side, chosen in zip(sides, relations, strict=True)]
    drive(sides, jobs, check)
