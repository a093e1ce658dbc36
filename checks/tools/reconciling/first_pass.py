"""The first pass over all tables, both sides at once."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg.sql import SQL

from checks.tools.postgres import Connection
from checks.tools.reconciling import units
from checks.tools.reconciling.catalog import Relation
from checks.tools.reconciling.drilldown import Search, shares_for
from checks.tools.reconciling.matching import Pair
from checks.tools.reconciling.pace import Pace
from checks.tools.reconciling.preparing import SCANS_PAGES
from checks.tools.reconciling.results import TableResult
from checks.tools.reconciling.sides import Job, Side, drive, rows
from checks.tools.reconciling.units import Buckets, Totals

_HOW = {"one": "in one go", "hash": "buckets by the hash of the key", "range": "buckets by ranges of the key"}


@dataclass
class _Table:
    pair: Pair
    buckets: Buckets
    totals: tuple[Totals, Totals] = field(default_factory=lambda: (Totals(), Totals()))
    units: int = 0
    taken_up: int = 0


class FirstPass:
    """``lonely``: (side, table) of tables that only one side has; their rows are counted."""

    def __init__(
        self, sides: Sequence[Side], pairs: Sequence[Pair], lonely: Sequence[tuple[int, Relation]], pace: Pace,
        check: Callable[[], None],
    ) -> None:  # fmt: skip
        self.sides, self.pairs, self.lonely, self.pace, self.check = sides, pairs, lonely, pace, check
        self.tables: dict[str, _Table] = {}
        self.lonely_results: list[TableResult] = []

    def run(self) -> None:
        self._deal()
        self.pace.expect(sum(pair.source.estimate + pair.target.estimate for pair in self.pairs))
        drive(self.sides, [self._jobs(side) for side in (0, 1)], self.check)
        self._count_lonely()

    def _deal(self) -> None:
        known: dict[str, list[tuple[int | None, int | None]]] = {pair.label: [(None, None)] * 2 for pair in self.pairs}

        def job(pair: Pair, side: int) -> Job:
            def take(found: tuple[int | None, int | None]) -> None:
                known[pair.label][side] = found

            return Job(lambda connection: units.extremes(pair, side, connection), take)

        orderly = [pair for pair in self.pairs if units.orderly(pair)]
        drive(self.sides, [[job(pair, side) for pair in orderly] for side in (0, 1)], self.check)
        self.tables = {pair.label: _Table(pair, units.deal(pair, known[pair.label])) for pair in self.pairs}

    def _jobs(self, side: int) -> Iterator[Job]:
        by_pages = self.sides[side].version >= SCANS_PAGES
        for table in self.tables.values():
            for unit in units.cut(table.pair.relation(side).parts, units.PAGES_IN_A_UNIT, by_pages=by_pages):
                yield self._job(table, side, unit)

    def _job(self, table: _Table, side: int, unit: units.Unit) -> Job:
        table.units += 1

        def take(found: Sequence[tuple[Any, ...]]) -> None:
            seen = table.totals[side].add(found)
            self.pace.read(seen, f"Reading {table.pair.label} on both sides")

        return Job(rows(units.summing(table.pair, unit, table.buckets), binary=True), take)

    def _count_lonely(self) -> None:
        """A table that one side lacks: all its rows are missing or extra."""
        jobs: list[list[Job]] = [[], []]
        for side, relation in self.lonely:
            result = TableResult(relation.label, only_in=self.sides[side].name)
            self.lonely_results.append(result)
            jobs[side].append(Job(_count(relation), _counted(result)))
        drive(self.sides, jobs, self.check)

    def result(self, pair: Pair) -> TableResult:
        table = self.tables[pair.label]
        how = "no key: rows counted by their content, " if not pair.key else ""
        return TableResult(
            pair.label, table.totals[0].rows, table.totals[1].rows, key=[column.name for column in pair.key],
            how=how + _HOW[table.buckets.kind], units=table.units, taken_up=table.taken_up,
        )  # fmt: skip

    def unequal(self, pair: Pair) -> list[int]:
        return units.unequal(*self.tables[pair.label].totals)

    def in_question(self, pair: Pair) -> int:
        """Rows of both sides that lie in buckets that differ."""
        totals = self.tables[pair.label].totals
        return sum(side.sums.get(bucket, (0, 0))[0] for bucket in self.unequal(pair) for side in totals)

    def search(self, pair: Pair, unequal: Sequence[int]) -> Search:
        table = self.tables[pair.label]
        in_question = max(sum(side.sums.get(bucket, (0, 0))[0] for bucket in unequal) for side in table.totals)
        return Search(pair, table.buckets, unequal, shares_for(in_question))


def _count(relation: Relation) -> Callable[[Connection], int]:
    def work(connection: Connection) -> int:
        word = SQL("" if relation.partitioned else "ONLY")
        row = connection.execute(SQL("SELECT count(*) FROM {} {}").format(word, relation.identifier)).fetchone()
        return int(row[0]) if row else 0

    return work


def _counted(result: TableResult) -> Callable[[int], None]:
    def take(count: int) -> None:
        if result.only_in == "source":
            result.source_rows = result.missing = count
        else:
            result.target_rows = result.extra = count

    return take
