"""The first pass over all tables, both sides at once."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from psycopg.sql import SQL

from checks.tools.postgres import Connection
from checks.tools.reconciling import resuming, units
from checks.tools.reconciling.catalog import Relation
from checks.tools.reconciling.drilldown import Search, shares_for
from checks.tools.reconciling.matching import Pair
from checks.tools.reconciling.pace import Pace
from checks.tools.reconciling.preparing import SCANS_PAGES
from checks.tools.reconciling.results import TableResult
from checks.tools.reconciling.resuming import Earlier, Identity, Keeper, Proof, Stored
from checks.tools.reconciling.sides import Job, Side, both, drive, rows
from checks.tools.reconciling.summed import Summed


class FirstPass:
    """``lonely``: (side, table) of tables that only one side has; their rows are counted.

    ``keeper``: where results are kept as they come. ``earlier``: what another attempt kept, with the same seed.
    """

    def __init__(
        self,
        sides: Sequence[Side],
        pairs: Sequence[Pair],
        lonely: Sequence[tuple[int, Relation]],
        pace: Pace,
        check: Callable[[], None],
        *,
        keeper: Keeper | None = None,
        earlier: Earlier | None = None,
    ) -> None:
        self.sides, self.pairs, self.lonely, self.pace, self.check = sides, pairs, lonely, pace, check
        self.keeper, self.earlier = keeper, earlier
        self.tables: dict[str, Summed] = {}
        self.lonely_results: list[TableResult] = []
        self.refuted = 0
        self._identities: list[Identity] = []
        self._keep_at = time.monotonic() + resuming.KEEP_SECONDS

    def run(self) -> None:
        self._deal()
        self.pace.expect(sum(pair.source.estimate + pair.target.estimate for pair in self.pairs))
        if self.keeper is not None:
            self._identities = both(self.sides, lambda _, connection: resuming.identity(connection), self.check)
        if self.earlier is not None:
            self._take_up(self.earlier)
        drive(self.sides, [self._jobs(side) for side in (0, 1)], self.check)
        for table in self.tables.values():
            table.judge()
        drive(self.sides, [self._second_looks(side) for side in (0, 1)], self.check)
        self._count_lonely()

    # --- what an earlier attempt left --------------------------------------------------------------------------------

    def _take_up(self, earlier: Earlier) -> None:
        """Add the sums of tables whose rows are proven to be those of then; the others begin anew."""
        fits = all(earlier.fits(side, self._identities[side], self.sides[side].facts.snapshot) for side in (0, 1))
        known = {
            label: stored for label, stored in earlier.tables.items()
            if fits and label in self.tables
            and stored.shape == resuming.shape(self.tables[label].pair, self._identities)
        }  # fmt: skip
        proof = Proof(earlier)
        drive(self.sides, [self._proofs(side, known, proof) for side in (0, 1)], self.check)
        for label, stored in known.items():
            if label not in proof.refuted:
                self.tables[label].take_up(stored)
                self.pace.skip(sum(sum(done.values()) for done in stored.done))
        taken = sum(table.taken_up for table in self.tables.values())
        self.refuted = sum(stored.units for stored in earlier.tables.values()) - taken

    def _proofs(self, side: int, known: Mapping[str, Stored], proof: Proof) -> Iterator[Job]:
        for label, stored in known.items():
            self.pace.doing(f"Looking whether {label} was written to since the last attempt")
            for unit in self._units(self.tables[label], side):
                if unit.name in stored.done[side] and label not in proof.refuted:
                    query = resuming.proving(unit, proof.earlier.since(side))
                    yield Job(rows(query), proof.take(label, side, unit))

    def _keep(self) -> None:
        """Keep all results so far, now and then."""
        began = time.monotonic()
        if self.keeper is None or began < self._keep_at:
            return
        self.keeper.keep(resuming.document(self._results()))
        took = time.monotonic() - began
        self._keep_at = time.monotonic() + max(resuming.KEEP_SECONDS, took / resuming.KEEP_SHARE)

    def _results(self) -> Earlier:
        """All of them hold in the snapshots of now: what was taken up is proven to."""
        return Earlier(
            self.pairs[0].seed,
            [resuming.told(side) for side in self._identities],
            [side.facts.snapshot for side in self.sides],
            {
                label: table.stored(resuming.shape(table.pair, self._identities))
                for label, table in self.tables.items() if any(table.done)
            },
        )  # fmt: skip

    # --- units -------------------------------------------------------------------------------------------------------

    def _deal(self) -> None:
        known: dict[str, list[tuple[int | None, int | None]]] = {pair.label: [(None, None)] * 2 for pair in self.pairs}

        def job(pair: Pair, side: int) -> Job:
            def take(found: tuple[int | None, int | None]) -> None:
                known[pair.label][side] = found

            return Job(lambda connection: units.extremes(pair, side, connection), take)

        orderly = [pair for pair in self.pairs if units.orderly(pair)]
        drive(self.sides, [[job(pair, side) for pair in orderly] for side in (0, 1)], self.check)
        self.tables = {pair.label: Summed(pair, units.deal(pair, known[pair.label])) for pair in self.pairs}

    def _units(self, table: Summed, side: int) -> Iterator[units.Unit]:
        by_pages = self.sides[side].version >= SCANS_PAGES
        return units.cut(table.pair.relation(side).parts, units.PAGES_IN_A_UNIT, by_pages=by_pages)

    def _jobs(self, side: int) -> Iterator[Job]:
        for table in self.tables.values():
            for unit in self._units(table, side):
                if unit.name not in table.done[side]:
                    yield self._job(table, side, unit)

    def _job(self, table: Summed, side: int, unit: units.Unit) -> Job:
        plainly = table.alike

        def take(found: Sequence[tuple[Any, ...]]) -> None:
            seen = table.note(side, unit, found) if plainly else table.totals[side].add(found)
            table.done[side][unit.name] = seen
            self.pace.read(seen, f"Reading {table.pair.label} on both sides")
            self._keep()

        buckets = units.WHOLE if plainly else table.buckets
        return Job(rows(units.summing(table.pair, unit, buckets), binary=True), take)

    def _second_looks(self, side: int) -> Iterator[Job]:
        """In tables that differ: units that were read without buckets, and are not the same on the other side."""
        for table in self.tables.values():
            if table.plain[side] and not table.equal:
                self.pace.doing(f"Reading what differs of {table.pair.label} once more")
                for unit in self._units(table, side):
                    if unit.name in table.plain[side] and unit.name not in table.matched:
                        query = units.summing(table.pair, unit, table.buckets)
                        yield Job(rows(query, binary=True), _adding(table, side))

    def _count_lonely(self) -> None:
        """A table that one side lacks: all its rows are missing or extra."""
        jobs: list[list[Job]] = [[], []]
        for side, relation in self.lonely:
            result = TableResult(relation.label, only_in=self.sides[side].name)
            self.lonely_results.append(result)
            jobs[side].append(Job(_count(relation), _counted(result)))
        drive(self.sides, jobs, self.check)

    def search(self, pair: Pair, unequal: Sequence[int]) -> Search:
        """What to read row by row; ``unequal``: buckets of the pair that differ."""
        table = self.tables[pair.label]
        in_question = max(sum(side.sums.get(bucket, (0, 0))[0] for bucket in unequal) for side in table.totals)
        return Search(pair, table.buckets, unequal, shares_for(in_question), table.matched)


def _adding(table: Summed, side: int) -> Callable[[Sequence[tuple[Any, ...]]], None]:
    def take(found: Sequence[tuple[Any, ...]]) -> None:
        table.totals[side].add(found)

    return take


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
