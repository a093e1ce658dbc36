"""The first pass: counts and sums of hashes, bucket by bucket, over ranges of pages."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg import sql
from psycopg.sql import SQL, Composable, Composed

from checks.tools.postgres import Connection
from checks.tools.reconciling.catalog import Part
from checks.tools.reconciling.matching import Pair

ROWS_IN_A_BUCKET = 4000
MAX_BUCKETS = 1 << 16
#: Of 8 kB: a unit of 16 MB, read in about a tenth of a second.
PAGES_IN_A_UNIT = 2048
#: From where on the order of keys is taken for the order on disk.
ORDERLY = 0.9
_MIN_MAX = "SELECT min({0})::bigint, max({0})::bigint FROM ONLY {1} AS t"

Sums = dict[int, tuple[int, int]]


@dataclass(frozen=True)
class Buckets:
    """How rows are dealt out. ``kind``: one (a single bucket), hash (of the key), range (of an integer key).

    Bucket of a range: (key - low) / width, so a bucket is found again through the key's index.
    """

    kind: str
    count: int
    low: int = 0
    width: int = 1

    def expression(self, pair: Pair) -> Composable:
        """SQL of the bucket, over the alias t; over ``k`` where the table has no key."""
        if self.kind == "one":
            return SQL("0::bigint")
        if self.kind == "range":
            return SQL("({} - {}) / {}").format(
                pair.key_hash, sql.Literal(self.low), SQL("{}::bigint").format(sql.Literal(self.width))
            )
        mask = sql.Literal(self.count - 1)
        if not pair.key:
            return SQL("t.h & {}").format(mask)
        if pair.by_integer:
            return SQL("hashint8extended({}, {}) & {}").format(pair.key_hash, sql.Literal(pair.seed), mask)
        return SQL("{} & {}").format(pair.key_hash, mask)

    def keys(self, buckets: Sequence[int]) -> list[tuple[int, int]]:
        """Ranges of keys [from, to) of the given buckets, neighbours joined."""
        found: list[tuple[int, int]] = []
        for bucket in sorted(buckets):
            begin, end = self.low + bucket * self.width, self.low + (bucket + 1) * self.width
            if found and found[-1][1] == begin:
                found[-1] = (found[-1][0], end)
            else:
                found.append((begin, end))
        return found


#: No buckets: one for all.
WHOLE = Buckets("one", 1)


def deal(pair: Pair, extremes: Sequence[tuple[int | None, int | None]]) -> Buckets:
    """Choose buckets of about 4,000 rows. ``extremes``: least and greatest key of each side, for integer keys."""
    rows = max(pair.source.estimate, pair.target.estimate)
    wanted = min(MAX_BUCKETS, -(-rows // ROWS_IN_A_BUCKET))
    if wanted <= 1:
        return WHOLE
    known = [value for pair_of in extremes for value in pair_of if value is not None]
    if known and orderly(pair):
        low, high = min(known), max(known)
        width = -(-(high - low + 1) // wanted)
        if high - low < 1 << 62:
            return Buckets("range", (high - low) // width + 1, low, width)
    return Buckets("hash", 1 << (wanted - 1).bit_length())


def orderly(pair: Pair) -> bool:
    """Whether both sides keep their rows in the order of an integer key."""
    if not pair.by_integer or pair.source.partitioned or pair.target.partitioned:
        return False
    name = pair.key[0].name
    return all(abs(relation.columns[name].correlation) >= ORDERLY for relation in (pair.source, pair.target))


def extremes(pair: Pair, side: int, connection: Connection) -> tuple[int | None, int | None]:
    """Least and greatest key, from the key's index."""
    query = SQL(_MIN_MAX).format(pair.key[0].stored, pair.relation(side).identifier)
    row = connection.execute(query).fetchone()
    return (row[0], row[1]) if row else (None, None)


def unit_name(part: Part, first: int) -> str:
    return f"{part.label}:{first}"


@dataclass(frozen=True)
class Unit:
    """A range of pages of one part. ``last`` None: to the end. ``number``: of the part in its relation."""

    part: Part
    number: int
    first: int
    last: int | None

    @property
    def name(self) -> str:
        return unit_name(self.part, self.first)

    @property
    def condition(self) -> Composable:
        """SQL that holds for the rows of this unit."""
        lower = SQL("t.ctid >= {}::tid").format(sql.Literal(f"({self.first},0)"))
        if self.last is None:
            return lower if self.first else SQL("true")
        return SQL("{} AND t.ctid < {}::tid").format(lower, sql.Literal(f"({self.last},0)"))


def cut(parts: Sequence[Part], pages: int, *, by_pages: bool) -> Iterator[Unit]:
    """Units of so many pages; one for each part where the server cannot scan a range of pages."""
    for number, part in enumerate(parts):
        starts = range(0, max(part.pages, 1), pages) if by_pages else range(1)
        for first in starts:
            yield Unit(part, number, first, first + pages if by_pages and first + pages < part.pages else None)


def summing(pair: Pair, unit: Unit, buckets: Buckets) -> Composed:
    """The query of one unit: bucket, rows, sum of the row hashes as text."""
    table: Composable = unit.part.identifier
    where = unit.condition
    if buckets.kind == "one":
        return SQL("SELECT 0::bigint, count(*), COALESCE(sum({}), 0)::text FROM ONLY {} AS t WHERE {}").format(
            pair.row_hash, table, where
        )
    if not pair.key:
        # OFFSET 0 keeps the planner from computing the hash twice.
        table = SQL("(SELECT {} AS h FROM ONLY {} AS t WHERE {} OFFSET 0)").format(pair.row_hash, table, where)
        return SQL("SELECT {}, count(*), sum(t.h)::text FROM {} AS t GROUP BY 1").format(
            buckets.expression(pair), table
        )
    return SQL("SELECT {}, count(*), sum({})::text FROM ONLY {} AS t WHERE {} GROUP BY 1").format(
        buckets.expression(pair), pair.row_hash, table, where
    )


@dataclass
class Totals:
    """One side of one table, summed up."""

    sums: Sums = field(default_factory=dict)

    def add(self, found: Sequence[tuple[Any, ...]]) -> int:
        """Take up a unit's rows (bucket, count, sum as text); returns how many rows of the table that was."""
        seen = 0
        for bucket, count, total in found:
            if count:
                rows, so_far = self.sums.get(bucket, (0, 0))
                self.sums[bucket] = (rows + count, so_far + int(total))
                seen += count
        return seen


def unequal(source: Totals, target: Totals) -> list[int]:
    """Buckets whose rows or sums differ."""
    return sorted(
        bucket for bucket in source.sums.keys() | target.sums.keys()
        if source.sums.get(bucket) != target.sums.get(bucket)
    )  # fmt: skip


def inside(unit: Unit, matched: Collection[str]) -> bool:
    """Whether a smaller unit lies in one of these units of the first pass."""
    first = unit.first // PAGES_IN_A_UNIT * PAGES_IN_A_UNIT
    ends = unit.last is None or unit.last <= first + PAGES_IN_A_UNIT
    whole = unit.last is not None or unit.part.pages <= first + PAGES_IN_A_UNIT
    return ends and whole and unit_name(unit.part, first) in matched
